"""Caps of ejection hold at all times, and no healthy endpoint stays ejected beyond its hold."""

from __future__ import annotations

import math

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


def check_holds(history: History) -> list[Violation]:
    """An endpoint that is well is not mesh-ejected, but for the hold that it got for having been ill, and a moment.

    On trial it may get another hold by a host whose own requests fail: that one alone is believed there, since it
    cannot begin an ejection (docs/ejection.md, step 8).
    """
    found = []
    felt = [(fault, felt_until_s(fault, history) + SLACK_S) for fault in history.faults]
    held_until_s: dict[tuple[str, str, str], float] = {}
    # A host that comes late takes the ejection of the others.
    agreed_until_s: dict[tuple[str, str], float] = {}
    # When any host last had it left out.
    left_out_s: dict[tuple[str, str], float] = {}
    for look in sorted(history.looks, key=lambda one: one.at_s):
        ejected = {(one.destination, one.endpoint): one for one in look.ejected}
        for key in [key for key in held_until_s if key[0] == look.host and key[1:] not in ejected]:
            del held_until_s[key]
        for place, one in ejected.items():
            key = (look.host, *place)
            is_sick = _is_sick(felt, one.backend, look)
            is_known = one.until_s <= agreed_until_s.get(place, 0.0) + SLACK_S
            # A trial may also come and go between two looks.
            over_s = held_until_s.get(key, left_out_s.get(place, math.inf))
            is_tried = over_s <= look.at_s <= over_s + TRIAL_S
            may_be = is_sick or (is_tried and _is_broken(felt, look))
            left_out_s[place] = look.at_s
            if key not in held_until_s and not (may_be or is_known):
                what = f"{look.host} ejects {one.endpoint} of {one.destination}, which is well"
                found.append(Violation("holds", look.at_s, what))
            if may_be:
                agreed_until_s[place] = max(one.until_s, agreed_until_s.get(place, 0.0))
            if key not in held_until_s or may_be or is_known:
                held_until_s[key] = one.until_s
            late_s = look.at_s - held_until_s[key]
            if late_s > SLACK_S and not is_sick:
                what = (
                    f"{look.host} still ejects {one.endpoint} of {one.destination}, which is well; "
                    f"its hold ended {late_s:.1f} s ago"
                )
                found.append(Violation("holds", look.at_s, what))
                held_until_s[key] = look.at_s
    return found


def _is_broken(felt: list[tuple[FaultSpan, float]], look: Look) -> bool:
    """Whether some host's own requests fail by a fault, or just did."""
    return any(
        fault.began_s <= look.at_s <= until_s and fault.permits and fault.hosts
        for fault, until_s in felt
    )


def _is_sick(felt: list[tuple[FaultSpan, float]], backend: str, look: Look) -> bool:
    """Whether an application may look ill at a host: a fault touches it, or the host, or everybody, or just did.

    One that permits no failure makes nobody ill. One that permits failures of a host's own requests makes others look
    ill there, and nowhere else: that host is not to be believed.
    """
    return any(
        fault.began_s <= look.at_s <= until_s
        and fault.permits
        and (
            not (fault.backends or fault.hosts)
            or backend in fault.backends
            or look.host in fault.hosts
        )
        for fault, until_s in felt
    )
