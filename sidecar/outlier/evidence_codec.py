"""Evidence rows as they travel: one page of a record of topic `evidence`.

A page is a msgpack map; `r` holds the rows, grouped by destination:

    [[host, port, [row, ...]], ...]
    row = [address, port, generation, class, ok, external, gateway, local,
           first failure, since, accused, last ok, ok run, episode, failed trials]

An address is 4 or 16 bytes, or text where it is no IP address. Class: 0 neutral, 1 clear, 2 bad. Times are ages in
milliseconds when the page was signed; nil is never. Unknown keys, and whatever follows the known places of a row,
are passed over, so that later versions may say more. Bytes from outside never raise: what is no page is None, a row
that breaks its rules is left out and counted.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgpack
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from sidecar.gossip.records import RECORD_BODY_BYTES_MAX
from sidecar.mesh.model import HostName
from sidecar.outlier.model import Destination, Place, Row, RowClass

__all__ = [
    "COUNT_MAX",
    "EPISODE_MAX",
    "OK_RUN_MAX",
    "PAGE_ROWS_MAX",
    "Page",
    "decode_page",
    "destination_bytes",
    "encode_page",
    "pack",
    "pack_address",
    "row_bytes",
    "unpack_address",
]

PAGE_ROWS_MAX = 32
"""Rows that are read from one page; as many of the shortest rows fit its bytes about half."""
COUNT_MAX = 0xFFFF
"""Counts above are said as this: only their size matters."""
OK_RUN_MAX = 15
"""Successes in a row are counted up to here."""
EPISODE_MAX = 15
"""Episodes and failed trials are counted up to here; long before it the longest ejection is reached."""

_AGE_MS_MAX = 0xFFFFFFFF
_ROW_PLACES = 15
_PAGE_OVERHEAD = 8
_CLASSES = (RowClass.NEUTRAL, RowClass.CLEAR, RowClass.BAD)
_NUMBERS = {row_class: number for number, row_class in enumerate(_CLASSES)}

_U16 = Annotated[int, Field(strict=True, ge=0, le=0xFFFF)]
_U32 = Annotated[int, Field(strict=True, ge=0, le=0xFFFFFFFF)]
_Small = Annotated[int, Field(strict=True, ge=0, le=15)]
_Age = _U32 | None
_Host = Annotated[str, Field(strict=True, min_length=1, max_length=255, pattern=r"^[!-~]+$")]
_Address = (
    Annotated[bytes, Field(strict=True, min_length=4, max_length=16)]
    | Annotated[str, Field(strict=True, min_length=1, max_length=108, pattern=r"^[!-~]+$")]
)
_RowFields = tuple[
    _Address,
    _U16,
    _U32,
    Annotated[int, Field(strict=True, ge=0, le=2)],
    _U16,
    _U16,
    _U16,
    _U16,
    _Age,
    _Age,
    _Age,
    _Age,
    _Small,
    _Small,
    _Small,
]
_Rows = Annotated[list[list[object]], Field(strict=True, max_length=PAGE_ROWS_MAX)]


class _PageFields(TypedDict):
    r: Annotated[list[tuple[_Host, _U16, _Rows]], Field(strict=True, max_length=PAGE_ROWS_MAX)]


_PAGE = TypeAdapter(_PageFields)
_ROW: TypeAdapter[_RowFields] = TypeAdapter(_RowFields)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says."""

    rows: tuple[Row, ...]
    """No two of one endpoint."""
    refused: int = 0
    """Rows that broke their rules."""


def encode_page(rows: Iterable[Row], now_s: float) -> bytes:
    """The rows as a page said at `now_s`; no rows are an empty body, which withdraws the page.

    The caller minds the size (`row_bytes`, `destination_bytes`).
    """
    groups: dict[Destination, list[list[object]]] = {}
    for row in rows:
        groups.setdefault(row.destination, []).append(_row_fields(row, now_s))
    if not groups:
        return b""
    return pack({"r": [[host, port, found] for (host, port), found in groups.items()]})


