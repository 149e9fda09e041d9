"""History: one record for each change set and namespace, with the values that the change set overwrote.

A value once put with `etcdctl` is kept as well, as soon as a change set overwrites it. Records are JSON that a
person can read; overwritten values that are canonical JSON stand in them as they are, others as text or base64.
Change ids begin with the time, so they sort by it. Pure: time and randomness are the caller's.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from store.codec import encode
from store.errors import InputError
from store.snapshot import Entry

__all__ = [
    "Action",
    "HistoryRecord",
    "Overwritten",
    "change_id",
    "decode_record",
    "encode_record",
    "expired",
    "fence_value",
]

RECORD_FORMAT = 1
EXPIRED_AT_ONCE_MAX = 100
"""Records deleted after one change; the rest goes with the next ones."""


class Action(StrEnum):
    """What a change does to one key; the words that `put` and `delete` print."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Overwritten:
    """One key of a change set, and what it held before."""

    key: str
    """Relative key."""
    action: Action
    """What was done to it."""
    before: Entry | None
    """What it held; None when it did not exist."""


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """What one change set overwrote in one namespace, and who says why."""

    change: str
    """Change id, the same in all namespaces that the change set touched."""
    namespace: str
    """Namespace of the keys; empty for the MeshConfig."""
    namespaces: tuple[str, ...]
    """All namespaces that the change set touched."""
    author: str
    """Who did it, as the command knows it (not proven)."""
    time: str
    """When, in the author's clock: ISO 8601, UTC."""
    message: str
    """Why, in the author's words; may be empty."""
    overwrote: tuple[Overwritten, ...]
    """Every key that was written or deleted."""
    revision: int = 0
    """The revision at which the change set happened; 0 while it has not."""
    is_fence: bool = False
    """Whether this is no change: it keeps a write whose answer was lost from happening after all."""


def change_id(stamp: str, salt: str) -> str:
    """The id of a change: `stamp` is UTC as `20260131T235959.123456Z`, `salt` a few random letters."""
    return f"{stamp}-{salt}"


def encode_record(record: HistoryRecord) -> bytes:
    """The stored value of a record; its revision is the key's own and not in it."""
    return _compact(
        {
            "format": RECORD_FORMAT,
            "change": record.change,
            "author": record.author,
            "time": record.time,
            "message": record.message,
            "namespaces": list(record.namespaces),
            "overwrote": [_overwritten_out(one) for one in record.overwrote],
        }
    )


def fence_value(change: str, time: str) -> bytes:
    """The value that takes the place of a record which must not come any more."""
    return _compact({"format": RECORD_FORMAT, "change": change, "time": time, "abandoned": True})


def decode_record(namespace: str, change: str, entry: Entry) -> HistoryRecord:
    """The record that `entry` holds.

    Raises:
        InputError: It is not what any version of meshd writes, or is of a newer format.
    """
    where = f"history record {namespace or '_mesh'}/{change}"
    try:
        found = json.loads(entry.value)
        if found["format"] > RECORD_FORMAT:
            raise InputError(
                f"{where} has format {found['format']}; up to {RECORD_FORMAT} is understood",
                hint="Use a newer meshd",
            )
        return HistoryRecord(
            change=change,
            namespace=namespace,
            namespaces=tuple(found.get("namespaces", ())),
            author=str(found.get("author", "")),
            time=str(found["time"]),
            message=str(found.get("message", "")),
            overwrote=tuple(_overwritten_in(one) for one in found.get("overwrote", ())),
            revision=entry.mod_revision,
            is_fence=bool(found.get("abandoned", False)),
        )
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        binascii.Error,
    ) as error:
        raise InputError(
            f"{where} at revision {entry.mod_revision} cannot be read: {error}",
            hint="It was not written by meshd; delete it with etcdctl if nobody needs it",
        ) from error


def expired(changes: Sequence[str], *, oldest_kept: str, kept_max: int) -> tuple[str, ...]:
    """Ids of records of one namespace that may go, oldest first; at most EXPIRED_AT_ONCE_MAX.

    Args:
        changes: The ids of its records, in any order.
        oldest_kept: Ids that sort before this are too old: the stamp of the oldest time kept.
        kept_max: How many records are kept, whatever their age.
    """
    ordered = sorted(changes)
    surplus = max(0, len(ordered) - kept_max)
    gone = [
        change for place, change in enumerate(ordered) if place < surplus or change < oldest_kept
    ]
    return tuple(gone[:EXPIRED_AT_ONCE_MAX])


def _overwritten_out(one: Overwritten) -> dict[str, object]:
    before = None
    if one.before is not None:
        before = {
            **_value_out(one.before.value),
            "createRevision": one.before.create_revision,
            "modRevision": one.before.mod_revision,
            "version": one.before.version,
        }
    return {"key": one.key, "action": one.action.value, "before": before}


def _overwritten_in(found: Mapping[str, Any]) -> Overwritten:
    key, before = str(found["key"]), found["before"]
    entry = None
    if before is not None:
        entry = Entry(
            key=key,
            value=_value_in(before),
            create_revision=int(before["createRevision"]),
            mod_revision=int(before["modRevision"]),
            version=int(before["version"]),
        )
    return Overwritten(key, Action(found["action"]), entry)


def _value_out(value: bytes) -> dict[str, object]:
    """A value in the most readable form that gives the very same bytes back and is at most 4/3 as long."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
    try:
        parsed = json.loads(text)
        if isinstance(parsed, dict) and encode(parsed) == value:
            return {"json": parsed}
    except (ValueError, RecursionError, InputError):
        pass
    in_base64 = base64.b64encode(value).decode()
    return {"text": text} if len(_compact(text)) <= len(in_base64) + 2 else {"base64": in_base64}


def _value_in(found: Mapping[str, Any]) -> bytes:
    if "json" in found:
        return _compact(found["json"])
    if "text" in found:
        return str(found["text"]).encode()
    return base64.b64decode(found["base64"], validate=True)


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
