"""Whose key may speak for which host.

An admission record binds a key to a host, whatever was seen before. Where admission is open, the first key that a
host's record comes with is bound; another one is taken only from a later life of the host, after this member has held
it dead or left: who lost its key must be gone for a while, and nobody can take the name of a host that is there.
Where it is closed, hosts without admission are not believed. Does not check signatures: `sidecar.gossip.signing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sidecar.gossip.records import Record

__all__ = ["BOUND_MAX", "Basis", "Refusal", "Trust"]

BOUND_MAX = 20_000
"""Keys bound at first sight; beyond, new hosts are not believed. More than there are members."""


class Refusal(StrEnum):
    """Why a record is not believed, or not taken."""

    SIGNATURE = "signature"
    """It was altered, is of another mesh, or was not signed with the key that it carries."""
    OTHER_KEY = "other_key"
    """Another key is bound to the host."""
    NOT_ADMITTED = "not_admitted"
    """Admission is closed, and the host has none."""
    UNKNOWN_HOST = "unknown_host"
    """No such member, or no such life of it, is known here (yet)."""
    GONE = "gone"
    """The host has left, or began a later life."""
    TOO_OLD = "too_old"
    """Evidence that is dead already."""
    FULL = "full"
    """As many records, or keys, are held as may be."""
    FLOOD = "flood"
    """More came at once than may be verified; exchanges repair what is lost by it."""


class Basis(StrEnum):
    """Why a key is believed."""

    ADMITTED = "admitted"
    """An admission record names it."""
    FIRST_SIGHT = "first_sight"
    """It was the first one seen."""


@dataclass(slots=True)
class _Bound:
    key: bytes
    epoch: int
    """Newest life that spoke with it."""
    free_from: int | None = None
    """Boot epoch of a life that may bring another key."""


class Trust:
    """The keys that are believed."""

    def __init__(self) -> None:
        self._admitted: Mapping[str, bytes] = {}
        self._bound: dict[str, _Bound] = {}
        self.is_closed = False
        """Whether hosts without admission are refused."""

    def set(self, keys: Mapping[str, bytes], *, is_closed: bool) -> None:
        """Believe these admission records, in the place of those before."""
        self._admitted = dict(keys)
        self.is_closed = is_closed

    def key_of(self, node: str) -> tuple[bytes, Basis] | None:
        """The key that is believed for this host, and why; None when none is (yet)."""
        admitted = self._admitted.get(node)
        if admitted is not None:
            return admitted, Basis.ADMITTED
        bound = self._bound.get(node)
        if bound is None or self.is_closed:
            return None
        return bound.key, Basis.FIRST_SIGHT

    def refusal(self, record: Record) -> Refusal | None:
        """Why the key of this record is not that of its host; None when it is, or may be bound to it."""
        known = self.key_of(record.node)
        if known is None:
            if self.is_closed:
                return Refusal.NOT_ADMITTED
            return None if len(self._bound) < BOUND_MAX else Refusal.FULL
        key, basis = known
        if key == record.key:
            return None
        if basis is Basis.FIRST_SIGHT:
            bound = self._bound[record.node]
            if bound.free_from is not None and record.epoch >= bound.free_from > bound.epoch:
                return None
        return Refusal.OTHER_KEY

    def bind(self, record: Record) -> None:
        """This record's signature is right: bind its key where no admission says which one."""
        if record.node in self._admitted or self.is_closed:
            return
        bound = self._bound.get(record.node)
        if bound is None or bound.key != record.key:
            self._bound[record.node] = _Bound(record.key, record.epoch)
        else:
            bound.epoch = max(bound.epoch, record.epoch)

    def free(self, node: str, epoch: int) -> None:
        """The host was held dead or left, and began this life: it may bring another key."""
        bound = self._bound.get(node)
        if bound is not None and epoch > bound.epoch:
            bound.free_from = epoch

    def forget(self, node: str) -> None:
        """Bind no key to this host by sight."""
        self._bound.pop(node, None)
