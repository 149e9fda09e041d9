"""Signatures of hosts: who said a record, whoever carried it here.

Ed25519 over a canonical form of the record: a fixed prefix, then mesh id, topic, node, page, epoch, version and body,
each with its length or in a fixed width, so that no two records have the same bytes. The age is not signed: it
grows on the way. Whether a key may speak for a node is decided in `sidecar.gossip.trust`. Source: RFC 8032.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.gossip.records import Record
from store.errors import InputError

__all__ = ["PUBLIC_BYTES", "SEED_BYTES", "SIGNATURE_BYTES", "Signer", "fingerprint", "verify"]

SEED_BYTES = 32
"""Of the private key as it is kept."""
PUBLIC_BYTES = 32
"""Of the public key."""
SIGNATURE_BYTES = 64
"""Of a signature."""

_PREFIX = b"meshd record 1\0"


class Signer:
    """The private key of this host.

    Args:
        key: Ed25519 private key.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        """The public key, 32 bytes."""

    @classmethod
    def from_seed(cls, seed: bytes) -> Signer:
        """The signer whose private key these 32 bytes are. Raises InputError for another length."""
        if len(seed) != SEED_BYTES:
            raise InputError(
                f"The host key has {len(seed)} bytes; {SEED_BYTES} are wanted",
                hint="Restore the file from a backup, or remove it: a new key is made then, "
                "and an administrator must admit it where admission is closed.",
            )
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, record: Record, mesh_id: str) -> Record:
        """The record with our key and signature, for this mesh."""
        record = replace(record, key=self.public)
        return replace(record, signature=self._key.sign(_signed_bytes(record, mesh_id)))

    def sign_bytes(self, message: bytes) -> bytes:
        """The signature of a message that names its own purpose (`sidecar.relay.statements`)."""
        return self._key.sign(message)


def verify(record: Record, mesh_id: str) -> bool:
    """Whether the record was signed, as it is and for this mesh, with the key that it carries."""
    try:
        key = Ed25519PublicKey.from_public_bytes(record.key)
        key.verify(record.signature, _signed_bytes(record, mesh_id))
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public: bytes) -> str:
    """A public key as people compare it: 16 hex digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def _signed_bytes(record: Record, mesh_id: str) -> bytes:
    texts = b"".join(
        struct.pack(">H", len(text)) + text
        for text in (mesh_id.encode(), record.topic.value.encode(), record.node.encode())
    )
    numbers = struct.pack(">BQQI", record.page, record.epoch, record.version, len(record.body))
    return _PREFIX + texts + numbers + record.body
