"""Frames on the wire: msgpack maps, checked by pydantic on the way in. The one module that knows either.

A frame is a map: `v` newest and `l` oldest protocol version spoken, `n a e i` node, address, epoch and incarnation
of the sender (who is alive, since it speaks), `m` the messages. A message is a map with its type under `t`:

    p ping          q sequence number, w node meant, d digest of the members held, s digest of the records held
    a ack           q, d, s             n nack   q
    r ping request  q, n node, a address to ping on the sender's behalf
    c claim         n a e i as above, s status, y accusers, o age in milliseconds
    x exchange      opens the request and the answer of an exchange of tables; d, s
    z refusal       y reason, in an answer
    k, u, w         records: `sidecar.gossip.record_frames`

Unknown keys and unknown types are passed over, so that later versions may say more; earlier ones of protocol 1 knew no
records and told no `s`. Bytes from outside never raise: what is not a frame is None, what is not a message is counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, NotRequired

import msgpack
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from sidecar.gossip.claims import ACCUSERS_MAX, Claim, Identity, Status
from sidecar.gossip.record_frames import (
    RecordTable,
    RecordWanted,
    RecordWords,
    decode_record_words,
    encode_record_words,
)
from sidecar.gossip.records import Record
from sidecar.gossip.wire import (
    BODY_BYTES_MAX,
    DATAGRAM_BYTES_MAX,
    NODE_CHARS_MAX,
    STREAM_BYTES_MAX,
    U32,
    Address,
    Epoch,
    Incarnation,
    Node,
    pack,
)

__all__ = [
    "BODY_BYTES_MAX",
    "DATAGRAM_BYTES_MAX",
    "NODE_CHARS_MAX",
    "PROTOCOL",
    "PROTOCOL_OLDEST",
    "STREAM_BYTES_MAX",
    "Ack",
    "Exchange",
    "Frame",
    "Message",
    "Nack",
    "Ping",
    "PingRequest",
    "RecordTable",
    "RecordWanted",
    "Refusal",
    "Sender",
    "decode",
    "encode",
    "encode_message",
]

PROTOCOL = 1
"""The newest version that we speak."""
PROTOCOL_OLDEST = 1
"""The oldest version that we speak."""

_MESSAGES_MAX = 40_000
_Accusers = Annotated[list[Node], Field(max_length=ACCUSERS_MAX)]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who speaks, and which protocol versions it speaks."""

    identity: Identity
    incarnation: int
    newest: int = PROTOCOL
    oldest: int = PROTOCOL_OLDEST


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""

    seq: int
    node: str
    """Who is meant; another one under the same address stays silent."""
    digest: int
    """Of the members that the sender holds alive or suspect."""
    records: int | None = None
    """Digest of the records that the sender holds; None: it knows none."""


@dataclass(frozen=True, slots=True)
class Ack:
    """I am; or, from a relay: it is."""

    seq: int
    digest: int
    records: int | None = None


@dataclass(frozen=True, slots=True)
class Nack:
    """From a relay: it did not answer me in time, but I heard you."""

    seq: int


