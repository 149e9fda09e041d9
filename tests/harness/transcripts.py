"""Transcripts: text files of commands and what they must print.

    # A comment, kept as it is.
    command word name=value
    input, any number of lines
    ----
    expected output

Blocks are separated by a blank line. `pytest --rewrite` writes what was printed into the file instead of comparing;
the difference is then read as any other change. Output never holds a blank line.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

__all__ = ["Command", "check_transcript"]

MARK = "----"


@dataclass(frozen=True)
class Command:
    """One command of a transcript."""

    verb: str
    words: tuple[str, ...]
    options: dict[str, str]
    lines: tuple[str, ...]
    where: str = field(compare=False)

    def option(self, name: str, default: str = "") -> str:
        """The value of `name=...`."""
        return self.options.get(name, default)

    def number(self, name: str, default: int = 0) -> int:
        """The whole number of `name=...`."""
        return int(self.options.get(name, default))


def check_transcript(path: Path, run: Callable[[Command], str], *, rewrite: bool) -> None:
    """Run every command of the file and compare what `run` returns with what the file expects."""
    blocks = path.read_text().strip("\n").split("\n\n")
    after: list[str] = []
    ran = 0
    for number, block in enumerate(blocks, 1):
        lines = block.split("\n")
        comments = [line for line in lines if line.startswith("#")]
        rest = [line for line in lines if not line.startswith("#")]
        if not rest:
            after.append(block)
            continue
        assert MARK in rest, f"{path.name}, block {number}: no {MARK} after {rest[0]!r}"
        at = rest.index(MARK)
        command = _parse(rest[0], rest[1:at], f"{path.name}, block {number}")
        printed = [line for line in run(command).split("\n") if line]
        after.append("\n".join([*comments, *rest[:at], MARK, *printed]))
        ran += 1
    assert ran, f"{path} holds no command"
    text = "\n\n".join(after) + "\n"
    if rewrite:
        path.write_text(text)
    elif text.strip("\n") != path.read_text().strip("\n"):
        difference = difflib.unified_diff(
            path.read_text().split("\n"), text.split("\n"), "expected", "printed", lineterm=""
        )
        pytest.fail("\n".join([f"{path} (pytest --rewrite accepts):", *difference]), pytrace=False)


def _parse(head: str, lines: list[str], where: str) -> Command:
    verb, *rest = head.split()
    words = tuple(word for word in rest if "=" not in word)
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    return Command(verb, words, options, tuple(lines), where)
