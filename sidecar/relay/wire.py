"""The relay's words on the wire: msgpack maps, checked by pydantic on the way in. The one module that knows either.

Each has its type under `t`. Requests, and what may answer them:

    w want      c cluster id, g hash wanted (16 bytes), s revision that the asker has (0: nothing)   -> o or z
    k chunk?    d digest of the parcel, i index                                                     -> b or z
    v vouch?    c cluster id, s revision above which                                                -> y or z

    o offer     d digest of the whole parcel, s revision that it starts from (0: it is everything), l length in
                bytes, k length of a chunk
    b chunk     i index, b bytes, g digest of all up to here, r newest revision that the sender has by now
    z refusal   y reason, a milliseconds after which to ask again, r newest revision, g its hash
    y vouches   l list of statements: n node, c cluster id, l list of (revision, hash), z signature

Unknown keys are passed over, unknown types are None. Bytes from outside never raise, and take memory in proportion
to their length, which is bounded before anything is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NamedTuple

import msgpack
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

__all__ = [
    "CHUNK_BYTES_MAX",
    "CHUNK_BYTES_MIN",
    "HASH_BYTES",
    "PAIRS_MAX",
    "STATEMENTS_MAX",
    "WORD_BYTES_MAX",
    "Attested",
    "Chunk",
    "ChunkRequest",
    "Offer",
    "Reason",
    "Refusal",
    "Statement",
    "VouchRequest",
    "Vouches",
    "Want",
    "Word",
    "decode",
    "encode",
]

CHUNK_BYTES_MIN = 1 << 10
"""Of a chunk; smaller ones would make a pull all overhead."""
CHUNK_BYTES_MAX = 1 << 20
"""Of a chunk."""
WORD_BYTES_MAX = CHUNK_BYTES_MAX + 1024
"""Of one body."""
HASH_BYTES = 16
"""Of a snapshot's hash, shortened as in a standing."""
PAIRS_MAX = 64
"""Of one statement."""
STATEMENTS_MAX = 5
"""Of one answer: the sender's own, and some that it heard."""

_REVISION_MAX = (1 << 63) - 1
"""etcd counts revisions in 63 bits."""


class Attested(NamedTuple):
    """At this revision, the content has this hash."""

    revision: int
    hash: bytes
    """The first `HASH_BYTES` of `Snapshot.hash`."""


class Reason(StrEnum):
    """Why a request is not met."""

    BUSY = "busy"
    """As many pull as may."""
    UNKNOWN = "unknown"
    """That content is not at hand: not yet, no longer, or of another epoch."""
    GONE = "gone"
    """The place was lost: begin again."""
    LARGE = "large"
    """It exceeds the bound."""


@dataclass(frozen=True, slots=True)
class Want:
    """Give me what leads to this hash."""

    cluster_id: int
    hash: bytes
    since: int
    """Revision of what the asker has; 0: nothing, or nothing that helps."""


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """Give me this chunk."""

    digest: bytes
    index: int


@dataclass(frozen=True, slots=True)
class VouchRequest:
    """What do you know the hash of?"""

    cluster_id: int
    above: int


@dataclass(frozen=True, slots=True)
class Offer:
    """It is here, at one revision, and remains so while it is pulled."""

    digest: bytes
    """SHA-256 chained over the chunks; names the parcel."""
    since: int
    length: int
    chunk_bytes: int

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.length // self.chunk_bytes)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One part of a parcel."""

    index: int
    body: bytes
    digest: bytes
    """Over everything up to the end of this chunk."""
    newest: int
    """What the sender has by now; the parcel stays at its own revision."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not now, or not from me."""

    reason: Reason
    after_ms: int
    newest: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """What one host has had from etcd, signed by it, so that others can pass it on."""

    node: str
    cluster_id: int
    pairs: tuple[Attested, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class Vouches:
    """Statements: the sender's own first."""

    statements: tuple[Statement, ...]


Word = Want | ChunkRequest | VouchRequest | Offer | Chunk | Refusal | Vouches

_Cluster = Annotated[int, Field(strict=True, ge=0, lt=1 << 64)]
_Revision = Annotated[int, Field(strict=True, ge=0, le=_REVISION_MAX)]
_Hash = Annotated[bytes, Field(strict=True, min_length=HASH_BYTES, max_length=HASH_BYTES)]
_Digest = Annotated[bytes, Field(strict=True, min_length=32, max_length=32)]
_Index = Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]
_Node = Annotated[str, Field(strict=True, min_length=1, max_length=100, pattern=r"^[!-~]+$")]


class _Want(TypedDict):
    c: _Cluster
    g: _Hash
    s: _Revision


