"""Bugs sown into the cores, one at a time: a run with one of them must fail, and with the right verdict.

Each is a function that plants it with pytest's `monkeypatch`; nothing of the core's own code is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from sidecar.outlier.caps import Cap
from sidecar.registration.expiry import Registrations
from sidecar.xds.resource import TypeUrl
from sidecar.xds.session import Session
from sidecar.xds.session_channel import Batch, Channel, Wait
from store.mirror.events import Deleted
from store.mirror.following import follow
from store.snapshot import Entry, Snapshot

__all__ = ["MUTANTS", "Mutant"]

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutant:
    """One sown bug."""

    name: str
    plant: Plant
    caught_by: frozenset[str]
    """Checkers of which one must see it."""
    hosts: int = 4
    only: tuple[str, ...] = ()
    """The faults that happen; none: what each seed draws."""


def lost_event(patch: pytest.MonkeyPatch) -> None:
    """The Mirror drops the last event of a change set."""

    def losing(
        snapshot: Snapshot, changes: Iterable[Entry | Deleted], known_revision: int
    ) -> tuple[Snapshot, int, int]:
        rows = list(changes)
        return follow(snapshot, rows[:-1] if len(rows) > 2 else rows, known_revision)

    patch.setattr("store.mirror.machine.follow", losing)


def other_life_not_known(patch: pytest.MonkeyPatch) -> None:
    """A watch on a restored etcd is taken up as if it were the one before: a stale snapshot is accepted."""
    patch.setattr("store.mirror.judgement.is_new_life", lambda *_: False)
    patch.setattr("store.mirror.machine.is_new_life", lambda *_: False)


def caps_ignored(patch: pytest.MonkeyPatch) -> None:
    """Shared ejection takes every candidate."""
    patch.setattr(Cap, "allowed", property(lambda _: 99))


def routes_before_clusters(patch: pytest.MonkeyPatch) -> None:
    """Virtual hosts are sent first, and wait for nothing."""
    advance = Session._advance

    def hasty(self: Session, now_s: float) -> None:
        if self._known and self._stream is not None:
            self._send(TypeUrl.VIRTUAL_HOST, now_s)
        advance(self, now_s)

    patch.setattr("sidecar.xds.session.gate", lambda *_: lambda _name, _wait: True)
    patch.setattr(Session, "_advance", hasty)


def half_a_change(patch: pytest.MonkeyPatch) -> None:
    """One virtual host a response."""
    take = Channel.take

    def one(self: Channel, may_go: Callable[[str, Wait], bool]) -> Batch:
        if self.type_url is not TypeUrl.VIRTUAL_HOST:
            return take(self, may_go)
        chosen: list[str] = []

        def single(name: str, wait: Wait) -> bool:
            if chosen or not may_go(name, wait):
                return False
            chosen.append(name)
            return True

        return take(self, single)

    patch.setattr(Channel, "take", one)


def clusters_removed_at_once(patch: pytest.MonkeyPatch) -> None:
    """Clusters that go do not wait for the routes that still name them."""
    send = Session._send_clusters

    def hasty(self: Session, now_s: float) -> None:
        due = tuple(sorted(self._channels[TypeUrl.CLUSTER].leaving))
        if due:
            self._respond(self._channels[TypeUrl.CLUSTER], Batch((), due), now_s)
        send(self, now_s)

    patch.setattr(Session, "_send_clusters", hasty)


def told_too_soon(patch: pytest.MonkeyPatch) -> None:
    """A state is told to be in force as soon as it is sent."""
    patch.setattr("sidecar.xds.session.settled", lambda _channels, newest: newest)


def leases_are_believed(patch: pytest.MonkeyPatch) -> None:
    """A host whose registration ran out goes at once, whoever speaks for it."""

    def lose(self: Registrations, host: str, *_: Any) -> list[Any]:
        self._seen = self._seen.delete(host)
        self._put_in_force(host, None)
        return []

    patch.setattr(Registrations, "_lose", lose)


def revision_mislabelled(patch: pytest.MonkeyPatch) -> None:
    """Each snapshot of the store is labelled one revision ahead of what it holds."""

    def ahead(
        snapshot: Snapshot, changes: Iterable[Entry | Deleted], known_revision: int
    ) -> tuple[Snapshot, int, int]:
        found, reached, dropped = follow(snapshot, changes, known_revision)
        return found.apply((), (), reached + 1), reached + 1, dropped

    patch.setattr("store.mirror.machine.follow", ahead)


def _caught(*names: str) -> frozenset[str]:
    return frozenset(names)


MUTANTS = (
    Mutant("lost event", lost_event, _caught("SameContent")),
    Mutant("revision mislabelled", revision_mislabelled, _caught("SameContent")),
    Mutant(
        "other life not known",
        other_life_not_known,
        _caught("SameContent", "RevisionsGrow", "Converges"),
        only=("restore",),
    ),
    Mutant("caps ignored", caps_ignored, _caught("CapsHold"), hosts=3, only=("sick_in_turn",)),
    Mutant("routes before clusters", routes_before_clusters, _caught("WholeChanges")),
    Mutant("told too soon", told_too_soon, _caught("InForceIsTrue")),
    Mutant("half a change", half_a_change, _caught("WholeChanges")),
    Mutant("clusters removed at once", clusters_removed_at_once, _caught("WholeChanges")),
    Mutant(
        "leases are believed",
        leases_are_believed,
        _caught("NeverEmpty"),
        only=("all_crash", "leases_end"),
    ),
)
