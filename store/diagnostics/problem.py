"""What one problem is: its place, its code, what was found and what to do.

The level of a problem comes from the table of codes alone, so that one code is never an error here and a
warning there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from store.diagnostics.code import Level
from store.diagnostics.codes import CODES

__all__ = ["Diagnostic", "Path", "diagnose", "path_text"]

Path = tuple[str | int, ...]
"""A field path in parts: names of fields (as in YAML) and positions in lists."""

_PLAIN_PART = re.compile(r"[A-Za-z_@][\w@-]*\Z")


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


def diagnose(
    code: str,
    message: str,
    *,
    path: Path | str = "",
    hint: str = "",
    file: str = "",
    place: tuple[int, int] = (0, 0),
    about: str = "",
) -> Diagnostic:
    """A problem with the level that the table of codes gives to `code`.

    Args:
        code: A code of the table; any other is a programming error.
        message: What was found and what was allowed; one sentence, no final full stop.
        path: The field concerned, in parts or as text.
        hint: What to do next.
        file: File name, or `Kind/namespace/name@revision`.
        place: Line and column, both from 1; zeros when not known.
        about: `Kind/namespace/name` of the object concerned.
    """
    return Diagnostic(
        file=file,
        line=place[0],
        column=place[1],
        code=code,
        path=path if isinstance(path, str) else path_text(path),
        message=message,
        hint=hint,
        level=CODES[code].level,
        object=about,
    )


def path_text(path: Path) -> str:
    """A path as people write it: `spec.http[0].match[1].headers["x.y"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_PART.match(part):
            text += f".{part}" if text else part
        else:
            shown = part if len(part) <= 80 else part[:77] + "..."
            text += '["' + shown.encode("unicode_escape").decode("ascii") + '"]'
    return text
