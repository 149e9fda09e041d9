from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import pytest

from sidecar.certificates.model import (
    Identity,
    Material,
    credential,
    credential_authorities,
    workload_identity,
)
from sidecar.xds import protos as pb
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.compile.tls import (
    TlsSocket,
    compile_secret,
    downstream_socket,
    mesh_socket,
    originates_tls,
    upstream_socket,
)
from store.objects.tls import ClientTLSSettings, ServerTLSSettings

OPTIONS = CompileOptions(system_ca="/sys/ca.pem", credentials="/creds")
IDENTITY = workload_identity(
    "web", ("/id/cert.pem", "/id/key.pem", "/id/ca.pem"), "spiffe://td/ns/a/sa/web", ("td", "old")
)
Context = TypeVar("Context", pb.UpstreamTlsContext, pb.DownstreamTlsContext)
FILES = {"clientCertificate": "/c", "privateKey": "/k"}


def client(
    document: Mapping[str, object],
    *,
    sni: str = "",
    names: tuple[str, ...] = (),
    http2: bool = False,
) -> pb.UpstreamTlsContext:
    settings = ClientTLSSettings.model_validate(document)
    made = upstream_socket(settings, sni=sni, subject_alt_names=names, http2=http2, options=OPTIONS)
    return _checked(made, pb.UpstreamTlsContext.FromString(made.socket.typed_config.value))


def _checked(made: TlsSocket, context: Context) -> Context:
    """Every secret that the bytes name is told beside them."""
    common = context.common_tls_context
    named = {one.name for one in common.tls_certificate_sds_secret_configs}
    if common.HasField("combined_validation_context"):
        named.add(common.combined_validation_context.validation_context_sds_secret_config.name)
    assert named == {source.name for source in made.secrets}
    assert not common.tls_certificates
    return context


def server(
    document: Mapping[str, object],
    alpn: tuple[str, ...] = (),
    identity: Identity | None = None,
) -> pb.DownstreamTlsContext:
    settings = ServerTLSSettings.model_validate(document)
    made = downstream_socket(settings, alpn=alpn, options=OPTIONS, identity=identity)
    return _checked(made, pb.DownstreamTlsContext.FromString(made.socket.typed_config.value))


def shown(context: pb.CommonTlsContext) -> list[str]:
    """Names of the certificates."""
    return [made.name for made in context.tls_certificate_sds_secret_configs]


def trusted(context: pb.CommonTlsContext) -> str:
    """Name of the bundle of authorities."""
    combined = context.combined_validation_context
    return str(combined.validation_context_sds_secret_config.name)


def checks(context: pb.CommonTlsContext) -> pb.CertificateValidationContext:
    return context.combined_validation_context.default_validation_context


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("SIMPLE", True), ("MUTUAL", True), ("DISABLE", False), ("ISTIO_MUTUAL", True)],
)
def test_tls_begins_here_where_the_rule_says_so(mode: str, expected: bool) -> None:
    assert originates_tls(ClientTLSSettings.model_validate({"mode": mode})) is expected
    assert not originates_tls(None)


def test_simple_shows_no_certificate_and_trusts_the_system() -> None:
    made = client({"mode": "SIMPLE"}, sni="a.b")
    assert made.sni == "a.b"
    assert not shown(made.common_tls_context)
    assert trusted(made.common_tls_context) == "file-root:/sys/ca.pem"


def test_mutual_shows_the_certificate_of_the_rule() -> None:
    made = client({"mode": "MUTUAL", **FILES, "caCertificates": "/ca", "caCrl": "/crl"})
    assert shown(made.common_tls_context) == ["file-cert:/c~/k"]
    assert trusted(made.common_tls_context) == "file-root:/ca~/crl"


