"""Certificates in a folder, and a server that asks for them: what proofs of TLS settings need.

`ca.pem` issues everything: `server.*` (for the names in `NAMES`), `client.*`, and the credentials `shown` (a client's)
and `served` (a server's) below `credentials/`. `crl.pem` revokes both certificates, `none.pem` neither.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.harness.field_cases import Ask
from tests.harness.field_envoy import Seeing
from tests.harness.identities import MeshAuthority, spiffe

__all__ = ["NAMES", "TlsSeeing", "client_context", "pins", "write_certificates"]

NAMES = ("a", "named.example.com", "a.default.svc.cluster.local", "gw.example.com")


def write_certificates(folder: Path) -> ssl.SSLContext:
    """Write all files; returns what a server needs that asks for clients' certificates without needing them."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = ca.issue_cert(*NAMES)
    client = ca.issue_cert("client.example.com", common_name="client")
    other = ca.issue_cert("other.example.com", common_name="other")
    stranger = trustme.CA().issue_cert("client.example.com", common_name="stranger")
    for name, issued in (
        ("server", server),
        ("client", client),
        ("other", other),
        ("stranger", stranger),
    ):
        _write(issued, folder / f"{name}.pem", folder / f"{name}.key")
    for name, issued in (("shown", client), ("served", server)):
        credential = folder / "credentials" / name
        credential.mkdir(parents=True)
        _write(issued, credential / "tls.crt", credential / "tls.key")
        ca.cert_pem.write_to_path(str(credential / "ca.crt"))
    authority = folder / "credentials" / "authority"
    authority.mkdir()
    ca.cert_pem.write_to_path(str(authority / "ca.crt"))
    (folder / "crl.pem").write_bytes(_revocations(ca, (server, client)))
    (folder / "none.pem").write_bytes(_revocations(ca, ()))
    MeshAuthority().workload(folder / "id", spiffe("default"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def pins(folder: Path) -> Mapping[str, str]:
    """Digests of the client's key and certificate: `spki` and `hash`."""
    certificate = x509.load_pem_x509_certificate((folder / "client.pem").read_bytes())
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "spki": base64.b64encode(hashlib.sha256(key).digest()).decode(),
        "hash": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def client_context(folder: Path, wanted: Ask) -> ssl.SSLContext:
    """How a client of a proof speaks TLS: it trusts `ca.pem`."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if wanted.shows:
        context.load_cert_chain(folder / f"{wanted.shows}.pem", folder / f"{wanted.shows}.key")
    if wanted.newest:
        context.maximum_version = _VERSIONS[wanted.newest]
    if wanted.oldest:
        context.minimum_version = _VERSIONS[wanted.oldest]
    if wanted.ciphers:
        context.set_ciphers(wanted.ciphers)
    if wanted.curve:
        context.set_ecdh_curve(wanted.curve)
    return context


_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def _write(issued: trustme.LeafCert, certificate: Path, key: Path) -> None:
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())


def _revocations(ca: trustme.CA, revoked: tuple[trustme.LeafCert, ...]) -> bytes:
    authority = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    key = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    began, ends = authority.not_valid_before_utc, authority.not_valid_after_utc
    made = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    made = made.last_update(began).next_update(min(ends, began + datetime.timedelta(days=36500)))
    for one in revoked:
        serial = x509.load_pem_x509_certificate(one.cert_chain_pems[0].bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(began)
        made = made.add_revoked_certificate(entry.build())
    return made.sign(key, hashes.SHA256()).public_bytes(  # type: ignore[arg-type] # trustme's keys can sign
        serialization.Encoding.PEM
    )


@dataclass
class TlsSeeing(Seeing):
    """A server behind TLS, which also knows the server name asked for and the client's certificate."""

    context: ssl.SSLContext | None = None
    sni: str = ""
    client: str = ""

    def __post_init__(self) -> None:
        assert self.context is not None
        self.context.sni_callback = self._named

    def _named(self, _: object, name: str | None, __: ssl.SSLContext) -> None:
        self.sni = name or ""

    def saw(self) -> Mapping[str, str]:
        """As `Seeing`, with `:sni` and `:client`, the common name of the client's certificate."""
        return {**super().saw(), ":sni": self.sni, ":client": self.client}

    async def serve(self, stream: trio.SocketStream) -> None:
        assert self.context is not None
        secured = trio.SSLStream(stream, self.context, server_side=True, https_compatible=True)
        try:
            await secured.do_handshake()
            names = [
                value
                for part in (secured.getpeercert() or {}).get("subject", ())
                for key, value in part
                if key == "commonName"
            ]
            self.client = names[0] if names else ""
            await super().serve(secured)  # type: ignore[arg-type] # any byte stream will do
        except (trio.BrokenResourceError, ssl.SSLError):
            return
