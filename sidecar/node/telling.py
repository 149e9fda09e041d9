"""What a person may want to read in the log: registrations that ran out, values that do not serve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sidecar.node.events import Transition
from sidecar.registration.events import (
    Effect,
    HostKept,
    HostLeft,
    HostReturned,
    RemovalsHalted,
    RemovalsResumed,
)
from store.catalog import Catalog

__all__ = ["told_of_quarantine", "told_of_registrations"]

QUARANTINES_SAID_MAX = 20
"""Quarantined values that one step logs by name; the status lists them all."""


def told_of_registrations(effects: Iterable[Effect]) -> Iterator[Transition]:
    """What registrations coming and going mean; what else changed with them is found by the mesh."""
    for effect in effects:
        match effect:
            case HostKept(host=host, workloads=workloads):
                yield Transition("host_kept", {"host": host, "workloads": workloads}, "warning")
            case HostReturned(host=host, away_s=away_s):
                yield Transition("host_returned", {"host": host, "away_s": round(away_s, 3)})
            case HostLeft(host=host, workloads=workloads, departure=departure):
                facts = {"host": host, "workloads": workloads, "reason": departure.value}
                yield Transition("host_left", facts)
            case RemovalsHalted(ran_out=ran_out, known=known):
                yield Transition("removals_halted", {"ran_out": ran_out, "known": known}, "error")
            case RemovalsResumed():
                yield Transition("removals_resumed")
            case _:
                pass


def told_of_quarantine(before: Catalog, after: Catalog) -> Iterator[Transition]:
    """The values that do not serve since this step."""
    known = {(row.key, row.revision) for row in before.quarantined}
    fresh = [row for row in after.quarantined if (row.key, row.revision) not in known]
    if len(fresh) > QUARANTINES_SAID_MAX:
        yield Transition("objects_quarantined", {"count": len(fresh)}, "warning")
    for row in fresh[:QUARANTINES_SAID_MAX]:
        facts = {
            "object": str(row.ref or row.key),
            "revision": row.revision,
            "serving_revision": row.serving_revision,
            "reason": "; ".join(problem.message for problem in row.diagnostics[:3]),
        }
        yield Transition("object_quarantined", facts, "warning")
