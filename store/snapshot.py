"""Snapshots of the store: immutable, labelled (epoch, revision), cheap to derive from one another.

A snapshot holds raw bytes, not models (30,000 modest models were measured at 2.8 s and 199 MB, their JSON at
15 MB). All events of one etcd revision are in it together or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Entry", "Epoch"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of etcd under the mesh's prefix, as it is at one revision."""

    key: str
    """Key relative to the prefix, for instance `ns/default/virtualservices/reviews` or `hosts/vm-7`."""
    value: bytes
    """The value exactly as stored."""
    create_revision: int
    """Revision at which the key came to be: the order of creation that Istio's ties are broken by."""
    mod_revision: int
    """Revision of this value; shown as `metadata.resourceVersion`."""
    version: int
    """How many values the key has had since creation; shown as `metadata.generation`."""
    lease: int = 0
    """Lease that the key hangs on, 0 for none."""


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """One life of one etcd: revisions are comparable only within it."""

    life: int
    """Counts the epochs that this sidecar has followed, from 1."""
    cluster_id: int
    """etcd's cluster id."""

    def __str__(self) -> str:
        return f"{self.cluster_id:x}.{self.life}"
