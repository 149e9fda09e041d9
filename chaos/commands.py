"""Runs `meshd` over and over without loading it each time: `python -m chaos.commands SOCKET`.

What a command line costs is mostly Python that starts; a mesh under continuous writers would be starved by it. This
process has loaded the program, and becomes it for each command that it is asked for: a fork, with arguments, output and
exit of its own, as if a person had typed it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from chaos import objects
from meshd.cli.main import run

__all__ = ["Said", "say", "serve"]

COMMAND_BYTES_MAX = 1 << 16
_LOADED = (
    "meshd.cli.verbs.get",
    "meshd.cli.verbs.put",
    "meshd.cli.stored",
    "meshd.cli.forms",
    "store.etcd.publishing",
    "store.etcd.history",
)


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    code: int
    """Its exit; negative: there was none."""
    out: str
    talk: str
    """What it wrote to standard error."""


async def say(path: Path, *words: str) -> Said:
    """One command of `meshd`, by the process that listens at `path`; waits until it has ended.

    Raises:
        OSError: Nobody listens there.
    """
    line = await trio.open_unix_socket(str(path))
    async with line:
        await line.send_all(json.dumps(words).encode() + b"\n")
        chunks = [bytes(chunk) async for chunk in line]
    if not chunks:
        return Said(-1, "", "the command ended without a word")
    code, out, talk = json.loads(b"".join(chunks))
    return Said(code, out, talk)


def serve(path: Path) -> None:
    """Become `meshd` for each connection, until killed."""
    _load()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
        while True:
            line, _ = listener.accept()
            with line:
                if os.fork() == 0:
                    _become(line)


def _load() -> None:
    """Import what commands import when they are used: the verbs, and by judging some objects all that judges."""
    for name in _LOADED:
        importlib.import_module(name)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(objects.text([*objects.services(), *objects.change(0)]))
        file.flush()
        run(["validate", "-q", "-f", file.name])


def _become(line: socket.socket) -> None:
    """Be one command. The process that answers is not the one that runs: that one ends as it likes."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with contextlib.ExitStack() as stack:
        try:
            words = json.loads(line.makefile().readline(COMMAND_BYTES_MAX))
            out, talk = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            child = os.fork()
            if child == 0:
                _run(words, out.fileno(), talk.fileno())
            _, ended = os.waitpid(child, 0)
            texts = []
            for file in (out, talk):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
            line.sendall(json.dumps([os.waitstatus_to_exitcode(ended), *texts]).encode())
        finally:
            os._exit(0)


def _run(words: Sequence[str], out: int, talk: int) -> None:
    code = 1
    try:
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(out, 1)
        os.dup2(talk, 2)
        code = run(list(words))
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
