"""The verdict on a run: every checker over its history, as a value that becomes JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from chaos.checkers.activity import check_activity
from chaos.checkers.ejections import check_caps, check_holds
from chaos.checkers.members import check_members
from chaos.checkers.mixtures import check_mixtures
from chaos.checkers.registers import check_registers
from chaos.checkers.requests import check_requests, word_of
from chaos.checkers.resources import check_left_behind, check_resources
from chaos.checkers.restarts import check_restarts
from chaos.checkers.revisions import (
    check_convergence,
    check_hashes,
    check_monotonic,
    check_served,
)
from chaos.checkers.rotation import check_rotation
from chaos.checkers.violation import Violation, at_most
from chaos.history import History, Outcome

__all__ = ["CHECKERS", "Verdict", "judge"]

TOLD_MAX = 1000
"""Violations of one checker that the file of the verdict tells."""
CHECKERS: Mapping[str, Callable[[History], list[Violation]]] = {
    "registers": check_registers,
    "members": check_members,
    "monotonic": check_monotonic,
    "hashes": check_hashes,
    "convergence": check_convergence,
    "served": check_served,
    "requests": check_requests,
    "mixtures": check_mixtures,
    "rotation": check_rotation,
    "caps": check_caps,
    "holds": check_holds,
    "resources": check_resources,
    "restarts": check_restarts,
    "activity": check_activity,
    "left behind": check_left_behind,
}
"""By the name that the report and the tables use."""


@dataclass(frozen=True)
class Verdict:
    """What all checkers say."""

    violations: Mapping[str, list[Violation]]
    """By checker; an empty list: its invariant held."""
    figures: Mapping[str, Any]
    """How much was looked at."""

    @property
    def is_green(self) -> bool:
        """Whether nothing was violated."""
        return not any(self.violations.values())

    def as_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "green": self.is_green,
            "violations": {
                name: [asdict(one) for one in at_most(found, TOLD_MAX)]
                for name, found in self.violations.items()
            },
            "figures": dict(self.figures),
        }


def judge(history: History) -> Verdict:
    """Ask every checker."""
    violations = {name: check(history) for name, check in CHECKERS.items()}
    failures = Counter(word_of(one) for one in history.requests)
    ok = failures.pop("", 0)
    outcomes = Counter(one.outcome for one in history.writes)
    figures = {
        "requests": ok + sum(failures.values()),
        "failures_excused": dict(sorted(failures.items())),
        "probes": len(history.probes),
        "writes": {one.value: outcomes.get(one, 0) for one in Outcome},
        "reads": len(history.reads),
        "looks": len(history.looks),
        "fault_seconds": {
            fault.name: round(fault.ended_s - fault.began_s, 1) for fault in history.faults
        },
        "converged_s": _converged_s(history),
        "left_out_most": _left_out_most(history),
        "mesh_ejections": _mesh_ejections(history),
        "growth_mib": _growth_mib(history),
        "load": history.load,
        "etcd": history.etcd,
    }
    return Verdict(violations, figures)


def _left_out_most(history: History) -> str:
    """The largest share of a destination's endpoints that a host left out."""
    shares = [
        (listed - look.usable.get(destination, listed), listed)
        for look in history.looks
        for destination, listed in look.listed.items()
    ]
    out, listed = max(shares, default=(0, 0), key=lambda one: (one[0] / max(1, one[1]), one[1]))
    return f"{out} of {listed}"


def _mesh_ejections(history: History) -> int:
    """Endpoints that hosts began to eject together, each host counted."""
    count = 0
    known: dict[str, set[tuple[str, str]]] = {}
    for look in sorted(history.looks, key=lambda one: one.at_s):
        now = {(one.destination, one.endpoint) for one in look.ejected}
        count += len(now - known.get(look.host, set()))
        known[look.host] = now
    return count


def _growth_mib(history: History) -> float:
    """The most that a process of the mesh had more at its end than at its beginning."""
    lives: dict[tuple[str, int], list[int]] = {}
    for usage in sorted(history.usages, key=lambda one: one.at_s):
        lives.setdefault((usage.host, usage.pid), []).append(usage.rss_kib)
    return round(max((rows[-1] - rows[0] for rows in lives.values()), default=0) / 1024, 1)


def _converged_s(history: History) -> float | None:
    """From the healing until the last host stood where it stood at the end."""
    if not history.looks:
        return None
    ended: dict[str, tuple[str, int]] = {}
    since: dict[str, float] = {}
    for look in sorted(history.looks, key=lambda one: one.at_s):
        stand = (look.epoch_in_force, look.in_force)
        if ended.get(look.host) != stand:
            ended[look.host], since[look.host] = stand, look.at_s
    return round(max(0.0, max(since.values()) - history.healed_s), 2)
