"""TLS towards destinations (DestinationRule), at gateway servers (Gateway) and before local workloads.

Follows Istio's cluster_tls.go and BuildListenerTLSContext; the rules that it keeps to are in docs/fields.md.
Certificates are named here, never held: each comes as a secret over the ADS stream (SDS), so that a renewed file
changes no cluster and no listener. A transport socket is chosen in this module and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sidecar.certificates.model import (
    NO_IDENTITY,
    Identity,
    Material,
    SecretSource,
    authority_files,
    certificate_files,
    credential,
    credential_authorities,
)
from sidecar.xds import protos as pb
from sidecar.xds.compile.encoding import ads, inline, packed, resource
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.resource import Resource, TypeUrl
from store.objects.destination_rule import ClientTLSSettings
from store.objects.gateway import ServerTLSSettings
from store.validation.server_tls import CIPHERS

__all__ = [
    "MESH_ALPN",
    "PLAIN",
    "TlsSocket",
    "compile_secret",
    "downstream_socket",
    "inbound_socket",
    "mesh_socket",
    "originates_tls",
    "upstream_socket",
    "with_proxy_protocol",
]

TLS_SOCKET = "envoy.transport_sockets.tls"
RAW_SOCKET = "envoy.transport_sockets.raw_buffer"
PROXY_PROTOCOL_SOCKET = "envoy.transport_sockets.upstream_proxy_protocol"

MESH_ALPN = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")
"""Protocols that only a sidecar's mutual TLS offers: by them it is told apart from an application's own TLS."""
SECRET_FETCH_TIMEOUT_S = 1.0
"""How long a cluster or listener warms without a secret. A file that is missing is not waited for: its own chain or
cluster then refuses connections until it comes, and the others on the same listener serve."""

_ORIGINATING = ("SIMPLE", "MUTUAL", "ISTIO_MUTUAL")
_CLIENT_CERTIFICATE_MODES = ("MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL")
_PROTOCOL_VERSIONS = {
    "TLSV1_0": pb.TlsParameters.TLSv1_0,
    "TLSV1_1": pb.TlsParameters.TLSv1_1,
    "TLSV1_2": pb.TlsParameters.TLSv1_2,
    "TLSV1_3": pb.TlsParameters.TLSv1_3,
}


class TlsSocket(NamedTuple):
    """A transport socket and the secrets that it names."""

    socket: pb.TransportSocket
    secrets: frozenset[SecretSource] = frozenset()


PLAIN = TlsSocket(pb.TransportSocket(name=RAW_SOCKET, typed_config=packed(pb.RawBuffer())))
"""Bytes as they are."""


def originates_tls(tls: ClientTLSSettings | None) -> bool:
    """Whether a rule has requests to the destination put into TLS here."""
    return tls is not None and tls.mode in _ORIGINATING


def upstream_socket(
    tls: ClientTLSSettings,
    *,
    sni: str,
    subject_alt_names: tuple[str, ...],
    http2: bool,
    options: CompileOptions,
) -> TlsSocket:
    """TLS towards a destination, with files that the rule names.

    Args:
        tls: The rule, mode SIMPLE or MUTUAL.
        sni: Server name to send; empty leaves it to `auto_sni`.
        subject_alt_names: Accepted names of the server; empty leaves them to `auto_san_validation`.
        http2: Offer HTTP/2 by ALPN and nothing else.
        options: Where the system's authorities and this host's credentials lie.
    """
    common = pb.CommonTlsContext(alpn_protocols=["h2"] if http2 else [])
    secrets = []
    if tls.mode == "MUTUAL":
        if tls.credential_name:
            certificate = credential(options.credentials, tls.credential_name)
        else:
            certificate = certificate_files(tls.client_certificate or "", tls.private_key or "")
        _add_certificate(common, certificate)
        secrets.append(certificate)
    if not tls.insecure_skip_verify:
        revoked = tls.ca_crl or ""
        if tls.credential_name:
            authorities = credential_authorities(options.credentials, tls.credential_name, revoked)
        else:
            authorities = authority_files(tls.ca_certificates or options.system_ca, revoked)
        _add_authorities(common, authorities, _names(subject_alt_names))
        secrets.append(authorities)
    context = pb.UpstreamTlsContext(common_tls_context=common, sni=sni)
    return TlsSocket(_tls(context), frozenset(secrets))


def mesh_socket(
    identity: Identity | None,
    *,
    sni: str,
    subject_alt_names: tuple[str, ...],
    alpn: tuple[str, ...] = ("istio",),
) -> TlsSocket:
    """Mutual TLS of the mesh (ISTIO_MUTUAL) towards a destination, as the calling workload.

    Args:
        identity: The caller's; without one every connection fails, for nothing may be sent in plain text instead.
        sni: Server name to send, `outbound_.<port>_.<subset>_.<host>` unless a rule says otherwise.
        subject_alt_names: Accepted names of the server; empty takes every workload of the caller's trust domains.
        alpn: What is offered, `istio` first.
    """
    own = identity or NO_IDENTITY
    common = pb.CommonTlsContext(alpn_protocols=list(alpn))
    _add_certificate(common, own.certificate)
    _add_authorities(common, own.authorities, _peers(own, subject_alt_names))
    context = pb.UpstreamTlsContext(common_tls_context=common, sni=sni)
    return TlsSocket(_tls(context), own.secrets)


def with_proxy_protocol(inner: TlsSocket, version: str) -> TlsSocket:
    """The same socket with a PROXY protocol header (`V1` or `V2`) before everything else."""
    wrapped = pb.ProxyProtocolUpstreamTransport(
        config=pb.ProxyProtocolConfig(version=version), transport_socket=inner.socket
    )
    socket = pb.TransportSocket(name=PROXY_PROTOCOL_SOCKET, typed_config=packed(wrapped))
    return TlsSocket(socket, inner.secrets)


def inbound_socket(identity: Identity, *, alpn: Iterable[str]) -> TlsSocket:
    """Mutual TLS of the mesh before a local workload: clients need a certificate of its trust domains."""
    return _mesh_server(identity, (), alpn)


def downstream_socket(
    tls: ServerTLSSettings,
    *,
    alpn: Iterable[str],
    options: CompileOptions,
    identity: Identity | None = None,
) -> TlsSocket:
    """TLS that a server ends: SIMPLE, MUTUAL or OPTIONAL_MUTUAL with files of this host, ISTIO_MUTUAL as the workload.

    `insecureSkipVerify` asks for a client's certificate but takes any. A cipher that Envoy does not know is left out,
    as validation has said.
    """
    if tls.mode == "ISTIO_MUTUAL":
        names = tuple(tls.subject_alt_names)
        return _mesh_server(identity or NO_IDENTITY, names, alpn, tls)
    context = pb.DownstreamTlsContext()
    common = context.common_tls_context
    _add_parameters(common, tls, alpn)
    certificates = _server_certificates(tls, options)
    for certificate in certificates:
        _add_certificate(common, certificate)
    secrets = set(certificates)
    if tls.mode in _CLIENT_CERTIFICATE_MODES:
        context.require_client_certificate.value = tls.mode != "OPTIONAL_MUTUAL"
        checks = _names(tuple(tls.subject_alt_names))
        checks.verify_certificate_spki.extend(tls.verify_certificate_spki)
        checks.verify_certificate_hash.extend(tls.verify_certificate_hash)
        if tls.insecure_skip_verify:
            checks.trust_chain_verification = pb.CertificateValidationContext.ACCEPT_UNTRUSTED
        if (authorities := _server_authorities(tls, options)) is not None:
            _add_authorities(common, authorities, checks)
            secrets.add(authorities)
        else:
            common.validation_context.CopyFrom(checks)
    return TlsSocket(_tls(context), frozenset(secrets))


def compile_secret(material: Material) -> Resource:
    """The secret of one source, contents in place: Envoy itself reads no file, and shows no private key."""
    made = pb.Secret(name=material.source.name)
    if material.certificate:
        made.tls_certificate.certificate_chain.CopyFrom(inline(material.certificate))
        made.tls_certificate.private_key.CopyFrom(inline(material.key))
    else:
        made.validation_context.trusted_ca.CopyFrom(inline(material.authorities))
        if material.revoked:
            made.validation_context.crl.CopyFrom(inline(material.revoked))
    return resource(TypeUrl.SECRET, made.name, made)


def _mesh_server(
    identity: Identity,
    names: tuple[str, ...],
    alpn: Iterable[str],
    tls: ServerTLSSettings | None = None,
) -> TlsSocket:
    context = pb.DownstreamTlsContext()
    context.require_client_certificate.value = True
    common = context.common_tls_context
    _add_parameters(common, tls or ServerTLSSettings(), alpn)
    _add_certificate(common, identity.certificate)
    _add_authorities(common, identity.authorities, _peers(identity, names))
    return TlsSocket(_tls(context), identity.secrets)


def _add_parameters(
    common: pb.CommonTlsContext, tls: ServerTLSSettings, alpn: Iterable[str]
) -> None:
    common.alpn_protocols.extend(alpn)
    parameters = common.tls_params
    parameters.tls_minimum_protocol_version = _PROTOCOL_VERSIONS.get(
        str(tls.min_protocol_version), pb.TlsParameters.TLSv1_2
    )
    if (maximum := _PROTOCOL_VERSIONS.get(str(tls.max_protocol_version))) is not None:
        parameters.tls_maximum_protocol_version = maximum
    parameters.cipher_suites.extend(cipher for cipher in tls.cipher_suites if cipher in CIPHERS)
    parameters.ecdh_curves.extend(tls.ecdh_curves)


def _server_certificates(
    tls: ServerTLSSettings, options: CompileOptions
) -> tuple[SecretSource, ...]:
    names = [tls.credential_name] if tls.credential_name else list(tls.credential_names)
    if names:
        return tuple(credential(options.credentials, name) for name in names)
    pairs = tls.tls_certificates or (tls,)
    return tuple(
        certificate_files(pair.server_certificate or "", pair.private_key or "") for pair in pairs
    )


def _server_authorities(tls: ServerTLSSettings, options: CompileOptions) -> SecretSource | None:
    revoked = tls.ca_crl or ""
    if tls.ca_cert_credential_name:
        return credential_authorities(options.credentials, tls.ca_cert_credential_name, revoked)
    if tls.ca_certificates:
        return authority_files(tls.ca_certificates, revoked)
    name = tls.credential_name or next(iter(tls.credential_names), "")
    return credential_authorities(options.credentials, name, revoked) if name else None


def _tls(context: pb.UpstreamTlsContext | pb.DownstreamTlsContext) -> pb.TransportSocket:
    return pb.TransportSocket(name=TLS_SOCKET, typed_config=packed(context))


def _add_certificate(common: pb.CommonTlsContext, source: SecretSource) -> None:
    common.tls_certificate_sds_secret_configs.append(_by_name(source))


def _add_authorities(
    common: pb.CommonTlsContext, source: SecretSource, checks: pb.CertificateValidationContext
) -> None:
    combined = common.combined_validation_context
    combined.default_validation_context.CopyFrom(checks)
    combined.validation_context_sds_secret_config.CopyFrom(_by_name(source))


def _by_name(source: SecretSource) -> pb.SdsSecretConfig:
    return pb.SdsSecretConfig(name=source.name, sds_config=ads(SECRET_FETCH_TIMEOUT_S))


def _peers(identity: Identity, names: tuple[str, ...]) -> pb.CertificateValidationContext:
    """Peers of these names; where none is given every workload of the trust domains (as in Istio's listeners)."""
    if names:
        return _names(names)
    matchers = [
        pb.SubjectAltNameMatcher(
            san_type=pb.SubjectAltNameMatcher.URI,
            matcher=pb.StringMatcher(prefix=f"spiffe://{domain}/"),
        )
        for domain in identity.trust_domains
    ]
    return pb.CertificateValidationContext(match_typed_subject_alt_names=matchers)


def _names(names: tuple[str, ...]) -> pb.CertificateValidationContext:
    matchers = [matcher for name in names for matcher in _san_matchers(name)]
    return pb.CertificateValidationContext(match_typed_subject_alt_names=matchers)


def _san_matchers(name: str) -> list[pb.SubjectAltNameMatcher]:
    """A name may stand in a certificate as a URI (SPIFFE ids), a DNS name or an address: any of them is taken."""
    kinds = pb.SubjectAltNameMatcher
    if "://" in name:
        types = [kinds.URI]
    else:
        types = [kinds.DNS, kinds.IP_ADDRESS] if _may_be_address(name) else [kinds.DNS]
    return [kinds(san_type=kind, matcher=pb.StringMatcher(exact=name)) for kind in types]


def _may_be_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()
