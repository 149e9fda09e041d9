"""A standing as bytes: the body of a record of topic `standing`. A msgpack map, checked by pydantic on the way in.

    c cluster id   l life (both absent before the first snapshot)   r received   h its hash, 16 bytes
    f in force     s sync   q quarantined   j rejected   v version  w marks of withheld keys

Keys that are not listed are passed over, so that later versions may say more. Everything else is refused whole: bytes
from outside never raise and never leave half a standing behind.
"""

from __future__ import annotations

from typing import Annotated, NotRequired

import msgpack
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from sidecar.gossip.records import RECORD_BODY_BYTES_MAX
from sidecar.standing.model import HASH_DIGITS, Standing, Sync
from store.snapshot import Epoch

__all__ = ["VERSION_CHARS_MAX", "WITHHELD_MAX", "decode", "encode"]

WITHHELD_MAX = 60
"""Marks that are told: five bytes each, so that the longest standing stays well within a record."""
VERSION_CHARS_MAX = 64
"""Of the sidecar's version."""

HASH_BYTES = HASH_DIGITS // 2
_SYNCS = (Sync.STORE, Sync.PEERS, Sync.STALE, Sync.HELD)
_NUMBERS = {sync: number for number, sync in enumerate(_SYNCS)}
_U32 = Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]
_REVISION = Annotated[int, Field(strict=True, ge=0, lt=1 << 63)]


class _Standing(TypedDict):
    c: NotRequired[Annotated[int, Field(strict=True, ge=0, lt=1 << 64)]]
    l: NotRequired[Annotated[int, Field(strict=True, ge=1, lt=1 << 32)]]  # noqa: E741 (a key on the wire)
    r: _REVISION
    h: Annotated[bytes, Field(strict=True, max_length=HASH_BYTES)]
    f: _REVISION
    s: Annotated[int, Field(strict=True, ge=0, lt=len(_SYNCS))]
    q: NotRequired[_U32]
    j: NotRequired[_U32]
    v: NotRequired[
        Annotated[str, Field(strict=True, max_length=VERSION_CHARS_MAX, pattern=r"^[!-~]*$")]
    ]
    w: NotRequired[Annotated[list[_U32], Field(strict=True, max_length=WITHHELD_MAX)]]


_ADAPTER = TypeAdapter(_Standing)


def encode(standing: Standing) -> bytes:
    """The body of a record, at most `RECORD_BODY_BYTES_MAX` bytes.

    A version that is too long is cut, marks beyond `WITHHELD_MAX` are left out.
    """
    fields: dict[str, object] = {
        "r": standing.received,
        "h": bytes.fromhex(standing.received_hash),
        "f": standing.in_force,
        "s": _NUMBERS[standing.sync],
        "v": standing.version[:VERSION_CHARS_MAX],
    }
    if standing.epoch is not None:
        fields["c"], fields["l"] = standing.epoch.cluster_id, standing.epoch.life
    if standing.quarantined:
        fields["q"] = standing.quarantined
    if standing.rejected:
        fields["j"] = standing.rejected
    if standing.withheld:
        fields["w"] = list(standing.withheld[:WITHHELD_MAX])
    body = msgpack.packb(fields)
    assert isinstance(body, bytes)
    assert len(body) <= RECORD_BODY_BYTES_MAX, "the bounds above hold it below"
    return body


def decode(body: bytes) -> Standing | None:
    """The standing in these bytes, or None.

    None also when it says what cannot be: something in force that was never received, a revision without an epoch.
    """
    if len(body) > RECORD_BODY_BYTES_MAX:
        return None
    try:
        fields = _ADAPTER.validate_python(msgpack.unpackb(body, strict_map_key=True))
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException):
        return None  # pydantic's ValidationError and msgpack's errors are among these
    epoch = None
    if ("c" in fields) != ("l" in fields):
        return None
    if "c" in fields and "l" in fields:
        epoch = Epoch(fields["l"], fields["c"])
    if fields["f"] > fields["r"] or (epoch is None and fields["r"]):
        return None
    if len(fields["h"]) not in (0, HASH_BYTES):
        return None
    return Standing(
        epoch=epoch,
        received=fields["r"],
        received_hash=fields["h"].hex(),
        in_force=fields["f"],
        sync=_SYNCS[fields["s"]],
        quarantined=fields.get("q", 0),
        rejected=fields.get("j", 0),
        version=fields.get("v", ""),
        withheld=tuple(sorted(set(fields.get("w", ())))),
    )
