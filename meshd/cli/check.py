"""What a check of `meshd check` found: a sentence that holds, or what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["Check", "Outcome"]


class Outcome(Enum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    group: str
    """Heading: store, objects, sidecars or gossip."""
    outcome: Outcome
    """What was found."""
    text: str
    """It, in a sentence."""
    hints: tuple[str, ...] = ()
    """Reasons and what to do, a line each."""

    def as_json(self) -> Mapping[str, Any]:
        """The same as plain JSON."""
        return {
            "group": self.group,
            "outcome": self.outcome.value,
            "text": self.text,
            "hints": list(self.hints),
        }
