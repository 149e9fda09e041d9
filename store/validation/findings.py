"""What the rules for one object have found, before it is known where in a file that is."""

from __future__ import annotations

from typing import NamedTuple

from store.diagnostics import CODES, Level, Path

__all__ = ["Finding", "Findings"]


class Finding(NamedTuple):
    """One problem at a field."""

    code: str
    """A code of the table."""
    path: Path
    """The field, in parts; may name a field that is missing."""
    message: str
    """What was found and what is allowed."""
    hint: str = ""
    """What to do."""
    at_key: bool = False
    """Whether to point at the field's name instead of its value."""


class Findings:
    """Collects what the rules find, in the order of the rules."""

    def __init__(self) -> None:
        self.found: list[Finding] = []

    def add(
        self, code: str, path: Path, message: str, hint: str = "", *, at_key: bool = False
    ) -> None:
        """Note one problem.

        Args:
            code: A code of the table; it decides the level.
            path: The field, in parts.
            message: What was found and what is allowed; no final full stop.
            hint: What to do.
            at_key: Point at the field's name, since the value as a whole is meant.
        """
        assert code in CODES, code
        self.found.append(Finding(code, path, message, hint, at_key))

    def has_errors(self) -> bool:
        """Whether anything found is an error."""
        return any(CODES[finding.code].level is Level.ERROR for finding in self.found)
