"""The synchronous etcd client: reads, pages, atomic writes, leases, status. Thread-safe; every call has a deadline.

Knows etcd's rules, not the mesh's: what is written is decided by `store.changes`, watches are `store.etcd.watch`.
Reads are linearizable, so a lagging member is never believed. Errors are those of `store.etcd.failures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from store.errors import MeshError, StoreUnavailable
from store.etcd.calls import Calls, Metadata
from store.etcd.failures import AnswerTooLarge, LeaseLost, RevisionCompacted
from store.etcd.nesting import nested_request
from store.etcd.paging import PageSize, prefix_range
from store.etcd.settings import EtcdSettings
from store.etcd.stubs import rpc
from store.etcd.versions import version_warning
from store.snapshot import Entry
from store.transactions import Committed, GuardFailed, Put, Transaction

__all__ = ["EtcdClient", "Found", "KeyListing", "Lease", "Listing", "MemberStatus"]

RELISTS_MAX = 3
"""How often a list is begun anew when its revision is compacted away while it is being read."""
KEYS_AT_ONCE = 128
"""Single keys read in one transaction: etcd's limit of operations."""


class Listing(NamedTuple):
    """Everything under a prefix at one revision."""

    entries: tuple[Entry, ...]
    """Sorted by key; keys are relative to the prefix."""
    revision: int
    """The revision that all pages were read at; a watch goes on from the next."""
    cluster_id: int
    """Which etcd it was."""


class KeyListing(NamedTuple):
    """The keys under a prefix at one revision, for comparing with what one has."""

    mod_revisions: dict[str, int]
    """Relative key -> mod_revision."""
    revision: int
    """The revision that all pages were read at."""
    cluster_id: int
    """Which etcd it was."""


class Found(NamedTuple):
    """Single keys at one revision; those that do not exist are left out."""

    entries: dict[str, Entry]
    """Absolute key -> entry."""
    revision: int
    """The revision that they were read at."""


KEYS_NAMED = 2
"""Keys of one call that a message names."""


class Lease(NamedTuple):
    """A lease as granted."""

    id: int
    """etcd's id of it."""
    ttl_s: float
    """Its life in seconds, as etcd set it (it may be longer than asked for)."""


class MemberStatus(NamedTuple):
    """What one member says of itself."""

    endpoint: str
    """Where it was asked."""
    version: str
    """Its version, for instance 3.5.33."""
    member_id: int
    """Its own id."""
    leader_id: int
    """The member that it takes for the leader; 0 when it has none."""
    revision: int
    """The revision that it has applied."""
    cluster_id: int
    """Its cluster."""
    db_size_bytes: int
    """Size of its database file."""
    errors: tuple[str, ...]
    """Alarms such as NOSPACE, in etcd's words."""


