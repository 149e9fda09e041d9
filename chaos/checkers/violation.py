"""What a checker says when its invariant does not hold."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SHOWN_MAX", "Violation", "at_most"]

SHOWN_MAX = 20
"""Violations of one checker that a report shows; the others are counted."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not happen."""

    checker: str
    """Whose invariant it is."""
    at_s: float
    """When, monotonic seconds."""
    what: str
    """What happened, what was allowed; a sentence that names hosts, keys, revisions."""


def at_most(found: list[Violation], count: int = SHOWN_MAX) -> list[Violation]:
    """The first ones, and one that says how many were left out."""
    if len(found) <= count:
        return found
    last = found[-1]
    more = Violation(last.checker, last.at_s, f"and {len(found) - count} more")
    return [*found[:count], more]
