"""Never an empty or half-applied mesh: what belongs to one change set is seen together, or not at all.

The probed service has a route that says the number of its change in a header and names a subset of that number;
the subset, written in the same change set, selects one of two groups of applications, by the parity of the number.
So an answer of route N by the wrong group, or no answer for want of the subset, is a mix of two revisions.
"""

from __future__ import annotations

import math

from chaos.checkers.killed import was_killed
from chaos.checkers.violation import Violation
from chaos.history import History

__all__ = ["GROUPS", "check_mixtures"]

PROBE_S = 6.0
"""A probe has ended by then, one way or another."""
GROUPS = ("even", "odd")


def check_mixtures(history: History) -> list[Violation]:
    """Each probe that was answered, and each that failed for want of configuration."""
    found = []
    for probe in history.probes:
        flags = set(probe.reason.split(","))
        if probe.status == 404 or flags & {"NR", "NC"}:
            what = f"at {probe.host} the probed service had no route or no cluster ({probe.status}, {probe.reason})"
            found.append(Violation("mixtures", probe.at_s, what))
        elif probe.status == 200 and probe.route is None:
            what = f"at {probe.host} the answer says no change: another route answered"
            found.append(Violation("mixtures", probe.at_s, what))
        elif probe.status == 200 and probe.route is not None:
            wanted = GROUPS[probe.route % 2]
            if probe.group != wanted:
                what = (
                    f"at {probe.host} the route of change {probe.route} was answered by group "
                    f"{probe.group}; its subset has {wanted}"
                )
                found.append(Violation("mixtures", probe.at_s, what))
    return found + _backwards(history)


def _backwards(history: History) -> list[Violation]:
    """Of two probes of which one had ended when the other began, the later one never meets an older change.

    But at a host that began again from its disk, and where etcd itself went back.
    """
    ends_s = min((fault.healing_s for fault in history.faults if fault.new_epoch), default=math.inf)
    found = []
    newest: dict[str, list[tuple[float, int]]] = {}
    for probe in sorted(history.probes, key=lambda one: one.at_s):
        if probe.status != 200 or probe.route is None or probe.at_s > ends_s:
            continue
        known = newest.setdefault(probe.host, [])
        before = max((route for at_s, route in known if at_s + PROBE_S < probe.at_s), default=0)
        if probe.route < before:
            if was_killed(history.faults, probe.host, probe.at_s):
                known.clear()
            else:
                what = f"at {probe.host} the route of change {probe.route} answered after that of change {before}"
                found.append(Violation("mixtures", probe.at_s, what))
        known.append((probe.at_s, probe.route))
    return found
