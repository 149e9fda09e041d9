"""Reading and forgetting history in etcd: lists, one change, one key's earlier values, and retention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from store.errors import InputError, NotFoundError
from store.etcd.client import EtcdClient
from store.history import HistoryRecord, decode_record, expired
from store.keys import history_key, history_prefix
from store.snapshot import Entry
from store.transactions import Delete, Transaction

__all__ = ["HistoryList", "forget_expired", "list_history", "read_change", "recall"]

RECORDS_AT_ONCE = 8
"""Records read together: each may be as large as a request, 1.4 MiB, so few."""


@dataclass(frozen=True, slots=True)
class HistoryList:
    """Records of history, newest first."""

    records: tuple[HistoryRecord, ...]
    """One for each change set and namespace."""
    unreadable: tuple[str, ...] = ()
    """Why others could not be read."""


def list_history(
    client: EtcdClient, *, namespace: str | None = None, limit: int = 20
) -> HistoryList:
    """The newest records: of one namespace (empty: the MeshConfig's), or of all of them (None)."""
    found: list[HistoryRecord] = []
    unreadable: list[str] = []
    for record in _newest_first(client, _places(client, namespace)):
        if isinstance(record, str):
            unreadable.append(record)
        elif not record.is_fence:
            found.append(record)
        if len(found) >= limit:
            break
    return HistoryList(tuple(found), tuple(unreadable))


def read_change(
    client: EtcdClient, change: str, *, namespace: str | None = None
) -> tuple[HistoryRecord, ...]:
    """The records of one change, one for each namespace that it touched.

    Args:
        client: A client.
        change: The change id.
        namespace: One that it touched, for who may read only that; None looks everywhere.

    Raises:
        NotFoundError: There is no such change.
        InputError: A record of it cannot be read.
    """
    prefix = client.settings.prefix
    places = [(other, name) for other, name in _places(client, namespace) if name == change]
    if not places:
        raise NotFoundError(
            f'there is no change "{change}" in history',
            hint="`meshd history` lists those that are kept",
        )
    keys = [history_key(prefix, other, name) for other, name in places]
    entries = client.get_many(keys).entries
    records = [
        decode_record(other, name, entries[key])
        for key, (other, name) in zip(keys, places, strict=True)
        if key in entries
    ]
    missing = sorted(set(records[0].namespaces) - {record.namespace for record in records})
    if missing and namespace is not None:
        extra = [history_key(prefix, other, change) for other in missing]
        found = client.get_many(extra).entries
        records += [
            decode_record(other, change, found[key])
            for key, other in zip(extra, missing, strict=True)
            if key in found
        ]
    return tuple(record for record in records if not record.is_fence)


def recall(client: EtcdClient, key: str, namespace: str, revision: int) -> Entry | None:
    """The newest value of a relative key that a change set overwrote and that was no newer than `revision`."""
    best: Entry | None = None
    for record in _newest_first(client, _places(client, namespace)):
        if isinstance(record, str):
            continue
        for one in record.overwrote:
            before = one.before
            if one.key == key and before is not None and before.mod_revision <= revision:
                best = before if best is None or before.mod_revision > best.mod_revision else best
        if best is not None:
            break
    return best


def forget_expired(
    client: EtcdClient, namespace: str, *, age_s_max: float, kept_max: int
) -> tuple[str, ...]:
    """Deletes the records of one namespace that are too old or too many; returns their ids. May be repeated."""
    oldest = datetime.now(UTC) - timedelta(seconds=age_s_max)
    changes = [change for _, change in _places(client, namespace)]
    gone = expired(changes, oldest_kept=oldest.strftime("%Y%m%dT%H%M%S"), kept_max=kept_max)
    if gone:
        prefix = client.settings.prefix
        deletions = tuple(Delete(history_key(prefix, namespace, change)) for change in gone)
        client.commit(Transaction((), deletions))
    return gone


def _places(client: EtcdClient, namespace: str | None) -> list[tuple[str, str]]:
    """(namespace, change id) of all records, newest first; keys that are none are passed over."""
    prefix = client.settings.prefix
    start = history_prefix(prefix)
    if namespace is not None:
        start = history_key(prefix, namespace, "any").rsplit("/", 1)[0]
    keys = [f"{start}/{key}" for key in client.keys_only(start).mod_revisions]
    places = [place for key in keys if (place := _place(prefix, key)) is not None]
    return sorted(places, key=lambda place: place[1], reverse=True)


def _place(prefix: str, key: str) -> tuple[str, str] | None:
    """(namespace, change id) of the whole key of a record; None for a key that is none."""
    folder, _, change = key.removeprefix(f"{history_prefix(prefix)}/").partition("/")
    for namespace in ("", folder):
        try:
            if history_key(prefix, namespace, change) == key:
                return namespace, change
        except InputError:
            continue
    return None


def _newest_first(
    client: EtcdClient, places: list[tuple[str, str]]
) -> Iterator[HistoryRecord | str]:
    """The records at `places`, or why one cannot be read; read a few at a time as they are asked for."""
    for start in range(0, len(places), RECORDS_AT_ONCE):
        part = places[start : start + RECORDS_AT_ONCE]
        keys = [history_key(client.settings.prefix, *place) for place in part]
        entries = client.get_many(keys).entries
        for key, (namespace, change) in zip(keys, part, strict=True):
            if key not in entries:
                continue
            try:
                yield decode_record(namespace, change, entries[key])
            except InputError as error:
                yield str(error)
