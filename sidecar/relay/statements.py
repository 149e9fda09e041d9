"""Statements: what a host has had from etcd, signed, so that whoever passes it on cannot alter it.

Standings say what a host has now, and say it seldom; under constant writes no two hosts would stand at the same
revision for long. A statement lists all recent revisions with their hashes. It holds for ever within one life of
etcd, so it needs no nonce and may be passed on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sidecar.relay.wire import HASH_BYTES, PAIRS_MAX, Attested, Statement

__all__ = ["Signs", "is_genuine", "make_statement"]


class Signs(Protocol):
    """Whoever can sign as this host: Ed25519."""

    def sign_bytes(self, message: bytes, /) -> bytes:
        """The signature of a message, 64 bytes."""


def make_statement(
    signer: Signs, mesh_id: str, node: str, cluster_id: int, pairs: Iterable[Attested]
) -> Statement:
    """This host's statement: the newest `PAIRS_MAX` of these pairs."""
    newest = tuple(sorted(pairs)[-PAIRS_MAX:])
    signature = signer.sign_bytes(_message(mesh_id, node, cluster_id, newest))
    return Statement(node, cluster_id, newest, signature)


def is_genuine(statement: Statement, mesh_id: str, key: bytes) -> bool:
    """Whether the holder of this public key said so in this mesh."""
    message = _message(mesh_id, statement.node, statement.cluster_id, statement.pairs)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(statement.signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(mesh_id: str, node: str, cluster_id: int, pairs: tuple[Attested, ...]) -> bytes:
    mesh, name = mesh_id.encode(), node.encode()
    head = b"meshd relay statement 1\0%d:%b%d:%b" % (len(mesh), mesh, len(name), name)
    rows = b"".join(pair.revision.to_bytes(8, "big") + pair.hash for pair in pairs)
    assert len(rows) == len(pairs) * (8 + HASH_BYTES)
    return head + cluster_id.to_bytes(8, "big") + rows
