"""Messages about records: the record itself, tables of versions, and the question for them.

    k record         s topic, n node, p page, e epoch, v version, b body, k key, g signature, o age in milliseconds
    u record table   opens request and answer of an exchange of records; r rows of node, topic and page, epoch, version
    w records wanted s topic: of the receiver's own records

Topics are numbers on the wire. A topic that is not known is no message: it is counted and not passed on, since nobody
here could tell whether it may be. The age stands last and in a fixed width, so that what waits to be sent gets its age
when it goes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from sidecar.gossip import wire
from sidecar.gossip.records import PAGES_MAX, RECORD_BODY_BYTES_MAX, Record, Topic
from sidecar.gossip.signing import PUBLIC_BYTES, SIGNATURE_BYTES

__all__ = [
    "AGE_BYTES",
    "AGE_MS_MAX",
    "ROWS_MAX",
    "VERSION_MAX",
    "RecordTable",
    "RecordWanted",
    "RecordWords",
    "VersionRow",
    "decode_record_words",
    "encode_record",
    "encode_record_words",
    "with_age",
]

VERSION_MAX = 1 << 52
"""Of a record; as many as nobody says in one life."""
AGE_MS_MAX = (1 << 32) - 1
"""Ages beyond (49 days) are told as this."""
ROWS_MAX = 100_000
"""Of a table of versions: 10,000 members with a few pages each."""

_TOPICS = (Topic.EVIDENCE, Topic.STANDING, Topic.OVERRIDES)
_NUMBERS = {topic: number for number, topic in enumerate(_TOPICS)}
_TopicNumber = Annotated[int, Field(strict=True, ge=0, lt=len(_TOPICS))]
_Place = Annotated[int, Field(strict=True, ge=0, lt=len(_TOPICS) * PAGES_MAX)]
_Version = Annotated[int, Field(strict=True, ge=1, le=VERSION_MAX)]


class VersionRow(NamedTuple):
    """Which version of a record somebody has."""

    topic: Topic
    node: str
    page: int
    epoch: int
    version: int


@dataclass(frozen=True, slots=True)
class RecordTable:
    """Of an asker: all versions that it has. Of an answerer, before the records: the first that had no room."""

    rows: tuple[VersionRow, ...]


@dataclass(frozen=True, slots=True)
class RecordWanted:
    """Send me your own records of this topic."""

    topic: Topic


RecordWords = Record | RecordTable | RecordWanted


class _Record(TypedDict):
    s: _TopicNumber
    n: wire.Node
    p: Annotated[int, Field(strict=True, ge=0, lt=PAGES_MAX)]
    e: wire.Epoch
    v: _Version
    b: Annotated[bytes, Field(strict=True, max_length=RECORD_BODY_BYTES_MAX)]
    k: Annotated[bytes, Field(strict=True, min_length=PUBLIC_BYTES, max_length=PUBLIC_BYTES)]
    g: Annotated[bytes, Field(strict=True, min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
    o: wire.U32


class _Table(TypedDict):
    r: Annotated[
        list[tuple[wire.Node, _Place, wire.Epoch, _Version]],
        Field(strict=True, max_length=ROWS_MAX),
    ]


class _Wanted(TypedDict):
    s: _TopicNumber


_RECORD = TypeAdapter(_Record)
_TABLE = TypeAdapter(_Table)
_WANTED = TypeAdapter(_Wanted)
_AGE = struct.Struct(">BI")
AGE_BYTES = _AGE.size
"""What `with_age` adds."""


def encode_record(record: Record) -> bytes:
    """A record as it travels, without its age: `with_age` completes it."""
    fields = {
        "t": "k",
        "s": _NUMBERS[record.topic],
        "n": record.node,
        "p": record.page,
        "e": record.epoch,
        "v": record.version,
        "b": record.body,
        "k": record.key,
        "g": record.signature,
        "o": 0,
    }
    return wire.pack(fields)[:-1]  # zero is one byte


def with_age(encoded: bytes, age_s: float) -> bytes:
    """What `encode_record` made, with its age: complete."""
    age_ms = min(AGE_MS_MAX, max(0, round(age_s * 1000)))
    return encoded + _AGE.pack(0xCE, age_ms)


def encode_record_words(message: RecordWords) -> bytes:
    """One of these messages as it travels in a frame."""
    match message:
        case Record():
            return with_age(encode_record(message), message.age_ms / 1000)
        case RecordTable():
            rows = [
                (r.node, _NUMBERS[r.topic] * PAGES_MAX + r.page, r.epoch, r.version)
                for r in message.rows
            ]
            return wire.pack({"t": "u", "r": rows})
        case RecordWanted():
            return wire.pack({"t": "w", "s": _NUMBERS[message.topic]})


def decode_record_words(kind: object, fields: dict[object, object]) -> RecordWords | None:
    """The message of this type, or None when the type is none of these.

    Raises:
        ValidationError: The fields break the rules of the type.
    """
    match kind:
        case "k":
            f = _RECORD.validate_python(fields)
            return Record(
                _TOPICS[f["s"]], f["n"], f["p"], f["e"], f["v"], f["b"], f["k"], f["g"], f["o"]
            )
        case "u":
            return RecordTable(
                tuple(
                    VersionRow(_TOPICS[place // PAGES_MAX], node, place % PAGES_MAX, epoch, version)
                    for node, place, epoch, version in _TABLE.validate_python(fields)["r"]
                )
            )
        case "w":
            return RecordWanted(_TOPICS[_WANTED.validate_python(fields)["s"]])
        case _:
            return None
