"""The last known good on disk: two files, the newest and the one before it.

Writing never endangers what is there: a new file is written beside them, flushed to the disk, and only then renamed
into place. Killed at any instant, a reader finds a whole file: the new one, or the one before. Reading never trusts:
a file that is torn, corrupt, of another format or another mesh is refused with its reason, and the other one tried.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from store.catalog.parts import CatalogMemory
from store.errors import MeshError
from store.etcd.rules import rules_fingerprint
from store.snapshot import Snapshot
from store.snapshot_file import SnapshotFileRefused, StoredSnapshot, decode, encode

__all__ = ["CacheWriteFailed", "Loaded", "SnapshotCache"]

NEWEST = "last-known-good.meshd"
BEFORE = "last-known-good.before.meshd"
UNFINISHED = "last-known-good.unfinished"
FILE_BYTES_MAX = 1024 * 1024 * 1024
"""A larger file is not ours: 100,000 objects of 10 kB."""


class CacheWriteFailed(MeshError):
    """The last known good could not be written; the files that are there were not touched."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was found on disk."""

    snapshot: Snapshot | None = None
    """The last snapshot in force; None when there is no usable file."""
    memory: CatalogMemory = ()
    """What the catalog must remember beside it."""
    names: tuple[str, ...] = ()
    """Virtual hosts that Envoy had asked for."""
    saved_at: float | None = None
    """When it was saved, in seconds of Unix time."""
    refused: tuple[str, ...] = ()
    """Why files that are there were not used."""
    kept: Mapping[str, bytes] = field(default_factory=dict)
    """Registrations in force that the store held no more, by host."""
    is_judged: bool = False
    """Whether the rules of this very program found every object and host valid that `memory` does not name."""


class SnapshotCache:
    """The files of one sidecar. One process at a time may use a directory.

    Args:
        directory: Where the files lie; made when absent, for its owner alone.
        prefix: The mesh's prefix in etcd; files of another mesh are refused.
    """

    def __init__(self, directory: Path, prefix: str) -> None:
        self._directory = directory
        self._prefix = prefix

    def save(
        self,
        snapshot: Snapshot,
        memory: CatalogMemory,
        names: Sequence[str],
        saved_at: float,
        *,
        kept: Mapping[str, bytes] | None = None,
        is_judged: bool = True,
    ) -> None:
        """Write a new file; the newest becomes the one before. Blocks until the disk has it.

        Args:
            snapshot: What Envoy has in force.
            memory: What the catalog remembers beside it.
            names: Virtual hosts that Envoy has asked for.
            saved_at: Seconds of Unix time.
            kept: Registrations in force that the store holds no more, by host.
            is_judged: Whether the rules of this program found every object and host valid that `memory` does not name.

        Raises:
            CacheWriteFailed: The disk is full, read-only or broken; what was there is still there.
        """
        stored = StoredSnapshot(
            self._prefix,
            snapshot,
            memory,
            tuple(names),
            round(saved_at * 1000),
            dict(kept or {}),
            rules_fingerprint() if is_judged else "",
        )
        unfinished = self._directory / UNFINISHED
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_durably(unfinished, encode(stored))
            newest = self._directory / NEWEST
            if newest.exists():
                newest.replace(self._directory / BEFORE)
            unfinished.replace(newest)
            _flush_directory(self._directory)
        except OSError as error:
            _discard(unfinished)
            raise CacheWriteFailed(
                f"{self._directory}: the last known good of revision {snapshot.revision} could not be written: "
                f"{error.strerror or error}",
                hint="The one before it is kept; make room on the disk, or correct its permissions",
            ) from error

    def load(self) -> Loaded:
        """The newest usable file. Never raises for what is, or is not, in the directory."""
        refused: list[str] = []
        for name in (NEWEST, BEFORE):
            path = self._directory / name
            try:
                stored = self._read(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                refused.append(f"{path}: {error.strerror or error}")
            except SnapshotFileRefused as error:
                refused.append(f"{path}: {error.message}")
            else:
                return Loaded(
                    stored.snapshot,
                    stored.memory,
                    stored.names,
                    stored.saved_at_ms / 1000,
                    tuple(refused),
                    stored.kept,
                    is_judged=stored.rules != "" and stored.rules == rules_fingerprint(),
                )
        return Loaded(refused=tuple(refused))

    def _read(self, path: Path) -> StoredSnapshot:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise SnapshotFileRefused(f"it has {size} bytes; at most {FILE_BYTES_MAX} are read")
        stored = decode(path.read_bytes())
        if stored.prefix != self._prefix:
            raise SnapshotFileRefused(
                f"it belongs to the mesh at {stored.prefix}, this is the one at {self._prefix}"
            )
        return stored


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(path: Path) -> None:
    """Free the room that a broken write took; when even that fails, the next write tries again."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
