"""What a row of the table of codes says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Code", "Level"]


class Level(StrEnum):
    """How bad it is: errors are refused, warnings are accepted and shown, infos are shown."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of problem; its page in the documentation is made from this row."""

    code: str
    """`MESH` and four digits; never reused."""
    level: Level
    """Error, warning or info, for every problem with this code."""
    title: str
    """What is wrong, in a few words."""
    cause: str
    """Why it is a problem, and how it usually comes about."""
    fix: str
    """What to do."""