def decode_page(body: bytes, said_s: float) -> Page | None:
    """The page in these bytes, said at `said_s` of our clock, or None. Never raises."""
    if not body:
        return Page(())
    if len(body) > RECORD_BODY_BYTES_MAX:
        return None
    try:
        fields = _PAGE.validate_python(msgpack.unpackb(body, strict_map_key=True))
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException):
        return None  # pydantic's ValidationError and msgpack's errors are among these
    rows: dict[tuple[Destination, Place], Row] = {}
    refused = 0
    for host, port, found in fields["r"]:
        destination = Destination(HostName(host), port)
        for one in found:
            row = _read_row(destination, one, said_s)
            if row is None or (destination, row.place) in rows or len(rows) >= PAGE_ROWS_MAX:
                refused += 1
            else:
                rows[destination, row.place] = row
    return Page(tuple(rows.values()), refused)


def row_bytes(row: Row) -> int:
    """The most that a row takes in a page, whatever its counts and ages become."""
    address = pack_address(row.place.address)
    return 2 + len(address.encode() if isinstance(address, str) else address) + 47


def destination_bytes(destination: Destination) -> int:
    """What a destination takes in a page beside its rows, with its share of the page's own frame."""
    return 1 + 2 + len(destination.host.encode()) + 3 + 3 + _PAGE_OVERHEAD


def pack(fields: Mapping[str, object]) -> bytes:
    """A map as msgpack."""
    packed = msgpack.packb(fields)
    assert isinstance(packed, bytes)
    return packed


def pack_address(address: str) -> bytes | str:
    """An IP address that is written as usual becomes its 4 or 16 bytes; anything else stays text."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return parsed.packed if str(parsed) == address else address


def unpack_address(packed: bytes | str) -> str | None:
    """The inverse of `pack_address`; None where the bytes are no address."""
    if isinstance(packed, str):
        return packed
    if len(packed) not in (4, 16):
        return None
    return str(ipaddress.ip_address(packed))


def _row_fields(row: Row, now_s: float) -> list[object]:
    return [
        pack_address(row.place.address),
        row.place.port,
        row.generation & 0xFFFFFFFF,
        _NUMBERS[row.row_class],
        min(row.ok, COUNT_MAX),
        min(row.external, COUNT_MAX),
        min(row.gateway, COUNT_MAX),
        min(row.local, COUNT_MAX),
        _age_ms(row.first_failure_s, now_s),
        _age_ms(row.since_s, now_s),
        _age_ms(row.accused_s, now_s),
        _age_ms(row.last_ok_s, now_s),
        min(row.ok_run, OK_RUN_MAX),
        min(row.episode, EPISODE_MAX),
        min(row.failed_trials, EPISODE_MAX),
    ]


def _age_ms(then_s: float, now_s: float) -> int | None:
    if not math.isfinite(then_s):
        return None
    return min(max(0, round((now_s - then_s) * 1000)), _AGE_MS_MAX)


def _read_row(destination: Destination, found: list[object], said_s: float) -> Row | None:
    try:
        fields = _ROW.validate_python(tuple(found[:_ROW_PLACES]))
    except ValidationError:
        return None
    address = unpack_address(fields[0])
    if address is None:
        return None
    first_failure, since, accused, last_ok = fields[8:12]
    row_class = _CLASSES[fields[3]]
    if row_class is RowClass.BAD and not _is_in_order(first_failure, since, accused):
        return None
    if row_class is RowClass.CLEAR and last_ok is None:
        return None
    return Row(
        destination,
        Place(address, fields[1]),
        fields[2],
        row_class,
        ok=fields[4],
        external=fields[5],
        gateway=fields[6],
        local=fields[7],
        first_failure_s=_time_s(first_failure, said_s),
        since_s=_time_s(since, said_s),
        accused_s=_time_s(accused, said_s),
        last_ok_s=_time_s(last_ok, said_s),
        ok_run=fields[12],
        episode=fields[13],
        failed_trials=fields[14],
    )


def _is_in_order(first_failure: int | None, since: int | None, accused: int | None) -> bool:
    """Whether an accusation says when it began, in an order that can be: failure, accusation, renewed accusation."""
    if first_failure is None or since is None or accused is None:
        return False
    return first_failure >= since >= accused


def _time_s(age_ms: int | None, said_s: float) -> float:
    return -math.inf if age_ms is None else said_s - age_ms / 1000
