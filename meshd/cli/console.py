"""Where words go: what was asked for to standard output, talk about it to standard error.

Decides about colour: only on a terminal unless told, and never as the only carrier of a meaning.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

import click

__all__ = ["Console", "wants_colour"]

_LEVELS = {
    "error": "red",
    "invalid": "red",
    "deleted": "red",
    "warning": "yellow",
    "configured": "yellow",
    "created": "green",
}
"""Words that stand out where colour is shown."""

_CLEAR = "\r\x1b[2K"
"""Back to the beginning of the line, and empty it."""

_WORD = re.compile(rf"\b(?:{'|'.join(_LEVELS)})\b(?!-)")


@dataclass(frozen=True, slots=True)
class Console:
    """The two streams of one run and how to write to them."""

    quiet: bool = False
    """Whether talk is left out; errors are always said."""
    verbose: bool = False
    """Whether details are said, and a bug's traceback is shown."""
    colour: bool | None = None
    """Colour always (True), never (False), or on terminals only (None)."""

    def say(self, text: str, *, nl: bool = True) -> None:
        """What the command was asked for, to standard output."""
        click.echo(text, nl=nl, color=self.colour)

    def say_words(self, text: str) -> None:
        """As `say`, with created, configured, deleted and the like in colour."""
        click.echo(_painted(text), color=self.colour)

    def note(self, text: str) -> None:
        """Talk, to standard error; nothing with `-q`."""
        if not self.quiet:
            click.echo(text, err=True, color=self.colour)

    def detail(self, text: str) -> None:
        """Talk that only `-v` shows."""
        if self.verbose:
            click.echo(text, err=True, color=self.colour)

    @property
    def shows_progress(self) -> bool:
        """Whether somebody watches: only on a terminal, and not with `-q`."""
        return not self.quiet and _is_terminal(sys.stderr)

    def progress(self, text: str) -> None:
        """A line that the next one takes the place of; nothing where nobody watches."""
        if self.shows_progress:
            click.echo(f"{_CLEAR}{text}", err=True, nl=False, color=True)

    def clear_progress(self) -> None:
        """Take the line of progress away."""
        if self.shows_progress:
            click.echo(_CLEAR, err=True, nl=False, color=True)

    def warn(self, text: str) -> None:
        """Problems, to standard error, also with `-q`."""
        click.echo(_painted(text), err=True, color=self.colour, nl=not text.endswith("\n"))

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where output goes elsewhere and nothing may be cut."""
        return shutil.get_terminal_size().columns if _is_terminal(sys.stdout) else None

    @property
    def is_interactive(self) -> bool:
        """Whether a person can be asked."""
        return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def wants_colour(told: str | None, environment: Mapping[str, str]) -> bool | None:
    """What `--color`, NO_COLOR, FORCE_COLOR and TERM say: yes, no, or None for terminals only."""
    if told in ("always", "never"):
        return told == "always"
    if told is None and environment.get("NO_COLOR"):
        return False
    if told is None and environment.get("FORCE_COLOR"):
        return True
    return False if environment.get("TERM") == "dumb" else None


def _painted(text: str) -> str:
    return _WORD.sub(lambda found: click.style(found.group(), fg=_LEVELS[found.group()]), text)


def _is_terminal(stream: IO[str] | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()