class _ChunkRequest(TypedDict):
    d: _Digest
    i: _Index


class _VouchRequest(TypedDict):
    c: _Cluster
    s: _Revision


class _Offer(TypedDict):
    d: _Digest
    s: _Revision
    l: Annotated[int, Field(strict=True, ge=0, lt=1 << 40)]  # noqa: E741 (the name on the wire)
    k: Annotated[int, Field(strict=True, ge=CHUNK_BYTES_MIN, le=CHUNK_BYTES_MAX)]


class _Chunk(TypedDict):
    i: _Index
    b: Annotated[bytes, Field(strict=True, min_length=1, max_length=CHUNK_BYTES_MAX)]
    g: _Digest
    r: _Revision


class _Refusal(TypedDict):
    y: Annotated[str, Field(strict=True, max_length=20)]
    a: Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]
    r: _Revision
    g: _Hash


class _Statement(TypedDict):
    n: _Node
    c: _Cluster
    l: Annotated[list[tuple[_Revision, _Hash]], Field(max_length=PAIRS_MAX)]  # noqa: E741
    z: Annotated[bytes, Field(strict=True, max_length=64)]


class _Vouches(TypedDict):
    l: Annotated[list[_Statement], Field(max_length=STATEMENTS_MAX)]  # noqa: E741


_REASONS = {reason.value: reason for reason in Reason}
_WANT = TypeAdapter(_Want)
_CHUNK_REQUEST = TypeAdapter(_ChunkRequest)
_VOUCH_REQUEST = TypeAdapter(_VouchRequest)
_OFFER = TypeAdapter(_Offer)
_CHUNK = TypeAdapter(_Chunk)
_REFUSAL = TypeAdapter(_Refusal)
_VOUCHES = TypeAdapter(_Vouches)


def encode(word: Word) -> bytes:
    """The bytes of one word."""
    fields: dict[str, object]
    match word:
        case Want():
            fields = {"t": "w", "c": word.cluster_id, "g": word.hash, "s": word.since}
        case ChunkRequest():
            fields = {"t": "k", "d": word.digest, "i": word.index}
        case VouchRequest():
            fields = {"t": "v", "c": word.cluster_id, "s": word.above}
        case Offer():
            fields = {"t": "o", "d": word.digest, "s": word.since}
            fields |= {"l": word.length, "k": word.chunk_bytes}
        case Chunk():
            fields = {"t": "b", "i": word.index, "b": word.body, "g": word.digest, "r": word.newest}
        case Refusal():
            fields = {"t": "z", "y": word.reason.value, "a": word.after_ms}
            fields |= {"r": word.newest, "g": word.hash}
        case Vouches():
            rows = [
                {"n": one.node, "c": one.cluster_id, "l": list(one.pairs), "z": one.signature}
                for one in word.statements
            ]
            fields = {"t": "y", "l": rows}
    packed = msgpack.packb(fields)
    assert isinstance(packed, bytes)
    return packed


def decode(body: bytes) -> Word | None:
    """The word in these bytes, or None. Never raises."""
    if len(body) > WORD_BYTES_MAX:
        return None
    try:
        fields = msgpack.unpackb(body, strict_map_key=True)
        return _word(fields) if isinstance(fields, dict) else None
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException):
        return None  # pydantic's ValidationError and msgpack's errors are among these


def _word(fields: dict[object, object]) -> Word | None:
    match fields.get("t"):
        case "w":
            want = _WANT.validate_python(fields)
            return Want(want["c"], want["g"], want["s"])
        case "k":
            asked = _CHUNK_REQUEST.validate_python(fields)
            return ChunkRequest(asked["d"], asked["i"])
        case "v":
            vouch = _VOUCH_REQUEST.validate_python(fields)
            return VouchRequest(vouch["c"], vouch["s"])
        case "o":
            offer = _OFFER.validate_python(fields)
            return Offer(offer["d"], offer["s"], offer["l"], offer["k"])
        case "b":
            chunk = _CHUNK.validate_python(fields)
            return Chunk(chunk["i"], chunk["b"], chunk["g"], chunk["r"])
        case "z":
            refusal = _REFUSAL.validate_python(fields)
            reason = _REASONS.get(refusal["y"], Reason.UNKNOWN)  # later versions may have others
            return Refusal(reason, refusal["a"], refusal["r"], refusal["g"])
        case "y":
            return Vouches(
                tuple(
                    Statement(
                        row["n"], row["c"], tuple(Attested(*pair) for pair in row["l"]), row["z"]
                    )
                    for row in _VOUCHES.validate_python(fields)["l"]
                )
            )
        case _:
            return None