def test_a_credential_is_a_folder_that_the_host_holds() -> None:
    made = client({"mode": "MUTUAL", "credentialName": "partner"}).common_tls_context
    assert shown(made) == ["credential:partner"]
    assert trusted(made) == "credential:partner-cacert"
    assert credential("/creds", "partner").files == (
        "/creds/partner/tls.crt",
        "/creds/partner/tls.key",
    )
    assert credential_authorities("/creds", "partner").files == (
        "/creds/partner-cacert/ca.crt",
        "/creds/partner/ca.crt",
    )


def test_skipping_verification_checks_nothing() -> None:
    made = client({"mode": "SIMPLE", "insecureSkipVerify": True}, names=("a",))
    assert not trusted(made.common_tls_context)
    assert not made.common_tls_context.HasField("validation_context")


def test_http2_is_offered_alone() -> None:
    assert list(client({"mode": "SIMPLE"}, http2=True).common_tls_context.alpn_protocols) == ["h2"]
    assert not client({"mode": "SIMPLE"}).common_tls_context.alpn_protocols


def test_a_name_is_looked_for_where_a_certificate_may_bear_it() -> None:
    made = client({"mode": "SIMPLE"}, names=("spiffe://m/ns/a/sa/b", "a.b", "10.0.0.1"))
    kinds = pb.SubjectAltNameMatcher
    assert [
        (kinds.SanType.Name(m.san_type), m.matcher.exact)
        for m in checks(made.common_tls_context).match_typed_subject_alt_names
    ] == [
        ("URI", "spiffe://m/ns/a/sa/b"),
        ("DNS", "a.b"),
        ("DNS", "10.0.0.1"),
        ("IP_ADDRESS", "10.0.0.1"),
    ]


SERVED = {"serverCertificate": "/s", "privateKey": "/k"}


def test_a_simple_server_asks_for_no_certificate_and_speaks_tls_1_2_or_newer() -> None:
    made = server({"mode": "SIMPLE", **SERVED}, alpn=("h2", "http/1.1"))
    common = made.common_tls_context
    assert shown(common) == ["file-cert:/s~/k"]
    assert not made.HasField("require_client_certificate")
    assert common.tls_params.tls_minimum_protocol_version == pb.TlsParameters.TLSv1_2
    assert list(common.alpn_protocols) == ["h2", "http/1.1"]


@pytest.mark.parametrize(("mode", "required"), [("MUTUAL", True), ("OPTIONAL_MUTUAL", False)])
def test_clients_are_checked_and_required_as_the_mode_says(mode: str, required: bool) -> None:
    given = {
        "mode": mode,
        **SERVED,
        "caCertificates": "/ca",
        "subjectAltNames": ["c.d"],
        "verifyCertificateHash": ["ab"],
    }
    made = server(given)
    assert made.require_client_certificate.value is required
    made_checks = checks(made.common_tls_context)
    assert trusted(made.common_tls_context) == "file-root:/ca"
    assert made_checks.match_typed_subject_alt_names[0].matcher.exact == "c.d"
    assert list(made_checks.verify_certificate_hash) == ["ab"]
    verify = pb.CertificateValidationContext.VERIFY_TRUST_CHAIN
    assert made_checks.trust_chain_verification == verify


def test_a_server_may_take_any_client_certificate() -> None:
    made = server({"mode": "MUTUAL", **SERVED, "caCertificates": "/ca", "insecureSkipVerify": True})
    accept = pb.CertificateValidationContext.ACCEPT_UNTRUSTED
    assert checks(made.common_tls_context).trust_chain_verification == accept


def test_versions_and_ciphers_are_those_of_the_server() -> None:
    limits = {
        "minProtocolVersion": "TLSV1_3",
        "maxProtocolVersion": "TLSV1_3",
        "cipherSuites": ["ECDHE-RSA-AES128-GCM-SHA256", "no-such-cipher"],
        "ecdhCurves": ["P-256"],
    }
    made = server({"mode": "SIMPLE", **SERVED, **limits}).common_tls_context.tls_params
    assert (
        made.tls_minimum_protocol_version
        == made.tls_maximum_protocol_version
        == pb.TlsParameters.TLSv1_3
    )
    assert list(made.cipher_suites) == ["ECDHE-RSA-AES128-GCM-SHA256"]
    assert list(made.ecdh_curves) == ["P-256"]