class EtcdClient:
    """A client for the members named by `settings`; connects when first asked. Use as a context manager, or close."""

    def __init__(self, settings: EtcdSettings, *, start_at: int = 0) -> None:
        self.settings = settings
        self._calls = Calls(settings, start_at=start_at)

    def __enter__(self) -> EtcdClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def endpoint(self) -> str:
        """The member that the next call goes to first."""
        return self._calls.endpoint

    def move_on(self) -> None:
        """Begin with the next member from now on."""
        self._calls.move_on()

    def metadata(self, *, renew: bool = False) -> Metadata:
        """Metadata that a stream of one's own must send (the token); `renew` when the last was refused."""
        return self._calls.metadata(renew=renew)

    def close(self) -> None:
        """Closes the connections."""
        self._calls.close()

    def get(self, key: str, revision: int = 0, *, timeout_s: float | None = None) -> Entry | None:
        """One key as it is now, or was at `revision`; None when it did not exist.

        Raises:
            RevisionCompacted: That revision is no longer kept.
        """
        request = rpc.RangeRequest(key=_bytes(key), revision=revision)
        answer = self._calls.read("KV/Range", request, doing=f"get {key}", timeout_s=timeout_s)
        return _entry(answer.kvs[0], key) if answer.kvs else None

    def read_at(self, key: str, revision: int) -> tuple[Entry | None, int, int]:
        """One key as it was at `revision`, with the store's revision now and its cluster id.

        Raises:
            RevisionCompacted: That revision is no longer kept.
            RevisionUnknown: The store has not come to it.
        """
        request = rpc.RangeRequest(key=_bytes(key), revision=revision)
        answer = self._calls.read("KV/Range", request, doing=f"get {key} at {revision}")
        entry = _entry(answer.kvs[0], key) if answer.kvs else None
        return entry, int(answer.header.revision), int(answer.header.cluster_id)

    def get_many(self, keys: Iterable[str], *, timeout_s: float | None = None) -> Found:
        """Single keys, all at one revision."""
        wanted = list(dict.fromkeys(keys))
        entries: dict[str, Entry] = {}
        revision = start = 0
        at_once = KEYS_AT_ONCE
        while start < len(wanted) or not revision:
            part = wanted[start : start + at_once]
            request = rpc.TxnRequest(success=[_read_one(key, revision) for key in part])
            try:
                answer = self._calls.read(
                    "KV/Txn", request, doing=f"get {_named(wanted)}", timeout_s=timeout_s
                )
            except AnswerTooLarge:
                if at_once == 1:
                    raise
                at_once = max(1, at_once // 8)
                continue
            revision = revision or int(answer.header.revision)
            start += at_once
            for key, response in zip(part, answer.responses, strict=True):
                for kv in response.response_range.kvs:
                    entries[key] = _entry(kv, key)
        return Found(entries, revision)

    def list_prefix(
        self, prefix: str, *, page: int | None = None, timeout_s: float | None = None
    ) -> Listing:
        """Everything under `prefix` + "/", in pages that are all read at the first page's revision.

        Args:
            prefix: Without a closing slash; `/a/b` never takes `/a/bc` in.
            page: Entries of the first page, for tests; pages then adapt to about 2 MiB each.
            timeout_s: Deadline of each page.
        """
        for left in reversed(range(RELISTS_MAX)):
            try:
                pages = list(self._pages(prefix, page, keys_only=False, timeout_s=timeout_s))
            except RevisionCompacted:
                if not left:
                    raise
                continue
            entries = tuple(
                _entry(kv, kv.key.decode("utf-8", "surrogateescape")[len(prefix) + 1 :])
                for one in pages
                for kv in one.kvs
            )
            return Listing(entries, pages[0].revision, pages[0].cluster_id)
        raise AssertionError("unreachable: the last round returns or raises")

    def keys_only(self, prefix: str, *, timeout_s: float | None = None) -> KeyListing:
        """Keys and their revisions under `prefix` + "/", without the values."""
        pages = list(self._pages(prefix, None, keys_only=True, timeout_s=timeout_s))
        return KeyListing(
            {
                kv.key.decode("utf-8", "surrogateescape")[len(prefix) + 1 :]: int(kv.mod_revision)
                for one in pages
                for kv in one.kvs
            },
            pages[0].revision,
            pages[0].cluster_id,
        )

    def commit(self, transaction: Transaction, *, timeout_s: float | None = None) -> Committed:
        """Writes all of it at one revision, or nothing.

        Raises:
            GuardFailed: Something guarded has changed; nothing was written.
            OutcomeUnknown: It was sent and the answer was lost; read back, never repeat.
            InputError: It is larger than etcd takes.
        """
        keys = _named([operation.key for operation in transaction.operations])
        answer = self._calls.write(
            "KV/Txn", nested_request(transaction), doing=f"write {keys}", timeout_s=timeout_s
        )
        if not answer.succeeded:
            raise GuardFailed(transaction.guards)
        return Committed(int(answer.header.revision), int(answer.header.cluster_id))

    def put(self, key: str, value: bytes, *, lease: int = 0, timeout_s: float | None = None) -> int:
        """Writes one key whatever it was, for keys that have one writer (a host's own); returns the revision."""
        change = Transaction((), (Put(key, value, lease),))
        return self.commit(change, timeout_s=timeout_s).revision

    def lease_grant(self, ttl_s: float, *, timeout_s: float | None = None) -> Lease:
        """A new lease of at least `ttl_s` seconds (whole seconds, etcd's own minimum applies)."""
        request = rpc.LeaseGrantRequest(TTL=max(1, round(ttl_s)))
        answer = self._calls.write(
            "Lease/LeaseGrant", request, doing="grant a lease", timeout_s=timeout_s
        )
        return Lease(int(answer.ID), float(answer.TTL))

    def lease_keepalive(self, lease: int, *, timeout_s: float | None = None) -> float:
        """Renews a lease once and returns its life in seconds; call at a third of it.

        Raises:
            LeaseLost: It has run out or was revoked (etcd answers with a TTL of 0 and no error).
        """
        answer = self._calls.stream_once(
            "Lease/LeaseKeepAlive",
            rpc.LeaseKeepAliveRequest(ID=lease),
            doing=f"keep lease {lease:x}",
            timeout_s=timeout_s,
        )
        if answer.TTL <= 0:
            raise LeaseLost(
                f"etcd {self.endpoint}: lease {lease:x} has run out or was revoked",
                hint="Grant a new one and write its keys again",
            )
        return float(answer.TTL)

    def lease_revoke(self, lease: int, *, timeout_s: float | None = None) -> None:
        """Ends a lease and deletes its keys; a lease that is gone already is no error."""
        try:
            self._calls.write(
                "Lease/LeaseRevoke",
                rpc.LeaseRevokeRequest(ID=lease),
                doing=f"revoke lease {lease:x}",
                timeout_s=timeout_s,
            )
        except LeaseLost:
            return

    def status(self, *, timeout_s: float | None = None) -> tuple[MemberStatus | MeshError, ...]:
        """What each member says of itself, or why it could not be asked, in the order of the endpoints."""
        answers = self._calls.each_member(
            "Maintenance/Status", rpc.StatusRequest(), doing="ask for status", timeout_s=timeout_s
        )
        return tuple(
            answer if isinstance(answer, MeshError) else _status(url, answer)
            for url, answer in answers.items()
        )

    def version_warnings(self, *, timeout_s: float | None = None) -> tuple[str, ...]:
        """A sentence for each member that answers and is below the production floor."""
        warnings = (
            version_warning(member.endpoint, member.version)
            for member in self.status(timeout_s=timeout_s)
            if isinstance(member, MemberStatus)
        )
        return tuple(warning for warning in warnings if warning)

    def _pages(
        self, prefix: str, first: int | None, *, keys_only: bool, timeout_s: float | None
    ) -> Iterator[_Page]:
        """The pages of a list, all at the revision of the first, and of one cluster."""
        start, end = prefix_range(prefix)
        size = PageSize(first) if first else PageSize()
        revision = cluster_id = 0
        while True:
            request = rpc.RangeRequest(
                key=start, range_end=end, limit=size.limit, revision=revision, keys_only=keys_only
            )
            try:
                answer = self._calls.read(
                    "KV/Range", request, doing=f"list {prefix}/", timeout_s=timeout_s
                )
            except AnswerTooLarge:
                if not size.shrink():
                    raise
                continue
            header = answer.header
            if cluster_id and header.cluster_id != cluster_id:
                raise _two_clusters(self.endpoint, header.cluster_id, cluster_id)
            revision, cluster_id = revision or int(header.revision), int(header.cluster_id)
            yield _Page(answer.kvs, revision, cluster_id)
            if not answer.more:
                return
            size.learn(len(answer.kvs), answer.ByteSize())
            start = answer.kvs[-1].key + b"\0"


class _Page(NamedTuple):
    """One answer to a Range."""

    kvs: Any
    revision: int
    cluster_id: int


def _two_clusters(endpoint: str, found: int, expected: int) -> StoreUnavailable:
    return StoreUnavailable(
        f"etcd {endpoint}: its cluster id is {found:x}, another member's {expected:x}: the endpoints belong "
        "to different clusters",
        hint="Name endpoints of one cluster",
    )


def _named(keys: Sequence[str]) -> str:
    """Keys in a message: the first few, and how many more there are."""
    shown = ", ".join(keys[:KEYS_NAMED])
    more = len(keys) - KEYS_NAMED
    return f"{shown} and {more} more" if more > 0 else shown or "no key"


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _read_one(key: str, revision: int) -> Any:
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=_bytes(key), revision=revision))


def _entry(kv: Any, key: str) -> Entry:
    return Entry(
        key,
        bytes(kv.value),
        int(kv.create_revision),
        int(kv.mod_revision),
        int(kv.version),
        int(kv.lease),
    )


def _status(url: str, answer: Any) -> MemberStatus:
    return MemberStatus(
        endpoint=url,
        version=str(answer.version),
        member_id=int(answer.header.member_id),
        leader_id=int(answer.leader),
        revision=int(answer.header.revision),
        cluster_id=int(answer.header.cluster_id),
        db_size_bytes=int(answer.dbSize),
        errors=tuple(str(text) for text in answer.errors),
    )
