"""What is sent from host to host: a snapshot, or the changes that lead to it, as bytes in verified chunks.

A parcel is a row of msgpack scalars, six for an entry (key, value, create revision, mod revision, version, lease)
and two for a deletion (key, nil), sorted by key. No array and no map occurs in it, so that reading costs memory in
proportion to its length, whatever it claims. The same content gives the same bytes on every host: a pull that lost
its peer goes on with another one at the next chunk.

Chunks are chained: D(i) = SHA-256(D(i-1) + chunk i), D(-1) = SHA-256 of what the parcel is. That finds damage and
mixed parcels at the chunk; lies are found at the end, by the hash of the whole snapshot. The lease is in no hash:
it only says who keeps a key alive, and nobody but the owner of a registration looks at it, who asks etcd.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import msgpack

from sidecar.relay.wire import HASH_BYTES
from store.errors import PeerError
from store.snapshot import Entry, Snapshot

__all__ = [
    "Parcel",
    "Rows",
    "chained",
    "pack",
    "read",
    "short_hash",
    "started",
]

KEY_CHARS_MAX = 4096
"""Of a key; etcd's own bound is that of a request."""
VALUE_BYTES_MAX = 8 << 20
"""Of a value; etcd takes 1.5 MiB unless told otherwise."""
_NUMBER_MAX = (1 << 63) - 1
_KEYS = "surrogateescape"  # keys in etcd may be no text; they go through as they are


@dataclass(frozen=True, slots=True)
class Rows:
    """What a parcel holds."""

    upserts: tuple[Entry, ...]
    deletes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel ready to be sent."""

    body: bytes
    since: int
    """Revision that it starts from; 0: it is a whole snapshot."""
    chunk_bytes: int
    digests: tuple[bytes, ...]
    """D(-1), D(0), ... of all chunks; the last one names the parcel."""

    @property
    def digest(self) -> bytes:
        """Its name."""
        return self.digests[-1]

    def chunk(self, index: int) -> bytes:
        """One chunk; empty when there is none of that number."""
        return self.body[index * self.chunk_bytes : (index + 1) * self.chunk_bytes]


def short_hash(snapshot: Snapshot) -> bytes:
    """A snapshot's hash as it travels."""
    return bytes.fromhex(snapshot.hash[: 2 * HASH_BYTES])


def started(target_hash: bytes, since: int, length: int, chunk_bytes: int) -> bytes:
    """D(-1): over what the parcel is."""
    label = b"meshd parcel 1\0%b%d,%d,%d" % (target_hash, since, length, chunk_bytes)
    return sha256(label).digest()


def chained(before: bytes, chunk: bytes) -> bytes:
    """D(i) from D(i-1) and chunk i."""
    return sha256(before + chunk).digest()


def pack(target: Snapshot, rows: Rows, since: int, chunk_bytes: int) -> Parcel:
    """The parcel that holds these rows and leads to `target`."""
    packer = msgpack.Packer(unicode_errors=_KEYS, autoreset=False)
    by_key: dict[str, Entry | None] = dict.fromkeys(rows.deletes)
    by_key.update((entry.key, entry) for entry in rows.upserts)
    for key in sorted(by_key):
        entry = by_key[key]
        packer.pack(key)
        if entry is None:
            packer.pack(None)
            continue
        packer.pack(entry.value)
        for number in (entry.create_revision, entry.mod_revision, entry.version, entry.lease):
            packer.pack(number)
    body = packer.bytes()
    digests = [started(short_hash(target), since, len(body), chunk_bytes)]
    for start in range(0, len(body), chunk_bytes):
        digests.append(chained(digests[-1], body[start : start + chunk_bytes]))
    return Parcel(body, since, chunk_bytes, tuple(digests))


def read(body: bytes) -> Rows:
    """The rows in these bytes.

    Raises:
        PeerError: They are none: torn, out of order, or of values that no etcd holds.
    """
    upserts: list[Entry] = []
    deletes: list[str] = []
    last: str | None = None
    scalars = _scalars(body)
    for key in scalars:
        if not isinstance(key, str) or not 0 < len(key) <= KEY_CHARS_MAX:
            raise _wrong("a key", key)
        if last is not None and key <= last:
            raise PeerError(f"A parcel of configuration is out of order at {key[:80]!r}")
        last = key
        value = next(scalars, _END)
        if value is None:
            deletes.append(key)
        elif isinstance(value, bytes) and len(value) <= VALUE_BYTES_MAX:
            created, modified, version, lease = (_number(scalars) for _ in range(4))
            upserts.append(Entry(key, value, created, modified, version, lease))
        else:
            raise _wrong(f"the value of {key[:80]!r}", value)
    return Rows(tuple(upserts), tuple(deletes))


def _scalars(body: bytes) -> Iterator[object]:
    """The values in these bytes, one after the other; containers are refused."""
    unpacker = msgpack.Unpacker(
        unicode_errors=_KEYS,
        max_buffer_size=max(1, len(body)),
        max_array_len=0,
        max_map_len=0,
        max_ext_len=0,
    )
    unpacker.feed(body)
    try:
        while unpacker.tell() < len(body):
            yield unpacker.unpack()
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        at = unpacker.tell()
        raise PeerError(
            f"A parcel of configuration is unreadable at byte {at} of {len(body)}: {error!r}"
        ) from error


_END = object()


def _number(scalars: Iterator[object]) -> int:
    found = next(scalars, _END)
    if type(found) is not int or not 0 <= found <= _NUMBER_MAX:
        raise _wrong("a number of 0 to 2^63 - 1", found)
    return found


def _wrong(expected: str, found: object) -> PeerError:
    what = "its end" if found is _END else f"{found!r:.80}"
    return PeerError(f"A parcel of configuration has {what} in the place of {expected}")
