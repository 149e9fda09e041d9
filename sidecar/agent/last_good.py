"""Keeps the last known good on disk: the snapshot that Envoy last had in force, and what a restart must remember.

Written in a worker thread, at most as often as one write takes fifty times over, so that a mesh of thousands of
objects that changes all the time does not wear the disk; what is newest is always written in the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import trio

from store.catalog.parts import CatalogMemory
from store.errors import MeshError
from store.etcd.cache import Loaded, SnapshotCache
from store.snapshot import Snapshot

__all__ = ["LastGood"]

SETTLE_S = 0.2
"""A burst of changes is written once."""
WRITE_SHARE = 50
"""Writing takes at most one part in so many of the time."""


class LastGood:
    """The cache of one sidecar.

    Args:
        directory: Where its files lie.
        prefix: The mesh's prefix in etcd; files of another are refused.
    """

    def __init__(self, directory: Path, prefix: str) -> None:
        self._cache = SnapshotCache(directory, prefix)
        self._wanted: tuple[Snapshot, CatalogMemory] | None = None
        self._has_wanted = trio.Event()
        self._written_revision = 0
        self._saved_at: float | None = None
        self._error = ""
        self._lock = trio.Lock()
        self.memory: CatalogMemory = ()
        """What a former run remembered beside the snapshot."""
        self.names: tuple[str, ...] = ()
        """Virtual hosts that Envoy had asked for: kept with the snapshot."""
        self.refused = ""
        """Why files that are there were not used; empty when there is nothing to say."""

    def load(self) -> Snapshot | None:
        """The snapshot of a former run, or None; never raises for what is in the files."""
        loaded: Loaded = self._cache.load()
        self.refused = "; ".join(loaded.refused)
        if loaded.snapshot is None:
            return None
        self.memory, self.names = loaded.memory, loaded.names
        self._saved_at = loaded.saved_at
        self._written_revision = loaded.snapshot.revision
        return loaded.snapshot

    def keep(self, snapshot: Snapshot, memory: CatalogMemory) -> None:
        """This is in force now: write it soon."""
        self._wanted = (snapshot, memory)
        self._has_wanted.set()

    async def run(self, failed: Callable[[str], None]) -> None:
        """Write what is wanted until cancelled."""
        while True:
            await self._has_wanted.wait()
            await trio.sleep(SETTLE_S)
            began_s = trio.current_time()
            await self.flush()
            if self._error:
                failed(self._error)
            await trio.sleep((trio.current_time() - began_s) * WRITE_SHARE)

    async def flush(self) -> None:
        """Write at once what is wanted and not yet written."""
        async with self._lock:
            wanted, self._wanted = self._wanted, None
            self._has_wanted = trio.Event()
            if wanted is None:
                return
            snapshot, memory = wanted
            saved_at = time.time()
            try:
                await trio.to_thread.run_sync(
                    lambda: self._cache.save(snapshot, memory, self.names, saved_at)
                )
            except MeshError as problem:
                self._error = str(problem)
                return
            self._error, self._written_revision, self._saved_at = "", snapshot.revision, saved_at

    def age_s(self) -> float | None:
        """Seconds since the file was written; None where there is none."""
        return None if self._saved_at is None else max(0.0, round(time.time() - self._saved_at, 3))

    def describe(self) -> Mapping[str, Any]:
        """The `last_known_good` part of the status."""
        return {
            "revision": self._written_revision,
            "age_s": self.age_s(),
            "error": self._error,
            "refused": self.refused,
        }
