"""The words: which files one secret of Envoy is made of, what they held, and the identity of a workload.

A secret is known to Envoy by name, and clusters and listeners hold that name alone: so a renewed file changes neither.
Names are spelled as Istio spells them (pkg/security/security.go, pilot/pkg/security/model/authentication.go):
`file-cert:<certificate>~<key>`, `file-root:<bundle>`, `default` and `ROOTCA` for a workload's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = [
    "NO_IDENTITY",
    "Identity",
    "Leaf",
    "Material",
    "SecretSource",
    "authority_files",
    "certificate_files",
    "credential",
    "credential_authorities",
    "presumed_identity",
    "workload_identity",
]


class SecretSource(NamedTuple):
    """The files of one secret: a certificate with its key, or a bundle of authorities."""

    name: str
    """Name of the secret at Envoy."""
    certificate: str = ""
    """Path of the certificate chain, the server's or client's own first; empty for a bundle."""
    key: str = ""
    """Path of its private key."""
    authorities: tuple[str, ...] = ()
    """Paths of the bundle: the first file that exists counts."""
    revoked: str = ""
    """Path of a revocation list beside the bundle; empty for none."""

    @property
    def files(self) -> tuple[str, ...]:
        """Every path that is looked at."""
        named = (self.certificate, self.key, *self.authorities, self.revoked)
        return tuple(path for path in named if path)


@dataclass(frozen=True, slots=True)
class Leaf:
    """What people may see of a certificate."""

    names: tuple[str, ...]
    """Subject alternative names: URIs, DNS names, addresses."""
    subject: str
    """Subject, as RFC 4514 writes it; may be empty."""
    serial: str
    """Serial number, hexadecimal."""
    not_after_s: float
    """When it ends, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Material:
    """Contents of a source's files, found to be good. Never shown: the key is one of them."""

    source: SecretSource
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    authorities: bytes = field(default=b"", repr=False)
    revoked: bytes = field(default=b"", repr=False)
    leaf: Leaf | None = None
    """The certificate itself; None for a bundle."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a workload is to its peers, and the files that prove it."""

    certificate: SecretSource
    """Its certificate and key."""
    authorities: SecretSource
    """Whom it believes."""
    spiffe_id: str
    """Name that its certificate should bear."""
    trust_domains: tuple[str, ...]
    """Trust domains whose workloads are peers: its own first, then aliases."""
    is_held: bool = False
    """Whether both could be read: only then is it used where nobody asked for it by name (automatic mutual TLS)."""

    @property
    def secrets(self) -> frozenset[SecretSource]:
        """Both sources."""
        return frozenset({self.certificate, self.authorities})


def certificate_files(certificate: str, key: str) -> SecretSource:
    """A certificate that an object names by its files."""
    return SecretSource(f"file-cert:{certificate}~{key}", certificate=certificate, key=key)


def authority_files(authorities: str, revoked: str = "") -> SecretSource:
    """A bundle of authorities that an object names by its file, with a revocation list."""
    name = f"file-root:{authorities}" + (f"~{revoked}" if revoked else "")
    return SecretSource(name, authorities=(authorities,), revoked=revoked)


def credential(folder: str, name: str) -> SecretSource:
    """The certificate of a `credentialName`: `<folder>/<name>/tls.crt` and `tls.key`."""
    place = f"{folder}/{name}"
    return SecretSource(
        f"credential:{name}", certificate=f"{place}/tls.crt", key=f"{place}/tls.key"
    )


def credential_authorities(folder: str, name: str, revoked: str = "") -> SecretSource:
    """The bundle of a `credentialName`: `ca.crt` of the credential `<name>-cacert`, else of its own."""
    files = (f"{folder}/{name}-cacert/ca.crt", f"{folder}/{name}/ca.crt")
    full = f"credential:{name}-cacert" + (f"~{revoked}" if revoked else "")
    return SecretSource(full, authorities=files, revoked=revoked)


def workload_identity(
    context: str,
    files: tuple[str, str, str],
    spiffe_id: str,
    trust_domains: tuple[str, ...],
) -> Identity:
    """The identity of a workload context.

    Args:
        context: Name of the context; empty on a host with one.
        files: Paths of certificate chain, key and bundle of authorities.
        spiffe_id: Name that the certificate should bear.
        trust_domains: Whose workloads are peers.
    """
    suffix = f".{context}" if context else ""
    certificate, key, authorities = files
    return Identity(
        SecretSource(f"default{suffix}", certificate=certificate, key=key),
        SecretSource(f"ROOTCA{suffix}", authorities=(authorities,)),
        spiffe_id,
        trust_domains,
    )


def presumed_identity(spiffe_id: str) -> Identity:
    """An identity of which only the name is known: of another host, whose files nobody here can read."""
    return Identity(SecretSource("default"), SecretSource("ROOTCA"), spiffe_id, ())


NO_IDENTITY = Identity(SecretSource("default"), SecretSource("ROOTCA"), "", ())
"""Stands in where a rule asks for an identity that the workload has not: nothing is ever sent in plain text instead."""
