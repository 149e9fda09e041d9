"""What the demo prints: steps, objects, numbers. Words carry every meaning; colour only helps, where it is wanted."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

__all__ = ["Screen", "wants_colour"]

_COLOURS = {"title": "1;36", "good": "32", "bad": "1;31", "dim": "2", "comment": "2;3"}
_BAR = 30
"""Characters of the bar that stands for all requests."""


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Colour on terminals only; NO_COLOR and TERM=dumb turn it off, FORCE_COLOR turns it on."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environment.get("TERM") != "dumb"


@dataclass(slots=True)
class Screen:
    """Writes to one stream; every line is flushed, so that a pipe sees it when it happens."""

    stream: TextIO
    colour: bool = False

    @classmethod
    def standard(cls) -> Screen:
        """Standard output, in colour where that is wanted."""
        return cls(sys.stdout, wants_colour(sys.stdout, os.environ))

    def line(self, text: str = "") -> None:
        """One line as it is."""
        print(text, file=self.stream, flush=True)

    def title(self, text: str) -> None:
        """The heading of a step."""
        self.line()
        self.line(self._paint("title", f"== {text}"))

    def text(self, text: str) -> None:
        """A sentence or two about what comes."""
        self.line(text)

    def command(self, text: str) -> None:
        """A command that a person would type for this."""
        self.line(self._paint("dim", f"$ {text}"))

    def objects(self, text: str) -> None:
        """YAML, set in, comments faint."""
        for line in text.rstrip("\n").splitlines():
            style = "comment" if line.lstrip().startswith("#") else ""
            self.line(f"    {self._paint(style, line)}".rstrip())

    def fact(self, name: str, value: str) -> None:
        """One named fact."""
        self.line(f"  {name:<10} {value}")

    def counts(self, rows: Mapping[str, int], *, asked: str) -> None:
        """Where requests went: a number, a share and a bar for each place."""
        total = max(1, sum(rows.values()))
        self.line(f"  requests   {asked}")
        width = max((len(name) for name in rows), default=0)
        for name, count in sorted(rows.items()):
            bar = "#" * round(_BAR * count / total)
            self.line(
                f"    {count:>5} {100 * count / total:>5.1f} %  {name:<{width}}  {bar}".rstrip()
            )

    def good(self, text: str) -> None:
        """A step that did what it should."""
        self.line(self._paint("good", f"  ok         {text}"))

    def bad(self, text: str) -> None:
        """What went otherwise than it should."""
        self.line(self._paint("bad", f"  FAILED     {text}"))

    def note(self, text: str) -> None:
        """Talk that may be skipped."""
        self.line(self._paint("dim", text))

    def _paint(self, style: str, text: str) -> str:
        if not self.colour or not style:
            return text
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m"
