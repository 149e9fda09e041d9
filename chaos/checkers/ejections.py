"""Caps of ejection hold at all times, and no healthy endpoint stays ejected beyond its hold."""

from __future__ import annotations

from chaos.checkers.violation import Violation
from chaos.history import FaultSpan, History

__all__ = ["SLACK_S", "check_caps", "check_holds"]

SLACK_S = 6.0
"""After a hold, or an illness: until every host has heard of it and looked again."""


def check_caps(history: History, max_ejection_percent: int = 50) -> list[Violation]:
    """At every host, at every look: a destination keeps its share of endpoints, and at least one."""
    found = []
    for look in history.looks:
        for destination, listed in look.listed.items():
            usable = look.usable.get(destination, listed)
            allowed = max(1, listed * max_ejection_percent // 100) if listed > 1 else 0
            if listed - usable > allowed:
                found.append(
                    Violation(
                        "caps",
                        look.at_s,
                        f"{look.host} leaves out {listed - usable} of {listed} endpoints of {destination}; "
                        f"{allowed} are allowed",
                    )
                )
    return found


def check_holds(history: History) -> list[Violation]:
    """An endpoint that is well is not mesh-ejected, but for the hold that it got for having been ill, and a moment."""
    found = []
    held_until_s: dict[tuple[str, str, str], float] = {}
    agreed_until_s: dict[
        tuple[str, str], float
    ] = {}  # a host that comes late takes the ejection of the others
    for look in sorted(history.looks, key=lambda one: one.at_s):
        ejected = {(one.destination, one.endpoint): one for one in look.ejected}
        for key in [key for key in held_until_s if key[0] == look.host and key[1:] not in ejected]:
            del held_until_s[key]
        for place, one in ejected.items():
            key = (look.host, *place)
            is_sick = _is_sick(history.faults, one.backend, look.at_s)
            is_known = one.until_s <= agreed_until_s.get(place, 0.0) + SLACK_S
            if key not in held_until_s and not (is_sick or is_known):
                what = f"{look.host} ejects {one.endpoint} of {one.destination}, which is well"
                found.append(Violation("holds", look.at_s, what))
            if is_sick:
                agreed_until_s[place] = max(one.until_s, agreed_until_s.get(place, 0.0))
            if key not in held_until_s or is_sick:
                held_until_s[key] = one.until_s
            over_s = look.at_s - held_until_s[key]
            if over_s > SLACK_S and not is_sick:
                what = (
                    f"{look.host} still ejects {one.endpoint} of {one.destination}, which is well; "
                    f"its hold ended {over_s:.1f} s ago"
                )
                found.append(Violation("holds", look.at_s, what))
                held_until_s[key] = look.at_s
    return found


def _is_sick(faults: list[FaultSpan], backend: str, at_s: float) -> bool:
    """Whether a fault touches the application, or everybody's, or did a moment ago.

    One that permits no failure makes nobody ill, nor does one that permits failures of a host's own requests alone.
    """
    return any(
        fault.began_s <= at_s <= fault.ended_s + SLACK_S
        and fault.permits
        and (backend in fault.backends if fault.backends or fault.hosts else True)
        for fault in faults
    )
