"""People who write all the while: compare-and-set of registers, reads of them, and change sets of the probed service.

Each word goes through the command line, as a person's would; what it answers is what is recorded. An exit of 6 (the
store cannot be reached, or did not answer) says nothing about whether the write happened: that is for the checker.
"""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path
from typing import Any

import trio

from chaos import objects
from chaos.commands import Said, say
from chaos.history import History, Outcome, Read, Write
from chaos.rig import Rig

__all__ = ["Writers"]

WRITERS = 4
"""That change registers; two of them meet at one key now and then."""
WRITES_EVERY_S = 0.3
CHANGES_EVERY_S = 0.8
NOT_FOUND = 4
"""Exit of `meshd get` where there is no such object."""
_OUTCOMES = {0: Outcome.OK, 5: Outcome.CONFLICT}


class Writers:
    """Writes until told to stop.

    Args:
        rig: Where.
        history: Where what was written is recorded.
        seed: Of pauses and choices.
    """

    def __init__(self, rig: Rig, history: History, seed: int) -> None:
        self._rig = rig
        self._history = history
        self._rng = random.Random(seed)
        self._seen: dict[str, tuple[str, str]] = {}
        self._number = 0
        self._change = 0
        self._change_done = True

    async def run(self) -> None:
        """Write until cancelled; a command under way is finished first."""
        now_s = time.monotonic()
        for key in objects.KEYS:
            value = objects.first_value(key)
            first = Write(key, "rig", now_s, now_s, "", value, Outcome.OK)
            self._history.writes.append(first)
        async with trio.open_nursery() as nursery:
            for number in range(WRITERS):
                nursery.start_soon(self._register_writer, f"w-{number}")
            nursery.start_soon(self._changer)

    async def settle(self) -> None:
        """Read every register once more, when nobody writes."""
        for key in objects.KEYS:
            await self._read(key, "last")

    async def _register_writer(self, writer: str) -> None:
        while True:
            await trio.sleep(WRITES_EVERY_S * (0.5 + self._rng.random()))
            key = self._rng.choice(objects.KEYS)
            known = await self._read(key, writer)
            if known is not None:
                await self._write(key, writer, *known)

    async def _read(self, key: str, reader: str) -> tuple[str, str] | None:
        began_s = time.monotonic()
        said = await self._say("get", "vs", key, "-o", "json")
        if said.code == NOT_FOUND:
            self._history.reads.append(Read(key, reader, began_s, time.monotonic(), ""))
        if said.code != 0:
            return None
        found: dict[str, Any] = json.loads(said.out)
        value = found["spec"]["http"][0]["directResponse"]["body"]["string"]
        version = str(found["metadata"]["resourceVersion"])
        self._history.reads.append(
            Read(key, reader, began_s, time.monotonic(), value, int(version))
        )
        return value, version

    async def _write(self, key: str, writer: str, expected: str, version: str) -> None:
        self._number += 1
        value = f"{key}-{self._number}"
        file = self._file(writer, [objects.register(key, value, version)])
        began_s = time.monotonic()
        said = await self._say("put", "--no-analysis", "-f", str(file))
        outcome = _OUTCOMES.get(said.code, Outcome.UNKNOWN)
        revision = _revision(said) if outcome is Outcome.OK else None
        ended_s = time.monotonic()
        self._history.writes.append(
            Write(key, writer, began_s, ended_s, expected, value, outcome, revision)
        )

    async def _changer(self) -> None:
        """The next change set, once the one before is known to be written: its number says its order."""
        while True:
            await trio.sleep(CHANGES_EVERY_S * (0.5 + self._rng.random()))
            if self._change_done:
                self._change += 1
            file = self._file("change", objects.change(self._change))
            said = await self._say("put", "--no-analysis", "-f", str(file))
            self._change_done = said.code == 0

    def _file(self, name: str, several: list[dict[str, Any]]) -> Path:
        file = self._rig.folder / f"{name}.yaml"
        file.write_text(objects.text(several), "utf-8")
        return file

    async def _say(self, *words: str) -> Said:
        """One command, never ended half-way: it says by itself how it ended."""
        with trio.CancelScope(shield=True):
            return await say(self._rig.commands_socket, *self._rig.words(*words))
        raise AssertionError("nothing cancels it")


def _revision(said: Said) -> int | None:
    """The revision that an acknowledged put names."""
    found = re.search(r"^revision (\d+),", said.talk, re.MULTILINE)
    return int(found[1]) if found else None
