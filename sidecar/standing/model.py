"""What one host says of its configuration, as it travels in a record of topic `standing`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from store.snapshot import Epoch

__all__ = ["Standing", "Sync"]


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