@dataclass(frozen=True, slots=True)
class PingRequest:
    """Ping this one for me."""

    seq: int
    node: str
    address: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """The claims of this frame are a table: of the asker all, of the answerer what the asker lacks."""

    digest: int
    records: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The asker is not talked to."""

    reason: str


Message = Ping | Ack | Nack | PingRequest | Claim | Exchange | Refusal | RecordWords


@dataclass(frozen=True, slots=True)
class Frame:
    """What came in."""

    sender: Sender
    messages: tuple[Message, ...]
    ignored: int
    """Messages that were of no known type or broke its rules."""


class _Envelope(TypedDict):
    v: U32
    l: U32  # noqa: E741 (a key on the wire)
    n: Node
    a: Address
    e: Epoch
    i: Incarnation
    m: Annotated[list[object], Field(strict=True, max_length=_MESSAGES_MAX)]


class _Answer(TypedDict):
    q: U32
    d: U32
    s: NotRequired[U32]


class _Ping(TypedDict):
    q: U32
    w: Node
    d: U32
    s: NotRequired[U32]


class _Nack(TypedDict):
    q: U32


class _PingRequest(TypedDict):
    q: U32
    n: Node
    a: Address


class _Claim(TypedDict):
    n: Node
    a: Address
    e: Epoch
    i: Incarnation
    s: Annotated[int, Field(strict=True, ge=0, le=3)]
    y: NotRequired[_Accusers]
    o: NotRequired[Annotated[int, Field(strict=True, ge=0, lt=1 << 48)]]


class _Exchange(TypedDict):
    d: U32
    s: NotRequired[U32]


class _Refusal(TypedDict):
    y: Annotated[str, Field(strict=True, max_length=200)]


_ENVELOPE = TypeAdapter(_Envelope)
_PING = TypeAdapter(_Ping)
_ANSWER = TypeAdapter(_Answer)
_NACK = TypeAdapter(_Nack)
_REQUEST = TypeAdapter(_PingRequest)
_CLAIM = TypeAdapter(_Claim)
_EXCHANGE = TypeAdapter(_Exchange)
_REFUSAL = TypeAdapter(_Refusal)
_STATUSES = (Status.ALIVE, Status.SUSPECT, Status.DEAD, Status.LEFT)
_NUMBERS = {status: number for number, status in enumerate(_STATUSES)}


def encode_message(message: Message) -> bytes:
    """One message as it travels in a frame."""
    fields: dict[str, object]
    match message:
        case Ping():
            fields = {"t": "p", "q": message.seq, "w": message.node, "d": message.digest}
        case Ack():
            fields = {"t": "a", "q": message.seq, "d": message.digest}
        case Nack():
            fields = {"t": "n", "q": message.seq}
        case PingRequest():
            fields = {"t": "r", "q": message.seq, "n": message.node, "a": message.address}
        case Claim():
            return _encode_claim(message)
        case Exchange():
            fields = {"t": "x", "d": message.digest}
        case Refusal():
            fields = {"t": "z", "y": message.reason}
        case Record() | RecordTable() | RecordWanted():
            return encode_record_words(message)
    if isinstance(message, Ping | Ack | Exchange) and message.records is not None:
        fields["s"] = message.records
    return pack(fields)


def _encode_claim(claim: Claim) -> bytes:
    who = claim.identity
    fields: dict[str, object] = {
        "t": "c",
        "n": who.node,
        "a": who.address,
        "e": who.epoch,
        "i": claim.incarnation,
        "s": _NUMBERS[claim.status],
    }
    if claim.accusers:
        fields["y"] = list(claim.accusers)
    if claim.age_ms:
        fields["o"] = claim.age_ms
    return pack(fields)


def encode(sender: Sender, messages: Iterable[bytes]) -> bytes:
    """A frame of messages that `encode_message` made. The caller minds the size."""
    parts = list(messages)
    who = sender.identity
    head = pack(
        {
            "v": sender.newest,
            "l": sender.oldest,
            "n": who.node,
            "a": who.address,
            "e": who.epoch,
            "i": sender.incarnation,
        }
    )
    # The head is a map of six; with the messages, whose bytes are made already, it is one of seven.
    return b"\x87" + head[1:] + b"\xa1m\xdd" + struct.pack(">I", len(parts)) + b"".join(parts)


def decode(body: bytes) -> Frame | None:
    """The frame in these bytes, or None. Never raises; uses memory in proportion to the bytes."""
    if len(body) > STREAM_BYTES_MAX:
        return None
    try:
        envelope = _ENVELOPE.validate_python(msgpack.unpackb(body, strict_map_key=True))
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException):
        return None  # pydantic's ValidationError and msgpack's errors are among these
    messages: list[Message] = []
    ignored = 0
    for fields in envelope["m"]:
        message = _message(fields)
        if message is None:
            ignored += 1
        else:
            messages.append(message)
    identity = Identity(envelope["n"], envelope["a"], envelope["e"])
    sender = Sender(identity, envelope["i"], envelope["v"], envelope["l"])
    return Frame(sender, tuple(messages), ignored)


def _message(fields: object) -> Message | None:
    if not isinstance(fields, dict):
        return None
    try:
        match fields.get("t"):
            case "c":
                return _decode_claim(_CLAIM.validate_python(fields))
            case "p":
                ping = _PING.validate_python(fields)
                return Ping(ping["q"], ping["w"], ping["d"], ping.get("s"))
            case "a":
                ack = _ANSWER.validate_python(fields)
                return Ack(ack["q"], ack["d"], ack.get("s"))
            case "n":
                return Nack(_NACK.validate_python(fields)["q"])
            case "r":
                request = _REQUEST.validate_python(fields)
                return PingRequest(request["q"], request["n"], request["a"])
            case "x":
                exchange = _EXCHANGE.validate_python(fields)
                return Exchange(exchange["d"], exchange.get("s"))
            case "z":
                return Refusal(_REFUSAL.validate_python(fields)["y"])
            case kind:
                return decode_record_words(kind, fields)
    except ValidationError:
        return None


def _decode_claim(fields: _Claim) -> Claim:
    status = _STATUSES[fields["s"]]
    accusers: tuple[str, ...] = ()
    if status is Status.SUSPECT:
        accusers = tuple(sorted(set(fields.get("y", ()))))
    identity = Identity(fields["n"], fields["a"], fields["e"])
    return Claim(identity, status, fields["i"], accusers, fields.get("o", 0))
