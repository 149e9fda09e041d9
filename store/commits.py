"""How a change set becomes one transaction: values, history records, guards; and batches where one is too small.

Every key that is touched is guarded. Up to about a hundred keys each has its own guard. More share guards: keys in
order are cut into ranges, and nothing in a range may have been written since it was read. Such a guard also fails
when somebody wrote a neighbour, which the caller finds out by reading again, and it does not notice a deletion; so
the history of the namespaces is guarded as well, where every deletion by meshd leaves a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from store.changes import Change, ChangeSet
from store.errors import ConflictError, InputError
from store.history import Action, HistoryRecord, encode_record
from store.keys import FORMAT_KEY, absolute_key, history_key, key_range
from store.objects.kinds import Kind
from store.snapshot import Entry
from store.transactions import (
    GUARDS_MAX,
    OPERATIONS_MAX,
    REQUEST_BYTES_MAX,
    Delete,
    Guard,
    Put,
    RangeGuard,
    Transaction,
)

__all__ = ["FORMAT_VALUE", "Authorship", "batches", "refreshed", "transaction"]

FORMAT_VALUE = b'{"format":1,"oldestReader":1}'
"""What this version writes under the `format` key of an empty store."""

NAMESPACES_MAX = 25
"""Namespaces of one batch: each costs a record and two guards."""

_ORDER = (
    Kind.MESH_CONFIG,
    Kind.SERVICE_ENTRY,
    Kind.WORKLOAD_ENTRY,
    Kind.WORKLOAD_GROUP,
    Kind.DESTINATION_RULE,
    Kind.GATEWAY,
    Kind.SIDECAR,
    Kind.VIRTUAL_SERVICE,
)
"""Destinations before the routes that name them; removals go the other way."""
_BATCH_RESERVE_BYTES = 100_000
"""Left in each batch for what grows with the namespaces: guards, authors, messages, lists of namespaces."""
_CHANGE_OVERHEAD = 256
"""Field names, revisions and quotes that one change adds to its history record, rounded up."""


@dataclass(frozen=True, slots=True)
class Authorship:
    """Who writes, when and why."""

    change: str
    """Change id; see `store.history.change_id`."""
    author: str
    """Who, as the command knows it."""
    time: str
    """When: ISO 8601, UTC."""
    message: str = ""
    """Why."""


def transaction(
    change_set: ChangeSet, by: Authorship, *, prefix: str, stored_format: Entry | None
) -> Transaction:
    """All of the change set and its history records, guarded against whatever happened since it was read.

    Args:
        change_set: At least one effective change.
        by: Who, when, why, and the change id.
        prefix: The mesh's prefix.
        stored_format: The `format` key as read; None when it is absent, and then it is written too.

    Raises:
        InputError: It does not fit one request; the hint offers `--batches`.
    """
    values = tuple(_operation(change, prefix) for change in change_set.effective)
    records = tuple(
        Put(
            history_key(prefix, namespace, by.change),
            encode_record(_record(change_set, by, namespace)),
        )
        for namespace in change_set.namespaces
    )
    format_key = absolute_key(prefix, FORMAT_KEY)
    format_put = () if stored_format else (Put(format_key, FORMAT_VALUE),)
    format_guard = Guard(format_key, stored_format.mod_revision if stored_format else 0)
    whole = Transaction(
        (format_guard, *_guards(change_set, by, prefix)), (*format_put, *values, *records)
    )
    _check_size(whole)
    return whole


def batches(change_set: ChangeSet, *, bytes_max: int = REQUEST_BYTES_MAX) -> tuple[ChangeSet, ...]:
    """The change set in as few pieces as fit one request each, in an order that is safe to stop in.

    First what is written, destinations before the routes that name them; then what is deleted, the other way.
    """
    ordered = sorted(change_set.effective, key=_rank)
    pieces: list[list[Change]] = []
    room = namespaces_left = 0
    namespaces: set[str] = set()
    for change in ordered:
        cost = _cost(change)
        is_new = change.namespace not in namespaces
        full = cost > room or (is_new and namespaces_left == 0)
        if not pieces or full or len(pieces[-1]) >= OPERATIONS_MAX // 2:
            pieces.append([])
            room, namespaces, namespaces_left = (
                bytes_max - _BATCH_RESERVE_BYTES,
                set(),
                NAMESPACES_MAX,
            )
            is_new = True
        pieces[-1].append(change)
        room -= cost
        namespaces_left -= is_new
        namespaces.add(change.namespace)
    return tuple(ChangeSet(tuple(piece), change_set.read_revision) for piece in pieces)


def refreshed(change_set: ChangeSet, current: Mapping[str, Entry], *, revision: int) -> ChangeSet:
    """The same change set, as read again at a later revision.

    Raises:
        ConflictError: A key that it touches has changed meanwhile; both versions of each are shown.
    """
    conflicts = [
        _collision(change, current.get(change.key))
        for change in change_set.effective
        if _revision(change.before) != _revision(current.get(change.key))
    ]
    if conflicts:
        raise ConflictError(
            "someone else wrote first; nothing was written:\n" + "\n".join(conflicts),
            hint="Look at the newer version and repeat the change",
        )
    return replace(change_set, read_revision=revision)


def _record(change_set: ChangeSet, by: Authorship, namespace: str) -> HistoryRecord:
    return HistoryRecord(
        change=by.change,
        namespace=namespace,
        namespaces=change_set.namespaces,
        author=by.author,
        time=by.time,
        message=by.message,
        overwrote=change_set.overwrites(namespace),
    )


def _operation(change: Change, prefix: str) -> Put | Delete:
    key = absolute_key(prefix, change.key)
    return Delete(key) if change.after is None else Put(key, change.after)


def _guards(change_set: ChangeSet, by: Authorship, prefix: str) -> tuple[Guard | RangeGuard, ...]:
    """Guards for all touched keys and for the history of all touched namespaces."""
    effective, namespaces = change_set.effective, change_set.namespaces
    room = GUARDS_MAX - 1 - len(namespaces)
    if len(effective) <= room:
        return (
            *(Guard(history_key(prefix, namespace, by.change), 0) for namespace in namespaces),
            *(Guard(absolute_key(prefix, one.key), _revision(one.before)) for one in effective),
        )
    if len(namespaces) > room:
        raise InputError(
            f"the change set touches {len(namespaces)} namespaces, more than one transaction can guard",
            hint="Write it in several with --batches",
        )
    newest = change_set.read_revision
    guards: list[Guard | RangeGuard] = []
    spare = room - len(namespaces)
    for namespace in namespaces:
        history = history_key(prefix, namespace, by.change).rsplit("/", 1)[0]
        guards.append(RangeGuard(*key_range(history), newest))
        own = sorted(
            (one for one in effective if one.namespace == namespace), key=lambda one: one.key
        )
        share = 1 + spare * len(own) // len(effective)
        guards.extend(_range_guards(own, prefix, newest, share))
    return tuple(guards)


def _range_guards(
    own: Sequence[Change], prefix: str, newest: int, share: int
) -> Iterator[Guard | RangeGuard]:
    """At most `share` guards for the keys of one namespace, which are sorted."""
    width = -(-len(own) // share)
    for start in range(0, len(own), width):
        part = own[start : start + width]
        first, last = (absolute_key(prefix, change.key) for change in (part[0], part[-1]))
        if len(part) == 1:
            yield Guard(first, _revision(part[0].before))
        else:
            yield RangeGuard(first, f"{last}\0", newest)


def _check_size(whole: Transaction) -> None:
    size = whole.size_bytes()
    if size > REQUEST_BYTES_MAX:
        raise InputError(
            f"the change set has {size} bytes with its history; one transaction takes {REQUEST_BYTES_MAX}",
            hint="Write it in several with --batches: they become visible one after the other, destinations "
            "before the routes that name them",
        )
    if len(whole.operations) > OPERATIONS_MAX:
        raise InputError(
            f"the change set has {len(whole.operations)} operations; one transaction takes {OPERATIONS_MAX}",
            hint="Write it in several with --batches",
        )


def _rank(change: Change) -> tuple[bool, int, str]:
    place = _ORDER.index(change.ref.kind)
    is_deletion = change.action is Action.DELETED
    return is_deletion, -place if is_deletion else place, change.key


def _cost(change: Change) -> int:
    """Bytes that one change adds to a request, rounded up: an overwritten value may stand there in base64."""
    before = 4 * len(change.before.value) // 3 if change.before else 0
    return len(change.after or b"") + before + 4 * len(change.key) + _CHANGE_OVERHEAD


def _revision(entry: Entry | None) -> int:
    return entry.mod_revision if entry else 0


def _collision(change: Change, now: Entry | None) -> str:
    """Both versions of one key, in words."""
    was, is_now = _revision(change.before), _revision(now)
    yours = "  yours:  (deleted)" if change.after is None else f"  yours:  {_shown(change.after)}"
    stored = "  stored: (deleted)" if now is None else f"  stored: {_shown(now.value)}"
    read = f"read at revision {was}" if was else "absent when read"
    found = f"at revision {is_now} now" if is_now else "deleted now"
    return f"{change.ref}: {read}, {found}:\n{yours}\n{stored}"


def _shown(value: bytes) -> str:
    text = value.decode(errors="replace")
    return text if len(text) <= 2_000 else f"{text[:2_000]} ..."
