"""Gateway and Sidecar: what the listeners that they declare become."""

from __future__ import annotations

from collections.abc import Mapping

from store.objects.becomes.placing import placed
from store.objects.becomes.policies import POOL
from store.objects.becomes.rules import destination

__all__ = ["GATEWAY", "SIDECAR"]

_CERTIFICATE = "`TlsCertificate.certificate_chain`"
_KEY = "`TlsCertificate.private_key`"
_AUTHORITIES = "`CertificateValidationContext.trusted_ca`"
_SERVER_TLS = {
    "": "`FilterChain.transport_socket`",
    "httpsRedirect": "`VirtualHost.require_tls`",
    "mode": "`DownstreamTlsContext.require_client_certificate`, or none",
    "serverCertificate": _CERTIFICATE,
    "privateKey": _KEY,
    "caCertificates": _AUTHORITIES,
    "caCrl": "`CertificateValidationContext.crl`",
    "credentialName": f"`TlsCertificate` and {_AUTHORITIES}",
    "credentialNames": "`TlsCertificate`, one for each",
    "caCertCredentialName": _AUTHORITIES,
    "tlsCertificates[].serverCertificate": _CERTIFICATE,
    "tlsCertificates[].privateKey": _KEY,
    "tlsCertificates[].caCertificates": "nothing",
    "subjectAltNames": "`CertificateValidationContext.match_typed_subject_alt_names`",
    "verifyCertificateSpki": "`CertificateValidationContext.verify_certificate_spki`",
    "verifyCertificateHash": "`CertificateValidationContext.verify_certificate_hash`",
    "minProtocolVersion": "`TlsParameters.tls_minimum_protocol_version`",
    "maxProtocolVersion": "`TlsParameters.tls_maximum_protocol_version`",
    "cipherSuites": "`TlsParameters.cipher_suites`",
    "insecureSkipVerify": "`CertificateValidationContext.trust_chain_verification`",
    "ecdhCurves": "`TlsParameters.ecdh_curves`",
}
_ADDRESS = "`Listener.address`"

GATEWAY: Mapping[str, str] = {
    "selector": "our table: which gateways open the servers",
    "servers[].port.number": _ADDRESS,
    "servers[].port.protocol": "`HttpConnectionManager` or `TcpProxy`",
    "servers[].port.name": "a part of `Rds.route_config_name`",
    "servers[].bind": _ADDRESS,
    "servers[].hosts": "`VirtualHost.domains` and `FilterChainMatch.server_names`",
    "servers[].name": "`HttpConnectionManager.stat_prefix` of an HTTPS server",
    **placed("servers[].tls", _SERVER_TLS),
}
"""By path below the spec."""

_LIMITS = placed("connectionPool", POOL)

SIDECAR: Mapping[str, str] = {
    "workloadSelector.labels": "our table: for which workloads it is",
    "ingress[].port.number": _ADDRESS,
    "ingress[].port.protocol": "`HttpConnectionManager` or `TcpProxy`",
    "ingress[].bind": _ADDRESS,
    "ingress[].captureMode": "`Listener.address`: NONE is opened beside a registered port",
    "ingress[].defaultEndpoint": "`Endpoint.address` of the cluster `inbound|PORT||`",
    **placed("ingress[].tls", _SERVER_TLS),
    **placed("ingress[]", _LIMITS),
    **placed("inboundConnectionPool", POOL),
    "egress[].port.number": _ADDRESS,
    "egress[].port.protocol": "`HttpConnectionManager` or `TcpProxy`",
    "egress[].bind": _ADDRESS,
    "egress[].captureMode": "`Listener.bind_to_port`",
    "egress[].hosts": "our table: which services are known",
    "outboundTrafficPolicy.mode": "`VirtualHost.routes` of the domain `*`",
    **placed(
        "outboundTrafficPolicy.egressProxy",
        destination("`RouteAction.cluster` of the domain `*`"),
    ),
}
"""By path below the spec."""
