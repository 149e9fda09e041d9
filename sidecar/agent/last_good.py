"""Keeps the last known good on disk: the snapshot that Envoy last had in force, and what a restart must remember.

Written in a worker thread, at most as often as one write takes processor time fifty times over, so that a mesh of
thousands of objects that changes all the time costs little, and with some rest for the disk; what is newest is always
written in the end, also when the disk was full meanwhile. What is on disk already is not written again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import trio

from store.catalog.parts import CatalogMemory
from store.codec import decode
from store.errors import MeshError
from store.etcd.cache import Loaded, SnapshotCache
from store.keys import host_key
from store.objects.host import HostRegistration
from store.snapshot import Snapshot

__all__ = ["LastGood"]

SETTLE_S = 0.2
"""A burst of changes is written once."""
WRITE_SHARE = 50
"""Writing takes at most one part in so many of a processor."""
REST_SHARE = 2
"""After a write the disk rests for so many times as long: on a busy machine, or disk, it takes longer than it costs."""
RETRY_S = 5.0
"""Pause after a write that failed."""


class _Content(NamedTuple):
    """What one file holds. Compared by snapshots' labels and hashes, not key by key."""

    snapshot: Snapshot
    memory: CatalogMemory
    kept: Mapping[str, HostRegistration]
    names: tuple[str, ...]
    is_judged: bool

    def is_same(self, other: _Content | None) -> bool:
        return other is not None and self.snapshot.is_same(other.snapshot) and self[1:] == other[1:]


class LastGood:
    """The cache of one sidecar.

    Args:
        directory: Where its files lie.
        prefix: The mesh's prefix in etcd; files of another are refused.
    """

    def __init__(self, directory: Path, prefix: str) -> None:
        self._cache = SnapshotCache(directory, prefix)
        self._wanted: _Content | None = None
        self._has_wanted = trio.Event()
        self._written: _Content | None = None
        self._is_outdated = False
        self._saved_at: float | None = None
        self._born_s = 0.0
        self._error = ""
        self.cost_s = 0.0
        """Processor time of the last write."""
        self._lock = trio.Lock()
        self.memory: CatalogMemory = ()
        """What a former run remembered beside the snapshot."""
        self.kept: Mapping[str, HostRegistration] = {}
        """Registrations that a former run had in force although they had run out."""
        self.is_judged = False
        """Whether this program's own rules found valid what `memory` does not name: it need not be judged again."""
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
        self.is_judged = loaded.is_judged
        self.kept = _decoded(loaded.kept)
        # What other rules judged is written once more, judged by these: the next start is faster.
        self._is_outdated = not loaded.is_judged
        self._saved_at = loaded.saved_at
        # The one look at the wall clock: from here on the age grows with the time that passes, whoever sets the clock.
        self._born_s = time.monotonic() - max(0.0, time.time() - (loaded.saved_at or 0.0))
        self._written = _Content(
            loaded.snapshot, self.memory, self.kept, self.names, loaded.is_judged
        )
        return loaded.snapshot

    def keep(
        self,
        snapshot: Snapshot,
        memory: CatalogMemory,
        kept: Mapping[str, HostRegistration] | None = None,
        *,
        is_judged: bool = True,
    ) -> None:
        """This is in force now: write it soon, with `names` as they are now.

        Args:
            snapshot: What is in force.
            memory: What a restart must remember beside it.
            kept: Registrations in force that had run out.
            is_judged: Whether everything in it that `memory` does not name was found valid.
        """
        content = _Content(snapshot, memory, kept or {}, self.names, is_judged)
        if self._is_outdated or not content.is_same(self._wanted or self._written):
            self._wanted = content
            self._has_wanted.set()

    async def run(self, failed: Callable[[str], None]) -> None:
        """Write what is wanted until cancelled.

        Args:
            failed: Told the reason when writing begins to fail.
        """
        while True:
            await self._has_wanted.wait()
            await trio.sleep(SETTLE_S)
            began_s, error_before = trio.current_time(), self._error
            self.cost_s = 0.0
            await self.flush()
            if self._error:
                if not error_before:
                    failed(self._error)
                await trio.sleep(RETRY_S)
            else:
                rest_s = (trio.current_time() - began_s) * REST_SHARE
                await trio.sleep(max(self.cost_s * WRITE_SHARE, rest_s))

    async def flush(self) -> None:
        """Write at once what is wanted and not yet written; cancelling waits for a write under way."""
        async with self._lock:
            wanted = self._wanted
            if wanted is None:
                return
            # What is written again beside the same snapshot does not make that any younger.
            before = self._written
            is_new = before is None or not wanted.snapshot.is_same(before.snapshot)
            saved_at = time.time() if is_new or self._saved_at is None else self._saved_at
            try:
                await trio.to_thread.run_sync(self._save, wanted, saved_at)
            except MeshError as problem:
                self._error = str(problem)  # It stays wanted.
                return
            if is_new:
                self._born_s = time.monotonic()
            self._error, self._written, self._saved_at = "", wanted, saved_at
            self._is_outdated = False
            if self._wanted is wanted:
                self._wanted, self._has_wanted = None, trio.Event()

    def _save(self, content: _Content, saved_at: float) -> None:
        began_s = time.thread_time()
        try:
            self._write(content, saved_at)
        finally:
            self.cost_s = time.thread_time() - began_s

    def _write(self, content: _Content, saved_at: float) -> None:
        kept = {
            host: registration.model_dump_json(by_alias=True, exclude_unset=True).encode()
            for host, registration in content.kept.items()
        }
        self._cache.save(
            content.snapshot,
            content.memory,
            content.names,
            saved_at,
            kept=kept,
            is_judged=content.is_judged,
        )

    def age_s(self) -> float | None:
        """Seconds since the snapshot on disk was first written; None where there is none."""
        return None if self._saved_at is None else round(time.monotonic() - self._born_s, 3)

    def describe(self) -> Mapping[str, Any]:
        """The `last_known_good` part of the status."""
        return {
            "revision": self._written.snapshot.revision if self._written is not None else 0,
            "age_s": self.age_s(),
            "pending": self._wanted is not None,
            "error": self._error,
            "refused": self.refused,
        }


def _decoded(stored: Mapping[str, bytes]) -> Mapping[str, HostRegistration]:
    """Registrations that can still be read; one that this version cannot read is left out."""
    found = {host: decode(host_key(host), value).object for host, value in stored.items()}
    return {host: model for host, model in found.items() if isinstance(model, HostRegistration)}
