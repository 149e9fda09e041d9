"""The last known good as bytes: a snapshot, what the catalog must remember beside it, and a checksum over both.

    8 bytes   magic
    2 bytes   version of the format
    8 bytes   length of the body
    32 bytes  SHA-256 of the body
    body      msgpack

A file is used whole or not at all: whoever reads it learns why it is refused. The snapshot's own hash is stored as
well and counted anew, so that what is served from disk is what was in force.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgpack

from store.catalog.generations import Recall, RecallSource, Refusal
from store.catalog.parts import CatalogMemory, Remembered
from store.errors import MeshError
from store.snapshot import Entry, Epoch, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SnapshotFileRefused", "StoredSnapshot", "decode", "encode"]

MAGIC = b"MESHDLKG"
VERSION = 1
"""Version of the format; other ones are refused: the store is read anew, or a peer asked."""
_HEAD = struct.Struct(">8sHQ32s")
_KEYS = "surrogateescape"
"""Keys in etcd may be no text; they go through as they are."""


class SnapshotFileRefused(MeshError):
    """A file of the last known good is torn, corrupt, of another format or of another mesh; nothing of it is used."""


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """What a file holds."""

    prefix: str
    """The mesh's prefix in etcd."""
    snapshot: Snapshot
    """The snapshot that was in force."""
    memory: CatalogMemory
    """What the catalog must remember beside it."""
    names: tuple[str, ...]
    """Virtual hosts that Envoy had asked for."""
    saved_at_ms: int
    """When it was saved, in milliseconds of Unix time: for people, no decision depends on it."""
    kept: Mapping[str, bytes] = field(default_factory=dict)
    """Registrations in force that the store holds no more, by host, as the store had them."""
    rules: str = ""
    """Fingerprint of the rules that found every object and host valid that `memory` does not name; empty: unknown."""


def encode(stored: StoredSnapshot) -> bytes:
    """The bytes of a file."""
    snapshot = stored.snapshot
    body: bytes = msgpack.packb(
        {
            "prefix": stored.prefix,
            "cluster_id": snapshot.epoch.cluster_id,
            "life": snapshot.epoch.life,
            "revision": snapshot.revision,
            "hash": snapshot.hash,
            "saved_at_ms": stored.saved_at_ms,
            "entries": [_entry_out(entry) for entry in snapshot.entries()],
            "memory": [_remembered_out(row) for row in stored.memory],
            "names": list(stored.names),
            "kept": dict(stored.kept),
            "rules": stored.rules,
        },
        unicode_errors=_KEYS,
    )
    return _HEAD.pack(MAGIC, VERSION, len(body), sha256(body).digest()) + body


def decode(content: bytes) -> StoredSnapshot:
    """What the bytes of a file hold.

    Raises:
        SnapshotFileRefused: They are torn, corrupt, or of another format.
    """
    body = _checked_body(content)
    try:
        found = msgpack.unpackb(body, unicode_errors=_KEYS)
        epoch = Epoch(_number(found["life"]), _number(found["cluster_id"]))
        entries = [_entry_in(row) for row in found["entries"]]
        stored = StoredSnapshot(
            str(found["prefix"]),
            Snapshot.of(epoch, _number(found["revision"]), entries),
            tuple(_remembered_in(row) for row in found["memory"]),
            tuple(str(name) for name in found["names"]),
            _number(found["saved_at_ms"]),
            {str(host): _bytes(value) for host, value in found.get("kept", {}).items()},
            str(found.get("rules", "")),
        )
        expected = str(found["hash"])
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException) as error:
        raise SnapshotFileRefused(
            f"its checksum is right, but it cannot be understood: {error!r}"
        ) from error
    if stored.snapshot.hash != expected:
        raise SnapshotFileRefused("its entries do not give the hash that was stored with them")
    return stored


def _checked_body(content: bytes) -> bytes:
    if len(content) < _HEAD.size:
        raise SnapshotFileRefused(f"it is torn: {len(content)} bytes, not even a whole head")
    magic, version, length, digest = _HEAD.unpack_from(content)
    if magic != MAGIC:
        raise SnapshotFileRefused("it is no file of meshd's")
    if version != VERSION:
        raise SnapshotFileRefused(f"it has format {version}; this version reads format {VERSION}")
    body = content[_HEAD.size :]
    if len(body) != length:
        raise SnapshotFileRefused(f"it is torn: {len(body)} of {length} bytes of content")
    if sha256(body).digest() != digest:
        raise SnapshotFileRefused("it is corrupt: the checksum does not fit")
    return body


def _entry_out(entry: Entry) -> Sequence[object]:
    return (
        entry.key,
        entry.value,
        entry.create_revision,
        entry.mod_revision,
        entry.version,
        entry.lease,
    )


def _entry_in(row: Any) -> Entry:
    key, value, created, modified, version, lease = row
    return Entry(
        str(key),
        _bytes(value),
        _number(created),
        _number(modified),
        _number(version),
        _number(lease),
    )


def _remembered_out(row: Remembered) -> Sequence[object]:
    recall = row.recall
    return (
        row.key,
        row.newest_revision,
        _entry_out(row.serving) if row.serving is not None else None,
        [_refusal_out(refusal) for refusal in row.refusals],
        (recall.key, recall.revision, recall.source.value) if recall is not None else None,
        row.certain,
        row.inherited,
    )


def _remembered_in(row: Any) -> Remembered:
    key, newest, serving, refusals, recall, certain, inherited = row
    return Remembered(
        str(key),
        _number(newest),
        _entry_in(serving) if serving is not None else None,
        refusals=tuple(_refusal_in(refusal) for refusal in refusals),
        recall=_recall_in(recall) if recall is not None else None,
        certain=bool(certain),
        inherited=bool(inherited),
    )


def _refusal_out(refusal: Refusal) -> Sequence[object]:
    """Of a crash there is one word more: versions that know of none read the others."""
    crashed = (True,) if refusal.crashed else ()
    return (refusal.mod_revision, refusal.reason, *crashed)


def _refusal_in(row: Any) -> Refusal:
    revision, reason, *crashed = row
    return Refusal(_number(revision), str(reason), crashed == [True])


def _recall_in(row: Any) -> Recall:
    key, revision, source = row
    return Recall(str(key), _number(revision), RecallSource(source))


def _number(found: object) -> int:
    if type(found) is not int:
        raise TypeError(f"{found!r:.40} in the place of a whole number")
    return found


def _bytes(found: object) -> bytes:
    if not isinstance(found, bytes):
        raise TypeError(f"{found!r:.40} in the place of bytes")
    return found
