"""The command line in tests: run `meshd` in this process, or transcripts of it.

A transcript of the command line has blocks of three kinds (the third, `show FILE`, prints a file; `file NAME
executable` makes a shell script):

    file reviews.yaml
    apiVersion: networking.istio.io/v1
    ----

    run EDITOR=true
    meshd put -f reviews.yaml
    ----
    what it prints; lines of standard error begin with "! "
    exit 3

Change ids are numbered as they are printed, and may be named so in commands (CHANGE-1). Times and places that
differ from run to run become words, and so do the gaps of tables.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from meshd.cli.main import run
from tests.harness.transcripts import Command

__all__ = ["CommandLine", "Ran"]

TOP = Path(__file__).parents[2]
_CHANGE = re.compile(r"\d{8}T\d{6}\.\d+Z-[0-9a-f]{6}")
_REPLACED = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "TIME"),
    (re.compile(r"\S*/meshd-edit-\w+\.yaml"), "EDITED"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST:PORT"),
    (re.compile(r"after \d+\.\d ms"), "after N ms"),
    (re.compile(r"(?<=\S) {3,}(?=\S)"), "   "),
)


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    status: int
    out: str
    err: str

    def text(self) -> str:
        """Both streams and the status, as transcripts have it."""
        lines = self.out.splitlines() + [
            f"! {line}" if line else "" for line in self.err.splitlines()
        ]
        if self.status:
            lines.append(f"exit {self.status}")
        return "\n".join(lines)


@dataclass
class CommandLine:
    """`meshd` with an environment of its own, run in a directory.

    The process environment is replaced while a command runs, so that no setting of the machine counts.
    """

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    _changes: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Ran:
        """Run `meshd ARGUMENTS`."""
        out, err = _Stream(), _Stream()
        told = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.directory)}
        told |= {"TMPDIR": str(self.directory), **self.environment}
        with (
            _environment({**told, **environment}),
            contextlib.chdir(self.directory),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            _stdin(stdin),
        ):
            status = run(list(arguments))
        return Ran(status, out.text(), err.text())

    def file(self, name: str, text: str) -> Path:
        """Write a file into the directory."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def block(self, command: Command) -> str:
        """One block of a transcript."""
        text = "\n".join(command.lines) + "\n"
        if command.verb == "show":
            lines = (self.directory / command.words[0]).read_text().splitlines()
            return self._settled("\n".join(f"| {line}" for line in lines))
        if command.verb == "file":
            text = text.replace("PYTHON", sys.executable).replace("TOP", str(TOP))
            is_script = "executable" in command.words
            path = self.file(command.words[0], f"#!/bin/sh\n{text}" if is_script else text)
            path.chmod(0o755 if is_script else 0o644)
            return ""
        assert command.verb == "run", (
            f"{command.where}: blocks are file, show or run, not {command.verb}"
        )
        printed = []
        for line in command.lines:
            words = [self._meant(word) for word in shlex.split(line)]
            assert words[0] == "meshd", f"{command.where}: only meshd is run, not {words[0]}"
            printed.append(self._settled(self(*words[1:], **command.options).text()))
        return "\n".join(printed)

    def _meant(self, word: str) -> str:
        """CHANGE-2 in a command means the second change id that was printed."""
        found = re.fullmatch(r"CHANGE-(\d+)", word)
        return self._changes[int(found.group(1)) - 1] if found else word

    def _settled(self, text: str) -> str:
        text = text.replace(str(self.directory), "DIR")
        for change in _CHANGE.findall(text):
            if change not in self._changes:
                self._changes.append(change)
            text = text.replace(change, f"CHANGE-{self._changes.index(change) + 1}")
        for pattern, word in _REPLACED:
            text = pattern.sub(word, text)
        return text


class _Stream(io.TextIOWrapper):
    """A text stream in memory with a binary one below, as real ones have."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        """Everything that was written, without colours."""
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return click.unstyle(self.buffer.getvalue().decode())


@contextlib.contextmanager
def _stdin(text: str) -> Iterator[None]:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    try:
        yield
    finally:
        sys.stdin = before


@contextlib.contextmanager
def _environment(environment: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
