"""A mesh's own authority: it issues workload certificates with SPIFFE ids, as files where a sidecar looks for them."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.certificates.checking import Unusable, check
from sidecar.certificates.model import Material, SecretSource

__all__ = ["MeshAuthority", "materials_of", "spiffe"]

_BEGAN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_ENDS = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)


def spiffe(account: str, namespace: str = "default", domain: str = "cluster.local") -> str:
    """The SPIFFE id of a service account."""
    return f"spiffe://{domain}/ns/{namespace}/sa/{account}"


class MeshAuthority:
    """An authority of workloads."""

    def __init__(self, name: str = "mesh") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(basic, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = _pem(self._certificate)
        """Its own certificate."""

    def pair(self, *names: str) -> tuple[bytes, bytes]:
        """(certificate, key) that bears these names: URIs where they have `://`, else DNS names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([])
        bears = [
            x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name)
            for name in names
        ]
        certificate = (
            _builder(subject, self._name, key.public_key())
            .add_extension(x509.SubjectAlternativeName(bears), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return _pem(certificate), secret

    def workload(self, folder: Path, *names: str) -> Path:
        """Write `cert-chain.pem`, `key.pem` and `root-cert.pem` of a workload; returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = self.pair(*names)
        for name, content in (
            ("cert-chain.pem", certificate),
            ("key.pem", key),
            ("root-cert.pem", self.pem),
        ):
            (folder / name).write_bytes(content)
        return folder


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGAN)
        .not_valid_after(_ENDS)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def materials_of(sources: Iterable[SecretSource]) -> dict[SecretSource, Material]:
    """What the files of these secrets give now; those that cannot serve are left out."""
    found = {}
    for source in sources:
        contents: dict[str, bytes | str] = {}
        for path in source.files:
            file = Path(path)
            contents[path] = file.read_bytes() if file.is_file() else "not there"
        with contextlib.suppress(Unusable):
            found[source] = check(source, contents)
    return found
