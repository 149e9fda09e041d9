"""DNS messages: reading a question, writing an answer. Nothing more than that is needed here.

Bytes come from anybody on this host and mean nothing until they are checked: what is no plain question of one name is
not read any further. Source: RFC 1035 (4.1), RFC 4343 (case), RFC 9619 (one question).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

__all__ = [
    "UDP_BYTES_MAX",
    "Question",
    "RecordType",
    "ResponseCode",
    "answer",
    "read_question",
    "refusal",
]

UDP_BYTES_MAX = 512
"""Longest answer by UDP to a client that announces nothing larger."""
_HEADER = struct.Struct("!6H")
_NAME_BYTES_MAX = 255
_LABEL_BYTES_MAX = 63
_INTERNET = 1
_OPCODE, _RESPONSE, _AUTHORITATIVE, _TRUNCATED = 0x7800, 0x8000, 0x0400, 0x0200
_RECURSION_WANTED, _RECURSION_AVAILABLE = 0x0100, 0x0080
_NAME_OF_QUESTION = 0xC000 | _HEADER.size
"""A pointer to the name in the question."""


class RecordType(IntEnum):
    """Types that are answered here."""

    A = 1
    AAAA = 28
    SVCB = 64
    HTTPS = 65


class ResponseCode(IntEnum):
    """How an answer ends."""

    NO_ERROR = 0
    SERVER_FAILURE = 2


@dataclass(frozen=True, slots=True)
class Question:
    """One question, as asked."""

    id: int
    flags: int
    name: str
    """Lower case, without final dot; empty for the root."""
    kind: int
    """Record type, perhaps none of `RecordType`."""
    section: bytes
    """The question's own bytes, which an answer repeats."""


def read_question(message: bytes) -> Question | None:
    """The one question of a plain query for the internet class; None for anything else."""
    if len(message) < _HEADER.size:
        return None
    identity, flags, questions, answers, authorities, _ = _HEADER.unpack_from(message)
    if flags & (_RESPONSE | _OPCODE) or questions != 1 or answers or authorities:
        return None
    name, end = _read_name(message, _HEADER.size)
    if name is None or len(message) < end + 4:
        return None
    kind, of_class = struct.unpack_from("!2H", message, end)
    if of_class != _INTERNET:
        return None
    return Question(identity, flags, name, kind, message[_HEADER.size : end + 4])


def _read_name(message: bytes, at: int) -> tuple[str | None, int]:
    """The name that begins at a place, and where it ends; None for one that is broken, compressed or not ASCII."""
    labels: list[str] = []
    begin = at
    while at < len(message):
        length = message[at]
        at += 1
        if length == 0:
            return ".".join(labels), at
        if length > _LABEL_BYTES_MAX or at + length > len(message) or at - begin > _NAME_BYTES_MAX:
            return None, at
        label = message[at : at + length]
        at += length
        if not label.isascii() or b"." in label:
            return None, at
        labels.append(label.decode("ascii").lower())
    return None, at


def answer(
    question: Question,
    addresses: Sequence[IPv4Address | IPv6Address],
    ttl_s: int,
    *,
    bytes_max: int = UDP_BYTES_MAX,
) -> bytes:
    """An answer with these addresses; cut, and marked so, where it would be longer than `bytes_max`."""
    records = []
    left = bytes_max - _HEADER.size - len(question.section)
    for address in addresses:
        kind = RecordType.A if address.version == 4 else RecordType.AAAA
        data = address.packed
        record = struct.pack("!3HIH", _NAME_OF_QUESTION, kind, _INTERNET, ttl_s, len(data)) + data
        if len(record) > left:
            break
        left -= len(record)
        records.append(record)
    cut = _TRUNCATED if len(records) < len(addresses) else 0
    header = _header(question, ResponseCode.NO_ERROR, _AUTHORITATIVE | cut, len(records))
    return header + question.section + b"".join(records)


def refusal(question: Question, code: ResponseCode) -> bytes:
    """An answer that only says how it ended."""
    return _header(question, code, 0, 0) + question.section


def _header(question: Question, code: ResponseCode, flags: int, answers: int) -> bytes:
    kept = question.flags & _RECURSION_WANTED
    said = _RESPONSE | _RECURSION_AVAILABLE | kept | flags | code
    return _HEADER.pack(question.id, said, 1, answers, 0, 0)
