"""Publishing change sets: read what is there, write once, and find out what happened when the answer was lost.

A write whose answer is lost is neither repeated nor given up: its history record tells. When the record is absent
the write may still be on its way, so a fence takes the record's key first; the write is guarded on that key and
then can never happen. Either way the outcome is certain (failure mode: Jepsen's jetcd 0.8.2, a client that
repeated such writes and lost updates).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from store.catalog.formats import FormatUnreadable, refusal_of_format
from store.changes import ChangeSet
from store.commits import Authorship, batches, refreshed, transaction
from store.errors import StoreUnavailable
from store.etcd.client import EtcdClient
from store.etcd.failures import OutcomeUnknown, StoreDenied, StoreTooNew
from store.history import change_id, decode_record, fence_value
from store.keys import FORMAT_KEY, absolute_key, history_key, relative_key
from store.snapshot import Entry
from store.transactions import Guard, GuardFailed, Put, Transaction

__all__ = ["Current", "Published", "authorship", "publish", "publish_in_batches", "read_current"]

ATTEMPTS_MAX = 8
"""How often a write is tried whose guards failed only because neighbours were written."""
RESOLVE_S = 15.0
"""How long to wait for etcd to come back and tell what became of a write: a restart and an election."""
MESSAGE_MAX = 1_000
"""Characters of the message that history keeps: every namespace of a change has its own copy."""
RESOLVE_PAUSE_S = 0.2
"""Pause between two such questions."""


@dataclass(frozen=True, slots=True)
class Current:
    """What is stored now under the keys that a change is about."""

    entries: dict[str, Entry]
    """Relative key -> entry; absent keys are left out."""
    revision: int
    """The revision at which all of them were read."""


@dataclass(frozen=True, slots=True)
class Published:
    """A change set that is in the store."""

    change: str
    """Its id, for `meshd history` and `meshd rollback`."""
    revision: int
    """The revision at which all of it is visible; the latest, when there was nothing to write."""
    change_set: ChangeSet
    """What was done."""
    is_read_back: bool = False
    """Whether the answer was lost and the outcome was found out afterwards."""
    cluster_id: int = 0
    """The etcd that `revision` is of; 0 where nothing was written, or the answer was lost."""


def authorship(author: str, message: str = "") -> Authorship:
    """Who and why, with a new change id and the time of now."""
    now = datetime.now(UTC)
    stamp = now.strftime("%Y%m%dT%H%M%S.%fZ")
    return Authorship(
        change=change_id(stamp, secrets.token_hex(3)),
        author=author,
        time=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        message=message[:MESSAGE_MAX],
    )


def read_current(client: EtcdClient, keys: Iterable[str]) -> Current:
    """What is stored now under the relative `keys`, at one revision.

    Raises:
        StoreTooNew: What is stored is for readers newer than this program.
    """
    return _read(client, keys)[0]


def publish(client: EtcdClient, change_set: ChangeSet, by: Authorship) -> Published:
    """Writes the change set in one transaction.

    Raises:
        ConflictError: Someone else wrote first to a key of it; nothing was written.
        InputError: It does not fit one transaction.
        StoreUnavailable: Nothing was written, for certain.
        OutcomeUnknown: etcd stayed away for so long that nobody knows; the hint says how to find out.
    """
    if not change_set.effective:
        return Published("", change_set.read_revision, change_set)
    prefix = client.settings.prefix
    keys = [change.key for change in change_set.effective]
    format_key = absolute_key(prefix, FORMAT_KEY)
    stored_format = client.get(format_key)
    _check_format(stored_format, client.endpoint)
    for left in reversed(range(ATTEMPTS_MAX)):
        request = transaction(change_set, by, prefix=prefix, stored_format=stored_format)
        try:
            done = client.commit(request)
            return Published(by.change, done.revision, change_set, cluster_id=done.cluster_id)
        except GuardFailed:
            current, stored_format = _read(client, keys)
            change_set = refreshed(change_set, current.entries, revision=current.revision)
            if not left:
                raise
        except OutcomeUnknown as lost:
            return _resolve(client, change_set, by, lost)
        except StoreDenied as denied:
            raise _explained(denied, stored_format) from denied
    raise AssertionError("unreachable: the last round returns or raises")


def publish_in_batches(
    client: EtcdClient, change_set: ChangeSet, by: Authorship
) -> Iterator[Published]:
    """Writes the change set in as many transactions as it needs, destinations first; yields each as it is done.

    What was written before a failure stays, each batch a change of its own in history.
    """
    pieces = batches(change_set)
    for number, piece in enumerate(pieces, 1):
        if number > 1:
            current = read_current(client, [change.key for change in piece.changes])
            piece = refreshed(piece, current.entries, revision=current.revision)
        named = by if len(pieces) == 1 else replace(by, change=f"{by.change}.{number:03}")
        yield publish(client, piece, named)


def _read(client: EtcdClient, keys: Iterable[str]) -> tuple[Current, Entry | None]:
    """The keys and the `format` key, all at one revision."""
    prefix = client.settings.prefix
    found = client.get_many(absolute_key(prefix, key) for key in (*keys, FORMAT_KEY))
    entries = {
        relative: replace(entry, key=relative)
        for key, entry in found.entries.items()
        if (relative := relative_key(prefix, key)) is not None
    }
    stored_format = entries.pop(FORMAT_KEY, None)
    _check_format(stored_format, client.endpoint)
    return Current(entries, found.revision), stored_format


def _check_format(stored: Entry | None, endpoint: str) -> None:
    if stored is None:
        return
    where = f"etcd {endpoint}: the key {stored.key}"
    try:
        refusal = refusal_of_format(stored.value)
    except FormatUnreadable as error:
        raise StoreTooNew(f"{where}: {error}", hint="Put it right with etcdctl") from error
    if refusal:
        raise StoreTooNew(f"{where}: {refusal}", hint="Use a newer meshd; nothing was written")


def _resolve(
    client: EtcdClient, change_set: ChangeSet, by: Authorship, lost: OutcomeUnknown
) -> Published:
    """Finds out whether a write whose answer was lost happened, and makes sure that it does not happen later."""
    end = time.monotonic() + RESOLVE_S
    while True:
        try:
            written_at = _settle(client, change_set.namespaces[0], by)
            break
        except StoreUnavailable as still:
            if time.monotonic() > end:
                raise OutcomeUnknown(
                    f"{lost.message}; etcd did not come back within {RESOLVE_S:g} s to tell",
                    hint=f"`meshd history` shows {by.change} if it was written",
                ) from still
            time.sleep(RESOLVE_PAUSE_S)
    if written_at is None:
        raise StoreUnavailable(
            f"{lost.message}; read back: nothing was written", hint="Try again: it is safe now"
        ) from lost
    return Published(by.change, written_at, change_set, is_read_back=True)


def _settle(client: EtcdClient, namespace: str, by: Authorship) -> int | None:
    """The revision at which the change set was written, None when it was not; then it never will be.

    May be repeated: a fence that is there already is recognized.
    """
    key = history_key(client.settings.prefix, namespace, by.change)
    fence = Transaction((Guard(key, 0),), (Put(key, fence_value(by.change, by.time)),))
    try:
        client.commit(fence)
    except GuardFailed:
        record = client.get(key)
        if record is not None and not decode_record(namespace, by.change, record).is_fence:
            return record.create_revision
    return None


def _explained(denied: StoreDenied, stored_format: Entry | None) -> StoreDenied:
    if stored_format is not None:
        return denied
    return StoreDenied(
        f"{denied.message}; the store is new, and its first write also sets the key {FORMAT_KEY}",
        hint="Let an administrator write first (deploy/etcd/roles.sh does)",
    )
