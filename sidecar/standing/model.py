"""What one host says of its configuration, as it travels in a record of topic `standing`."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum

from store.snapshot import Epoch

__all__ = ["HASH_DIGITS", "Standing", "Sync", "mark_of"]

HASH_DIGITS = 32
"""Hex digits of a snapshot's hash that are told: 128 bits, beyond chance and beyond search."""


class Sync(StrEnum):
    """Where a host has its configuration from."""

    STORE = "store"
    """It follows etcd."""
    PEERS = "peers"
    """etcd is out of its reach: it follows peers."""
    STALE = "stale"
    """It serves what it has and hears of nothing newer."""
    HELD = "held"
    """It holds off another epoch until a person decides."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What one host says of itself."""

    epoch: Epoch | None
    """The epoch that it follows; None before the first snapshot."""
    received: int
    """Revision of the newest snapshot it has."""
    received_hash: str
    """Hash of all keys and values at that revision (`Snapshot.hash`), shortened to 32 hex digits."""
    in_force: int
    """Newest revision that its Envoy has wholly in force; 0 when none has been."""
    sync: Sync
    """Where its configuration comes from."""
    quarantined: int = 0
    """Objects that it does not take as they are."""
    rejected: int = 0
    """Resources that its Envoy refused."""
    version: str = ""
    """Version of the sidecar."""
    withheld: tuple[int, ...] = ()
    """Marks (`mark_of`) of keys whose newest value it does not have in force as it is written: quarantined, or refused
    by its Envoy. So whoever wrote them learns of it from any host. Sorted; the first `WITHHELD_MAX` only."""


def mark_of(key: str) -> int:
    """32 bits that stand for a relative key of the store: enough to find one's own keys among few."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass"))
