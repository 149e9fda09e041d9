"""Diagnostics: one problem of one input, where it is, and what to do about it.

The table of codes (`CODES`) is the only place where a code is given its level and meaning; a code is never
used for anything else once it has been released.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Diagnostic", "Level"]


class Level(StrEnum):
    """How bad it is: errors are refused, warnings are accepted and shown, infos are shown."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One problem. Sorts by position."""

    file: str
    """File name, `-` for standard input, or `Kind/namespace/name@revision` for a stored object."""
    line: int
    """Line from 1; 0 when the place is not known."""
    column: int
    """Column from 1; 0 when the place is not known."""
    code: str
    """Stable code, `MESH` and four digits."""
    path: str
    """Field path such as `spec.http[0].route[1].weight`; empty for the document as a whole."""
    message: str
    """What was found and what was allowed."""
    hint: str = ""
    """What to do; empty when the message says it."""
    level: Level = Level.ERROR
    """Error, warning or info."""
    object: str = ""
    """`Kind/namespace/name` of the object concerned, where it could be read."""
