"""Reads the files of certificates and keys, and looks twice a second whether they changed.

Looking is one `stat` a file, so that every way of renewing is noticed alike: a rename over the file, a symbolic link
that points elsewhere, a file written in place. What is done with what they hold is decided by
`sidecar.certificates.keeping`. A key is held in memory and handed to Envoy over the sidecar's own socket; it is never
written, logged or shown.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import trio

from sidecar.agent.log import log
from sidecar.certificates.checking import Contents
from sidecar.certificates.keeping import Keeper, Mark, Taken, Told
from sidecar.certificates.model import Material, SecretSource

__all__ = ["SecretFiles"]

LOOK_EVERY_S = 0.5
"""A renewed file is in force within this time and a few milliseconds."""
FILE_BYTES_MAX = 4 << 20
"""Of one file; the bundle of a whole operating system is a twentieth of it."""


class _Counted(Protocol):
    """A counter of readings by outcome."""

    def labels(self, outcome: str) -> _Counted: ...
    def inc(self) -> None: ...


class SecretFiles:
    """The shell of the secrets of one host.

    Args:
        give: Told of all that is held, and of what gives nothing, at each `want` that says something new and whenever
            it is different; it may call `want`.
        readings: Counts readings, by outcome `taken` or `broken`.
    """

    def __init__(
        self,
        give: Callable[[Mapping[SecretSource, Material], frozenset[SecretSource]], None],
        readings: _Counted,
    ) -> None:
        self.keeper = Keeper()
        """What is held, and what is wrong."""
        self._give = give
        self._readings = readings
        self._given: tuple[Mapping[SecretSource, Material], frozenset[SecretSource]] | None = None

    def want(self, sources: Iterable[SecretSource]) -> None:
        """Look after these and no others; new ones are read before this returns."""
        wanted = frozenset(sources)
        if wanted != self.keeper.wanted:
            self._given = None
        self.keeper.want(wanted)
        self.look()

    async def run(self) -> None:
        """Look for changed files until cancelled."""
        while True:
            await trio.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Read what changed, and give it on."""
        now_s = trio.current_time()
        marks = {path: _mark(path) for source in self.keeper.wanted for path in source.files}
        for source in self.keeper.due(marks):
            told = self.keeper.read(source, marks, _contents(source), now_s)
            if told is not None:
                self._say(told)
        held = dict(self.keeper.held)
        given = held, frozenset(self.keeper.troubles) - held.keys()
        if given != self._given:
            self._given = given
            self._give(*given)

    def _say(self, told: Told) -> None:
        name = told.source.name
        if isinstance(told, Taken):
            self._readings.labels("taken").inc()
            leaf = self.keeper.held[told.source].leaf
            facts = {} if leaf is None else {"serial": leaf.serial, "names": list(leaf.names)}
            log.info(
                "certificate_renewed" if told.is_renewed else "certificate_read",
                secret=name,
                **facts,
            )
        else:
            self._readings.labels("broken").inc()
            log.error("certificate_broken", secret=name, reason=told.reason, keeps_old=told.keeps)


def _mark(path: str) -> Mark:
    """What tells the file from what it was; empty where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _contents(source: SecretSource) -> Contents:
    return {path: _read(path) for path in source.files}


def _read(path: str) -> bytes | str:
    """What a file holds, or why it cannot be read. A pipe is not waited for: it might never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as problem:
        return problem.strerror or type(problem).__name__
    except ValueError as problem:  # a path that no file can have: a zero byte in it
        return str(problem)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return "it is not a file"
        if found.st_size > FILE_BYTES_MAX:
            return f"it has more than {FILE_BYTES_MAX} bytes"
        return os.read(descriptor, FILE_BYTES_MAX)
    except OSError as problem:
        return problem.strerror or type(problem).__name__
    finally:
        os.close(descriptor)
