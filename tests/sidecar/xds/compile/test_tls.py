from __future__ import annotations

from collections.abc import Mapping

import pytest

from sidecar.xds import protos as pb
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.compile.tls import downstream_socket, originates_tls, upstream_socket
from store.objects.tls import ClientTLSSettings, ServerTLSSettings

OPTIONS = CompileOptions(system_ca="/sys/ca.pem", credentials="/creds")
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
    return pb.UpstreamTlsContext.FromString(made.typed_config.value)


def server(document: Mapping[str, object], alpn: tuple[str, ...] = ()) -> pb.DownstreamTlsContext:
    settings = ServerTLSSettings.model_validate(document)
    made = downstream_socket(settings, alpn=alpn, options=OPTIONS)
    return pb.DownstreamTlsContext.FromString(made.typed_config.value)


def pair(context: pb.CommonTlsContext) -> tuple[str, str]:
    (made,) = context.tls_certificates
    return made.certificate_chain.filename, made.private_key.filename


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("SIMPLE", True), ("MUTUAL", True), ("DISABLE", False), ("ISTIO_MUTUAL", False)],
)
def test_tls_begins_here_with_files_of_the_host(mode: str, expected: bool) -> None:
    assert originates_tls(ClientTLSSettings.model_validate({"mode": mode})) is expected
    assert not originates_tls(None)


def test_simple_shows_no_certificate_and_trusts_the_system() -> None:
    made = client({"mode": "SIMPLE"}, sni="a.b")
    assert made.sni == "a.b"
    assert not made.common_tls_context.tls_certificates
    assert made.common_tls_context.validation_context.trusted_ca.filename == "/sys/ca.pem"


def test_mutual_shows_the_certificate_of_the_rule() -> None:
    made = client({"mode": "MUTUAL", **FILES, "caCertificates": "/ca", "caCrl": "/crl"})
    assert pair(made.common_tls_context) == ("/c", "/k")
    checks = made.common_tls_context.validation_context
    assert (checks.trusted_ca.filename, checks.crl.filename) == ("/ca", "/crl")


def test_a_credential_is_a_folder_that_the_host_holds() -> None:
    made = client({"mode": "MUTUAL", "credentialName": "partner"}).common_tls_context
    assert pair(made) == ("/creds/partner/tls.crt", "/creds/partner/tls.key")
    assert made.validation_context.trusted_ca.filename == "/creds/partner/ca.crt"


def test_skipping_verification_checks_nothing() -> None:
    made = client({"mode": "SIMPLE", "insecureSkipVerify": True}, names=("a",))
    assert not made.common_tls_context.HasField("validation_context")


def test_http2_is_offered_alone() -> None:
    assert list(client({"mode": "SIMPLE"}, http2=True).common_tls_context.alpn_protocols) == ["h2"]
    assert not client({"mode": "SIMPLE"}).common_tls_context.alpn_protocols


def test_a_name_is_looked_for_where_a_certificate_may_bear_it() -> None:
    made = client({"mode": "SIMPLE"}, names=("spiffe://m/ns/a/sa/b", "a.b", "10.0.0.1"))
    kinds = pb.SubjectAltNameMatcher
    assert [
        (kinds.SanType.Name(m.san_type), m.matcher.exact)
        for m in made.common_tls_context.validation_context.match_typed_subject_alt_names
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
    assert pair(common) == ("/s", "/k")
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
    checks = made.common_tls_context.validation_context
    assert checks.trusted_ca.filename == "/ca"
    assert checks.match_typed_subject_alt_names[0].matcher.exact == "c.d"
    assert list(checks.verify_certificate_hash) == ["ab"]
    assert checks.trust_chain_verification == pb.CertificateValidationContext.VERIFY_TRUST_CHAIN


def test_a_server_may_take_any_client_certificate() -> None:
    made = server({"mode": "MUTUAL", **SERVED, "caCertificates": "/ca", "insecureSkipVerify": True})
    checks = made.common_tls_context.validation_context
    assert checks.trust_chain_verification == pb.CertificateValidationContext.ACCEPT_UNTRUSTED


def test_versions_and_ciphers_are_those_of_the_server() -> None:
    limits = {
        "minProtocolVersion": "TLSV1_3",
        "maxProtocolVersion": "TLSV1_3",
        "cipherSuites": ["X"],
    }
    made = server({"mode": "SIMPLE", **SERVED, **limits}).common_tls_context.tls_params
    assert (
        made.tls_minimum_protocol_version
        == made.tls_maximum_protocol_version
        == pb.TlsParameters.TLSv1_3
    )
    assert list(made.cipher_suites) == ["X"]


def test_a_server_may_have_two_certificates_or_a_credential() -> None:
    several = server(
        {
            "mode": "SIMPLE",
            "tlsCertificates": [SERVED, {"serverCertificate": "/2", "privateKey": "/3"}],
        }
    )
    assert len(several.common_tls_context.tls_certificates) == 2
    one = server({"mode": "MUTUAL", "credentialName": "web"}).common_tls_context
    assert pair(one) == ("/creds/web/tls.crt", "/creds/web/tls.key")
    assert one.validation_context.trusted_ca.filename == "/creds/web/ca.crt"
    apart = server({"mode": "MUTUAL", "credentialName": "web", "caCertCredentialName": "clients"})
    assert (
        apart.common_tls_context.validation_context.trusted_ca.filename == "/creds/clients/ca.crt"
    )
