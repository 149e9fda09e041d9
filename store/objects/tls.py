"""TLS settings: of clients (DestinationRule) and of servers (Gateway, Sidecar ingress).

Files and credentials are names on the host that runs the sidecar; keys never lie in an object. Source:
istio/api networking/v1alpha3/destination_rule.proto (ClientTLSSettings), gateway.proto (ServerTLSSettings).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from store.objects.base import Model
from store.objects.scalars import Items, Maybe, Nullable, Word

__all__ = [
    "ClientTLSMode",
    "ClientTLSSettings",
    "ServerTLSMode",
    "ServerTLSSettings",
    "TLSCertificate",
    "TLSProtocol",
]


class ClientTLSMode(Word):
    """Whether and how a client uses TLS towards a destination."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTLSSettings(Model):
    """TLS that the sidecar originates towards a destination."""

    mode: Maybe[ClientTLSMode] = None
    """DISABLE (default): plain text; SIMPLE: TLS; MUTUAL: TLS with the client certificate named
    here; ISTIO_MUTUAL: TLS with the workload's own mesh certificate."""
    client_certificate: Maybe[str] = None
    """Path of the client certificate; required for MUTUAL."""
    private_key: Maybe[str] = None
    """Path of the client's private key; required for MUTUAL."""
    ca_certificates: Maybe[str] = None
    """Path of the CA certificates that the server's is verified with; default: the system's."""
    credential_name: Maybe[str] = None
    """Name of a credential that the host holds, instead of paths."""
    subject_alt_names: Items[str] = ()
    """Names of which the server's certificate must bear one; default: the ServiceEntry's, else
    the host."""
    sni: Maybe[str] = None
    """Server name (SNI) sent; default: the host of the request."""
    insecure_skip_verify: Nullable[bool] = None
    """Whether the server's certificate is accepted unverified; default false."""
    ca_crl: Maybe[str] = None
    """Path of the certificate revocation list; default: none."""


class ServerTLSMode(Word):
    """Whether and how a server terminates TLS."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


class TLSProtocol(Word):
    """Versions of TLS."""

    TLS_AUTO = "TLS_AUTO"
    TLSV1_0 = "TLSV1_0"
    TLSV1_1 = "TLSV1_1"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class TLSCertificate(Model):
    """One pair of certificate and key files."""

    server_certificate: Maybe[str] = None
    """Path of the certificate chain."""
    private_key: Maybe[str] = None
    """Path of the private key."""
    ca_certificates: Maybe[str] = None
    """Path of CA certificates; not used, by Istio either."""


class ServerTLSSettings(Model):
    """TLS that a gateway's server or a Sidecar's ingress listener takes."""

    https_redirect: bool = False
    """Whether every plain HTTP request is answered with a redirect (301) to https."""
    mode: Maybe[ServerTLSMode] = None
    """PASSTHROUGH (default): by SNI, unread; SIMPLE: terminate; MUTUAL and OPTIONAL_MUTUAL: also
    ask for client certificates; AUTO_PASSTHROUGH and ISTIO_MUTUAL: within the mesh."""
    server_certificate: Maybe[str] = None
    """Path of the certificate chain; for SIMPLE and MUTUAL without a credential."""
    private_key: Maybe[str] = None
    """Path of the private key; for SIMPLE and MUTUAL without a credential."""
    ca_certificates: Maybe[str] = None
    """Path of the CA certificates that clients' are verified with; for MUTUAL."""
    ca_crl: Maybe[str] = None
    """Path of the certificate revocation list; default: none."""
    credential_name: Maybe[str] = None
    """Name of a credential that the host holds; `-cacert` appended names its CA."""
    credential_names: Annotated[Items[str], Field(min_length=1, max_length=2)] = ()
    """One or two credentials (RSA and ECDSA)."""
    ca_cert_credential_name: Maybe[str] = None
    """Name of a credential with the CA certificates; wins over the CA in the other credential."""
    tls_certificates: Annotated[Items[TLSCertificate], Field(min_length=1, max_length=2)] = ()
    """One or two pairs of files (RSA and ECDSA)."""
    subject_alt_names: Items[str] = ()
    """Names of which a client's certificate must bear one; empty: any."""
    verify_certificate_spki: Items[str] = ()
    """Base64 SHA-256 digests of client keys that are accepted; empty: any."""
    verify_certificate_hash: Items[str] = ()
    """Hexadecimal SHA-256 digests of client certificates that are accepted; empty: any."""
    min_protocol_version: Maybe[TLSProtocol] = None
    """Oldest version of TLS; default TLSV1_2."""
    max_protocol_version: Maybe[TLSProtocol] = None
    """Newest version of TLS; default TLSV1_3."""
    cipher_suites: Items[str] = ()
    """Ciphers allowed up to TLS 1.2; default: Envoy's."""
    insecure_skip_verify: Nullable[bool] = None
    """Whether client certificates that fail verification are accepted; default false."""
    ecdh_curves: Items[str] = ()
    """Curves allowed for key exchange; default: Envoy's."""