def test_a_server_may_have_two_certificates_or_a_credential() -> None:
    several = server(
        {
            "mode": "SIMPLE",
            "tlsCertificates": [SERVED, {"serverCertificate": "/2", "privateKey": "/3"}],
        }
    )
    assert shown(several.common_tls_context) == ["file-cert:/s~/k", "file-cert:/2~/3"]
    one = server({"mode": "MUTUAL", "credentialName": "web"}).common_tls_context
    assert (shown(one), trusted(one)) == (["credential:web"], "credential:web-cacert")
    both = server({"mode": "MUTUAL", "credentialNames": ["rsa", "ecdsa"]}).common_tls_context
    assert shown(both) == ["credential:rsa", "credential:ecdsa"]
    assert trusted(both) == "credential:rsa-cacert"
    apart = server({"mode": "MUTUAL", "credentialName": "web", "caCertCredentialName": "clients"})
    assert trusted(apart.common_tls_context) == "credential:clients-cacert"


def mesh(names: tuple[str, ...] = (), identity: Identity | None = IDENTITY) -> pb.CommonTlsContext:
    made = mesh_socket(identity, sni="outbound_.80_._.a", subject_alt_names=names)
    context = pb.UpstreamTlsContext.FromString(made.socket.typed_config.value)
    assert context.sni == "outbound_.80_._.a"
    return _checked(made, context).common_tls_context


def test_mutual_tls_of_the_mesh_shows_the_callers_certificate_and_offers_istio() -> None:
    made = mesh(("spiffe://td/ns/a/sa/b",))
    assert (shown(made), trusted(made)) == (["default.web"], "ROOTCA.web")
    assert list(made.alpn_protocols) == ["istio"]
    (name,) = checks(made).match_typed_subject_alt_names
    assert name.matcher.exact == "spiffe://td/ns/a/sa/b"


def test_without_names_every_workload_of_the_trust_domains_is_a_peer() -> None:
    for made in (mesh(), server({"mode": "ISTIO_MUTUAL"}, identity=IDENTITY).common_tls_context):
        names = checks(made).match_typed_subject_alt_names
        assert [one.matcher.prefix for one in names] == ["spiffe://td/", "spiffe://old/"]


def test_a_caller_without_identity_is_never_sent_out_in_plain_text() -> None:
    made = mesh(identity=None)
    assert (shown(made), trusted(made)) == (["default"], "ROOTCA")


def test_a_server_of_the_mesh_requires_a_certificate() -> None:
    given = {"mode": "ISTIO_MUTUAL", "subjectAltNames": ["spiffe://td/ns/a/sa/b"]}
    made = server(given, ("h2",), identity=IDENTITY)
    assert made.require_client_certificate.value
    assert shown(made.common_tls_context) == ["default.web"]
    (name,) = checks(made.common_tls_context).match_typed_subject_alt_names
    assert name.matcher.exact == "spiffe://td/ns/a/sa/b"
    low = made.common_tls_context.tls_params.tls_minimum_protocol_version
    assert low == pb.TlsParameters.TLSv1_2


def test_a_secret_holds_its_files_in_place() -> None:
    made = compile_secret(Material(IDENTITY.certificate, certificate=b"chain", key=b"key"))
    secret = pb.Secret.FromString(made.body)
    assert (made.name, secret.name) == ("default.web", "default.web")
    assert secret.tls_certificate.private_key.inline_bytes == b"key"
    assert "key" not in repr(made).replace("secret", "")
    bundle = compile_secret(Material(IDENTITY.authorities, authorities=b"ca", revoked=b"crl"))
    context = pb.Secret.FromString(bundle.body).validation_context
    assert (context.trusted_ca.inline_bytes, context.crl.inline_bytes) == (b"ca", b"crl")
