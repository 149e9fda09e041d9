"""Caps of ejection hold at all times, and no healthy endpoint stays ejected beyond its hold."""

from __future__ import annotations

from collections import defaultdict

from chaos.checkers.violation import Violation
from chaos.history import FaultSpan, History, Look

__all__ = ["SLACK_S", "check_caps", "check_holds"]

SLACK_S = 10.0
"""After a hold: a trial, its successes, and the moment at which each host takes it back."""


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
    """An endpoint that was well all the while is not mesh-ejected for longer than its hold, and a moment."""
    found = []
    spans: dict[tuple[str, str, str], list[Look]] = defaultdict(list)
    held_until_s: dict[tuple[str, str, str], float] = {}
    for look in sorted(history.looks, key=lambda one: one.at_s):
        ejected = {(one.destination, one.endpoint): one for one in look.ejected}
        for key in [key for key in spans if key[0] == look.host and key[1:] not in ejected]:
            del spans[key], held_until_s[key]
        for place, one in ejected.items():
            key = (look.host, *place)
            if not spans[key]:
                held_until_s[key] = one.until_s
            spans[key].append(look)
            since_s = spans[key][0].at_s
            is_over = look.at_s > held_until_s[key] + SLACK_S
            if is_over and not _was_sick(history.faults, one.backend, since_s, look.at_s):
                what = (
                    f"{look.host} still ejects {one.endpoint} of {one.destination}, which is well; "
                    f"its hold ended {look.at_s - held_until_s[key]:.1f} s ago"
                )
                found.append(Violation("holds", look.at_s, what))
                held_until_s[key] = one.until_s + SLACK_S
    return found


def _was_sick(faults: list[FaultSpan], backend: str, since_s: float, until_s: float) -> bool:
    """Whether a fault touched the application, or everything, in this time or shortly before its hold's end."""
    return any(
        fault.began_s <= until_s
        and fault.ended_s + SLACK_S >= since_s
        and (not fault.backends or backend in fault.backends)
        for fault in faults
    )
