"""Caps of ejection hold at all times, and no healthy endpoint stays ejected beyond its hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chaos.checkers.killed import felt_until_s
from chaos.checkers.violation import Violation
from chaos.history import FaultSpan, History, Look

__all__ = ["SLACK_S", "check_caps", "check_holds"]

SPARED_S = 2.0
"""From an ejection by a host's own Envoy until the mesh's gives way to it there: a look at Envoy, and a push."""
TRIAL_S = 10.0
"""After an ejection: until a trial has ended one way or the other."""
SLACK_S = 6.0
"""After a hold, or an illness: until every host has heard of it and looked again."""


def check_caps(history: History, max_ejection_percent: int = 50) -> list[Violation]:
    """At every look at a host a destination keeps its share of endpoints.

    What the mesh ejects, and what a host's own Envoy does, each stay within the cap at once. Their sum does once the
    sidecar has seen what its Envoy did, and has spared an endpoint for it. An Envoy does not say whose doing it is:
    what the mesh imposed until a moment ago is taken for its doing still.
    """
    found = []
    over_since_s: dict[tuple[str, str], float] = {}
    by_mesh = _ByMesh()
    for look in sorted(history.looks, key=lambda one: one.at_s):
        by_mesh.see(look)
        for destination, listed in look.listed.items():
            out = listed - look.usable.get(destination, listed)
            allowed = max(1, listed * max_ejection_percent // 100) if listed > 1 else 0
            if out <= allowed:
                over_since_s.pop((look.host, destination), None)
                continue
            since_s = over_since_s.setdefault((look.host, destination), look.at_s)
            now = by_mesh.count(look, destination, lately=False)
            is_sum = now <= allowed and out - by_mesh.count(look, destination) <= allowed
            if is_sum and look.at_s - since_s <= SPARED_S:
                continue
            what = f"{look.host} leaves out {out} of {listed} endpoints of {destination}; {allowed} are allowed"
            found.append(Violation("caps", look.at_s, what))
    return found


class _ByMesh:
    """What the mesh has each host leave out, and what it had a moment ago: an Envoy has yet to take that back."""

    def __init__(self) -> None:
        self._over_s: dict[tuple[str, str], float | None] = {}
        """When a look first found it over, by host and what is imposed there; None while it lasts."""

    def see(self, look: Look) -> None:
        """Take the next look at a host."""
        for (host, name), over_s in self._over_s.items():
            if host == look.host and name not in look.imposed and over_s is None:
                self._over_s[host, name] = look.at_s
        self._over_s.update(dict.fromkeys((look.host, name) for name in look.imposed))

    def count(self, look: Look, destination: str, *, lately: bool = True) -> int:
        """Endpoints that are the mesh's at this look; `lately`: also those that were `SPARED_S` ago or less."""
        return sum(
            over_s is None or (lately and look.at_s - over_s <= SPARED_S)
            for (host, name), over_s in self._over_s.items()
            if host == look.host and name.startswith(f"{destination}.")
        )


def check_holds(history: History, hold_max_s: float = 20.0) -> list[Violation]:
    """An endpoint that is well is not mesh-ejected, but for the hold that it got for having been ill, and a moment.

    A host whose own requests fail sees everybody ill, and nobody else is to believe it. In a trial it alone is
    believed: so it may prolong what was rightly begun, by a hold, and begin nothing (docs/ejection.md, "Who is not
    believed").

    Args:
        history: Of a run.
        hold_max_s: The longest hold (`maxEjectionTime`).
    """
    found = []
    # A fault that permits no failure makes nobody look ill.
    felt = [
        (fault, felt_until_s(fault, history) + SLACK_S) for fault in history.faults if fault.permits
    ]
    held_until_s: dict[tuple[str, str, str], float] = {}
    # A host that comes late takes the ejection of the others.
    agreed_until_s: dict[tuple[str, str], float] = {}
    # When anybody last had it left out, but for those who see everybody ill.
    left_out_s: dict[tuple[str, str], float] = {}
    for look in sorted(history.looks, key=lambda one: one.at_s):
        now = [fault for fault, until_s in felt if fault.began_s <= look.at_s <= until_s]
        ejected = {(one.destination, one.endpoint): one for one in look.ejected}
        for key in [key for key in held_until_s if key[0] == look.host and key[1:] not in ejected]:
            del held_until_s[key]
        for place, one in ejected.items():
            key = (look.host, *place)
            is_ill = _is_ill(now, one.backend)
            is_ill_here = is_ill or _is_broken(now, look.host)
            # A trial may also come and go between two looks.
            tried_s = held_until_s.get(key, left_out_s.get(place, math.inf))
            is_prolonged = (
                tried_s <= look.at_s <= tried_s + TRIAL_S
                and one.until_s <= look.at_s + hold_max_s + 1.0
                and _is_broken(now)
            )
            may_be = is_ill_here or is_prolonged
            is_known = one.until_s <= agreed_until_s.get(place, 0.0) + SLACK_S
            if key not in held_until_s and not (may_be or is_known):
                what = f"{look.host} ejects {one.endpoint} of {one.destination}, which is well"
                found.append(Violation("holds", look.at_s, what))
            if is_ill or not is_ill_here:
                left_out_s[place] = look.at_s
            if is_ill or is_prolonged:
                agreed_until_s[place] = max(one.until_s, agreed_until_s.get(place, 0.0))
            if key not in held_until_s or may_be:
                held_until_s[key] = one.until_s
            elif is_known:
                held_until_s[key] = max(held_until_s[key], agreed_until_s[place])
            late_s = look.at_s - held_until_s[key]
            if late_s > SLACK_S and not is_ill_here:
                what = (
                    f"{look.host} still ejects {one.endpoint} of {one.destination}, which is well; "
                    f"its hold ended {late_s:.1f} s ago"
                )
                found.append(Violation("holds", look.at_s, what))
                held_until_s[key] = look.at_s
    return found


def _is_ill(now: Sequence[FaultSpan], backend: str) -> bool:
    """Whether an application may look ill to everybody: one of the faults touches it, or all."""
    return any(backend in fault.backends or not (fault.backends or fault.hosts) for fault in now)


def _is_broken(now: Sequence[FaultSpan], host: str = "") -> bool:
    """Whether this host's own requests fail by one of the faults; without a name: any host's."""
    return any(host in fault.hosts if host else fault.hosts for fault in now)
