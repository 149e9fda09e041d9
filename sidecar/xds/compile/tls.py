"""TLS towards destinations (DestinationRule) and at gateway servers (Gateway), with files that the host holds.

Follows Istio's cluster_tls.go and BuildListenerTLSContext; the rules are in the reference (istio-semantics 12). SDS
secrets and ISTIO_MUTUAL stand beside these files later: a transport socket is chosen in `upstream_socket` and
`downstream_socket` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.xds import protos as pb
from sidecar.xds.compile.encoding import datasource, packed
from sidecar.xds.compile.options import CompileOptions
from store.objects.destination_rule import ClientTLSSettings
from store.objects.gateway import ServerTLSSettings

__all__ = ["downstream_socket", "originates_tls", "upstream_socket", "with_proxy_protocol"]

TLS_SOCKET = "envoy.transport_sockets.tls"
RAW_SOCKET = "envoy.transport_sockets.raw_buffer"
PROXY_PROTOCOL_SOCKET = "envoy.transport_sockets.upstream_proxy_protocol"

_FILE_MODES = ("SIMPLE", "MUTUAL")
_CLIENT_CERTIFICATE_MODES = ("MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL")
_PROTOCOL_VERSIONS = {
    "TLSV1_0": pb.TlsParameters.TLSv1_0,
    "TLSV1_1": pb.TlsParameters.TLSv1_1,
    "TLSV1_2": pb.TlsParameters.TLSv1_2,
    "TLSV1_3": pb.TlsParameters.TLSv1_3,
}


def originates_tls(tls: ClientTLSSettings | None) -> bool:
    """Whether requests to the destination are put into TLS here, with files of this host."""
    return tls is not None and tls.mode in _FILE_MODES


def upstream_socket(
    tls: ClientTLSSettings,
    *,
    sni: str,
    subject_alt_names: tuple[str, ...],
    http2: bool,
    options: CompileOptions,
) -> pb.TransportSocket:
    """TLS towards a destination.

    Args:
        tls: The rule, mode SIMPLE or MUTUAL.
        sni: Server name to send; empty leaves it to `auto_sni`.
        subject_alt_names: Accepted names of the server; empty leaves them to `auto_san_validation`.
        http2: Offer HTTP/2 by ALPN and nothing else.
        options: Where the system's authorities and this host's credentials lie.
    """
    common = pb.CommonTlsContext(alpn_protocols=["h2"] if http2 else [])
    if tls.mode == "MUTUAL":
        if tls.credential_name:
            certificate = options.credential(tls.credential_name, "tls.crt")
            key = options.credential(tls.credential_name, "tls.key")
        else:
            certificate, key = tls.client_certificate or "", tls.private_key or ""
        common.tls_certificates.append(_certificate(certificate, key))
    if not tls.insecure_skip_verify:
        authorities = tls.ca_certificates or options.system_ca
        if tls.credential_name:
            authorities = options.credential(tls.credential_name, "ca.crt")
        common.validation_context.CopyFrom(_validation(authorities, tls.ca_crl, subject_alt_names))
    context = pb.UpstreamTlsContext(common_tls_context=common, sni=sni)
    return pb.TransportSocket(name=TLS_SOCKET, typed_config=packed(context))


def with_proxy_protocol(inner: pb.TransportSocket | None, version: str) -> pb.TransportSocket:
    """The same socket with a PROXY protocol header (`V1` or `V2`) before everything else."""
    if inner is None:
        inner = pb.TransportSocket(name=RAW_SOCKET, typed_config=packed(pb.RawBuffer()))
    wrapped = pb.ProxyProtocolUpstreamTransport(
        config=pb.ProxyProtocolConfig(version=version), transport_socket=inner
    )
    return pb.TransportSocket(name=PROXY_PROTOCOL_SOCKET, typed_config=packed(wrapped))


def downstream_socket(
    tls: ServerTLSSettings, *, alpn: Iterable[str], options: CompileOptions
) -> pb.TransportSocket:
    """TLS that a gateway server ends: SIMPLE, MUTUAL or OPTIONAL_MUTUAL, with files of this host.

    `insecureSkipVerify` asks for a client's certificate but takes any.
    """
    context = pb.DownstreamTlsContext(
        common_tls_context=pb.CommonTlsContext(alpn_protocols=list(alpn))
    )
    common = context.common_tls_context
    common.tls_params.tls_minimum_protocol_version = _PROTOCOL_VERSIONS.get(
        str(tls.min_protocol_version), pb.TlsParameters.TLSv1_2
    )
    if (maximum := _PROTOCOL_VERSIONS.get(str(tls.max_protocol_version))) is not None:
        common.tls_params.tls_maximum_protocol_version = maximum
    common.tls_params.cipher_suites.extend(tls.cipher_suites)
    common.tls_params.ecdh_curves.extend(tls.ecdh_curves)
    common.tls_certificates.extend(_certificate(*pair) for pair in _server_pairs(tls, options))
    if tls.mode in _CLIENT_CERTIFICATE_MODES:
        context.require_client_certificate.value = tls.mode != "OPTIONAL_MUTUAL"
        authorities = _server_authorities(tls, options)
        checks = _validation(authorities, tls.ca_crl, tuple(tls.subject_alt_names))
        checks.verify_certificate_spki.extend(tls.verify_certificate_spki)
        checks.verify_certificate_hash.extend(tls.verify_certificate_hash)
        if tls.insecure_skip_verify:
            checks.trust_chain_verification = pb.CertificateValidationContext.ACCEPT_UNTRUSTED
        common.validation_context.CopyFrom(checks)
    return pb.TransportSocket(name=TLS_SOCKET, typed_config=packed(context))


def _server_pairs(tls: ServerTLSSettings, options: CompileOptions) -> list[tuple[str, str]]:
    names = [tls.credential_name] if tls.credential_name else list(tls.credential_names)
    if names:
        return [
            (options.credential(name, "tls.crt"), options.credential(name, "tls.key"))
            for name in names
        ]
    if tls.tls_certificates:
        return [
            (pair.server_certificate or "", pair.private_key or "") for pair in tls.tls_certificates
        ]
    return [(tls.server_certificate or "", tls.private_key or "")]


def _server_authorities(tls: ServerTLSSettings, options: CompileOptions) -> str:
    if tls.ca_cert_credential_name:
        return options.credential(tls.ca_cert_credential_name, "ca.crt")
    if tls.ca_certificates:
        return tls.ca_certificates
    return options.credential(tls.credential_name, "ca.crt") if tls.credential_name else ""


def _certificate(certificate: str, key: str) -> pb.TlsCertificate:
    return pb.TlsCertificate(certificate_chain=datasource(certificate), private_key=datasource(key))


def _validation(
    authorities: str, revoked: str | None, names: tuple[str, ...]
) -> pb.CertificateValidationContext:
    context = pb.CertificateValidationContext()
    if authorities:
        context.trusted_ca.CopyFrom(datasource(authorities))
    if revoked:
        context.crl.CopyFrom(datasource(revoked))
    context.match_typed_subject_alt_names.extend(
        matcher for name in names for matcher in _san_matchers(name)
    )
    return context


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
