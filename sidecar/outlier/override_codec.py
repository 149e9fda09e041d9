"""Operators' words as they travel: one page of a record of topic `overrides`.

A page is a msgpack map; `o` holds the words:

    [kind, host, port, address, endpoint port, holds for, age, reason]

Kind: 0 clear, 1 pin, 2 pause. Host nil: all destinations; address nil: all endpoints. Times in milliseconds, the age
as of the signing. Unknown keys, and what follows the known places of a word, are passed over. Bytes from outside never
raise: what is no page is None, a word that breaks its rules is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgpack
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from sidecar.gossip.records import RECORD_BODY_BYTES_MAX
from sidecar.mesh.model import HostName
from sidecar.outlier.events import Override, OverrideKind
from sidecar.outlier.evidence_codec import pack, pack_address, unpack_address
from sidecar.outlier.model import Destination, Place

__all__ = ["HOLD_S_MAX", "REASON_CHARS_MAX", "WORDS_MAX", "Word", "decode_words", "encode_words"]

WORDS_MAX = 16
"""Words that one host may have in force."""
HOLD_S_MAX = 30 * 86400.0
"""A word holds no longer: what should hold for ever belongs into the configuration."""
REASON_CHARS_MAX = 100
"""Of the reason that an operator gives."""

_HOLD_MS_MAX = int(HOLD_S_MAX * 1000)
_PLACES = 8
_KINDS = (OverrideKind.CLEAR, OverrideKind.PIN, OverrideKind.PAUSE)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}

_U16 = Annotated[int, Field(strict=True, ge=0, le=0xFFFF)]
_Milliseconds = Annotated[int, Field(strict=True, ge=0, le=_HOLD_MS_MAX)]
_Host = Annotated[str, Field(strict=True, min_length=1, max_length=255, pattern=r"^[!-~]+$")]
_Address = (
    Annotated[bytes, Field(strict=True, min_length=4, max_length=16)]
    | Annotated[str, Field(strict=True, min_length=1, max_length=108, pattern=r"^[!-~]+$")]
)
_WordFields = tuple[
    Annotated[int, Field(strict=True, ge=0, le=2)],
    _Host | None,
    _U16,
    _Address | None,
    _U16,
    _Milliseconds,
    _Milliseconds,
    Annotated[str, Field(strict=True, max_length=REASON_CHARS_MAX)],
]


class _PageFields(TypedDict):
    o: Annotated[list[list[object]], Field(strict=True, max_length=WORDS_MAX)]


_PAGE = TypeAdapter(_PageFields)
_WORD: TypeAdapter[_WordFields] = TypeAdapter(_WordFields)


@dataclass(frozen=True, slots=True)
class Word:
    """An operator's word, and when it was said by our clock."""

    override: Override
    said_s: float

    @property
    def until_s(self) -> float:
        """When it has run out."""
        return self.said_s + self.override.for_s


def encode_words(words: Iterable[Word], now_s: float) -> bytes:
    """The words as a page said at `now_s`; none are an empty body, which withdraws the page."""
    found = [_fields(word, now_s) for word in words]
    return pack({"o": found}) if found else b""


def decode_words(body: bytes, said_s: float) -> tuple[tuple[Word, ...], int] | None:
    """The words of a page said at `said_s` of our clock, and how many were refused; None: no page. Never raises."""
    if not body:
        return (), 0
    if len(body) > RECORD_BODY_BYTES_MAX:
        return None
    try:
        fields = _PAGE.validate_python(msgpack.unpackb(body, strict_map_key=True))
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException):
        return None  # pydantic's ValidationError and msgpack's errors are among these
    read = [_read(found, said_s) for found in fields["o"]]
    words = tuple(word for word in read if word is not None)
    return words, len(read) - len(words)


def _fields(word: Word, now_s: float) -> list[object]:
    said = word.override
    host, port = said.destination or (None, 0)
    address, endpoint_port = said.place or (None, 0)
    return [
        _NUMBERS[said.kind],
        host,
        port,
        None if address is None else pack_address(address),
        endpoint_port,
        min(round(said.for_s * 1000), _HOLD_MS_MAX),
        min(max(0, round((now_s - word.said_s) * 1000)), _HOLD_MS_MAX),
        said.reason,
    ]


def _read(found: list[object], said_s: float) -> Word | None:
    try:
        fields = _WORD.validate_python(tuple(found[:_PLACES]))
    except ValidationError:
        return None
    number, host, port, packed, endpoint_port, for_ms, age_ms, reason = fields
    kind = _KINDS[number]
    destination = None if host is None else Destination(HostName(host), port)
    place = None
    if packed is not None:
        address = unpack_address(packed)
        if address is None or destination is None:
            return None
        place = Place(address, endpoint_port)
    if destination is None and kind is not OverrideKind.PAUSE:
        return None
    said = Override(kind, destination, place, for_ms / 1000, _printable(reason))
    return Word(said, said_s - age_ms / 1000)


def _printable(text: str) -> str:
    """Without line breaks and control characters: it is shown in logs and on terminals."""
    return "".join(one if one.isprintable() else " " for one in text)
