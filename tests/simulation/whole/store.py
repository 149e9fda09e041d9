"""A model of etcd: one line of revisions, watches in order, compaction, leases that end, restores, outages.

What it holds at each revision is kept for the checkers (`Etcd.held`), also of what was lost by a restore.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from store.mirror import events as on
from store.snapshot import Entry, Epoch, Snapshot
from tests.simulation.world import World as Clock

__all__ = ["Change", "Etcd", "Lease", "Link", "StoreSite"]

T = TypeVar("T")
Change = Entry | on.Deleted
WAY_S = (0.0003, 0.003)
"""One way between a host and etcd."""
REFUSED_S = 0.01
"""Until a call to an etcd that nobody serves fails."""
CALL_S = 3.0
"""Until a call that nobody answers is given up."""
KEPT = 3_000
"""Revisions that a run may have; more are a fault of the simulation."""


@dataclass
class Lease:
    """One lease."""

    ttl_s: float
    ends_s: float


@dataclass
class Etcd:
    """One life of a store."""

    cluster_id: int
    snapshots: list[Snapshot]
    """By revision."""
    changes: list[tuple[Change, ...]]
    """By revision."""
    compacted: int = 0
    leases: dict[int, Lease] = field(default_factory=dict)
    leases_ever: int = 0

    @classmethod
    def new(cls, cluster_id: int) -> Etcd:
        """An empty one, at revision 1."""
        empty = Snapshot.of(Epoch(1, cluster_id), 1, [])
        return cls(cluster_id, [empty, empty], [(), ()])

    @property
    def revision(self) -> int:
        """The newest."""
        return len(self.snapshots) - 1

    @property
    def newest(self) -> Snapshot:
        """What it holds."""
        return self.snapshots[-1]

    def commit(self, writes: Mapping[str, bytes | None], lease: int = 0) -> int:
        """One transaction: values to put, None to delete; its revision."""
        revision, before = self.revision + 1, self.newest
        rows: list[Entry] = []
        gone: list[on.Deleted] = []
        for key, value in writes.items():
            old = before.get(key)
            if value is not None:
                created, version = (old.create_revision, old.version) if old else (revision, 0)
                rows.append(Entry(key, value, created, revision, version + 1, lease))
            elif old is not None:
                gone.append(on.Deleted(key, revision))
        if not rows and not gone:
            return self.revision
        assert revision < KEPT, "a run has some hundred revisions"
        self.snapshots.append(before.apply(rows, [one.key for one in gone], revision))
        self.changes.append((*rows, *gone))
        return revision

    def end_leases(self, ended: Iterable[int]) -> None:
        """Leases run out; each takes its keys with it at a revision of its own."""
        for lease in ended:
            del self.leases[lease]
            keys = [entry.key for entry in self.newest.entries() if entry.lease == lease]
            self.commit(dict.fromkeys(keys))

    def restored(self, revision: int, cluster_id: int, now_s: float) -> Etcd:
        """Another store, made of this one's backup at a revision; its leases begin anew."""
        epoch = Epoch(1, cluster_id)
        kept = [
            Snapshot.of(epoch, at, self.snapshots[at].entries())
            for at in range(max(1, revision - 1), revision + 1)
        ]
        rows = [kept[0]] * (revision + 1 - len(kept)) + kept
        leases = {k: replace(v, ends_s=now_s + v.ttl_s) for k, v in self.leases.items()}
        other = Etcd(cluster_id, rows, self.changes[: revision + 1])
        other.compacted, other.leases, other.leases_ever = revision, leases, self.leases_ever
        return other


class StoreSite:
    """Where the store is: which life of it answers, whether it does, and who reaches it."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock = clock
        self.rng = random.Random(seed)
        self.etcd = Etcd.new(0xC1)
        self.is_up = True
        self.cut: set[str] = set()
        """Hosts that do not reach it."""
        self.links: list[Link] = []
        self.held: dict[tuple[int, int], set[str]] = {}
        """What any life of it held: (cluster, revision) to hashes of content."""
        self._noted: tuple[Etcd, int] = (self.etcd, 0)
        self.note()

    def reaches(self, name: str) -> bool:
        """Whether a host's calls are answered."""
        return self.is_up and name not in self.cut

    def note(self) -> None:
        """There may be newer revisions: remember them, and let watches tell them."""
        etcd, first = self._noted
        if etcd is not self.etcd:
            etcd, first = self.etcd, self.etcd.compacted - 1
        for revision in range(first + 1, etcd.revision + 1):
            told = self.held.setdefault((etcd.cluster_id, revision), set())
            told.add(etcd.snapshots[revision].hash)
        self._noted = (etcd, etcd.revision)
        for link in self.links:
            link.poke()

    def commit(self, writes: Mapping[str, bytes | None], lease: int = 0) -> int:
        """One transaction."""
        revision = self.etcd.commit(writes, lease)
        self.note()
        return revision

    def tick(self) -> None:
        """Let leases end that are over; time does not count while nobody leads."""
        now_s = self.clock.now_s
        leases = self.etcd.leases
        over = [k for k, lease in leases.items() if lease.ends_s <= now_s]
        if self.is_up and over:
            self.etcd.end_leases(over)
            self.note()

    def go_down(self) -> None:
        """All members end."""
        self.is_up = False
        for link in self.links:
            link.broken()

    def come_up(self) -> None:
        """They are back: a new leader gives each lease its whole life again."""
        self.is_up = True
        for lease in self.etcd.leases.values():
            lease.ends_s = self.clock.now_s + lease.ttl_s

    def restore(self, revision: int, cluster_id: int) -> None:
        """Another life begins, from a backup."""
        self.go_down()
        self.etcd = self.etcd.restored(revision, cluster_id, self.clock.now_s)
        self.note()
        self.come_up()

    def compact(self) -> None:
        """Forget all history."""
        self.etcd.compacted = self.etcd.revision


@dataclass
class _Stream:
    number: int
    next: int
    etcd: Etcd
    created: bool = False
    is_told: bool = False
    """Whether a response is on its way."""
    is_asked: bool = False
    arrives_s: float = 0.0


class Link:
    """One process's connection: carries out the effects of its Mirror, and its calls."""

    def __init__(self, site: StoreSite, name: str, tell: Callable[[on.Event], None]) -> None:
        self.site, self.name, self._tell = site, name, tell
        self._stream: _Stream | None = None
        self.is_open = True
        site.links.append(self)

    def close(self) -> None:
        """The process ends."""
        self.is_open = False
        self.site.links.remove(self)

    def do(self, effect: on.Effect) -> None:
        """Carry out what a Mirror asks for; publishing and reports are not for us."""
        match effect:
            case on.List() | on.ListKeysOnly() | on.ReadKey():
                failed = on.Failure(on.FailureKind.UNAVAILABLE, "nobody answers")
                self.call(
                    partial(_read, effect),
                    lambda event: self._tell(event or on.ReadFailed(effect.request, failed)),
                )
            case on.OpenWatch(stream, start_revision):
                self._open(stream, start_revision)
            case on.CloseWatch():
                self._stream = None
            case on.RequestProgress():
                if self._stream is not None:
                    self._stream.is_asked = True
                    self.poke()
            case _:
                pass

    def call(self, serve: Callable[[Etcd], T], done: Callable[[T | None], None]) -> None:
        """Have the store do something; None: no answer, which does not say that it was not done."""
        clock = self.site.clock
        began_s = clock.now_s

        def fail() -> None:
            wait_s = REFUSED_S if not self.site.is_up else CALL_S
            clock.at(max(clock.now_s, began_s + wait_s), lambda: self._if_open(done, None))

        def arrive() -> None:
            if not self.site.reaches(self.name):
                fail()
                return
            result = serve(self.site.etcd)
            self.site.note()
            clock.at(clock.now_s + self._way_s(), lambda: back(result))

        def back(result: T) -> None:
            if self.site.reaches(self.name):
                self._if_open(done, result)
            else:
                fail()

        clock.at(clock.now_s + self._way_s(), arrive)

    def broken(self) -> None:
        """The connection is reset."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._break(stream.number)

    def poke(self) -> None:
        """There may be something to tell on the stream."""
        stream, clock = self._stream, self.site.clock
        if stream is None or stream.is_told or not stream.created:
            return
        if stream.next > stream.etcd.revision and not stream.is_asked:
            return
        stream.is_told = True
        clock.at(clock.now_s + self._way_s(), lambda: self._deliver(stream))

    def _open(self, number: int, start_revision: int) -> None:
        clock, site = self.site.clock, self.site
        stream = self._stream = _Stream(number, start_revision, site.etcd)

        def arrive() -> None:
            if self._stream is not stream:
                return
            if not site.is_up:
                self.broken()
                return
            if not site.reaches(self.name):
                return  # silence; the Mirror's patience ends it
            stream.etcd, stream.created = site.etcd, True
            if self._is_compacted(stream):
                self._say(stream, created=True)
            else:
                self._tell(self._answer(stream, (), created=True))
                self.poke()

        clock.at(clock.now_s + 2 * self._way_s(), arrive)

    def _deliver(self, stream: _Stream) -> None:
        stream.is_told = False
        if self._stream is not stream or not self.is_open:
            return
        if not self.site.reaches(self.name):
            # A black hole: TCP sends again when the way is free.
            stream.is_told = True
            clock = self.site.clock
            clock.at(clock.now_s + 0.2, lambda: self._deliver(stream))
            return
        if stream.etcd is not self.site.etcd:
            self.broken()
        elif self._is_compacted(stream):
            self._say(stream)
        else:
            etcd = stream.etcd
            rows = [change for row in etcd.changes[stream.next :] for change in row]
            stream.next, stream.is_asked = max(stream.next, etcd.revision + 1), False
            self._tell(self._answer(stream, rows))

    def _is_compacted(self, stream: _Stream) -> bool:
        return stream.next <= stream.etcd.compacted

    def _say(self, stream: _Stream, *, created: bool = False) -> None:
        self._stream = None
        compacted = stream.etcd.compacted + 1
        self._tell(
            on.WatchAnswered(
                stream.number,
                stream.etcd.revision,
                stream.etcd.cluster_id,
                created=created,
                canceled=True,
                compact_revision=compacted,
            )
        )

    def _answer(
        self, stream: _Stream, rows: Iterable[Change], *, created: bool = False
    ) -> on.WatchAnswered:
        etcd = stream.etcd
        return on.WatchAnswered(
            stream.number, etcd.revision, etcd.cluster_id, created=created, changes=tuple(rows)
        )

    def _break(self, number: int) -> None:
        clock = self.site.clock
        failure = on.Failure(on.FailureKind.UNAVAILABLE, "the connection was reset")
        clock.at(
            clock.now_s + self._way_s(),
            lambda: self._if_open(self._tell, on.WatchBroken(number, failure)),
        )

    def _if_open(self, tell: Callable[[T], None], told: T) -> None:
        if self.is_open:
            tell(told)

    def _way_s(self) -> float:
        return self.site.rng.uniform(*WAY_S)


def _read(asked: on.List | on.ListKeysOnly | on.ReadKey, etcd: Etcd) -> on.Event:
    where = (etcd.revision, etcd.cluster_id)
    if isinstance(asked, on.List):
        return on.Listed(asked.request, tuple(etcd.newest.entries()), *where)
    if isinstance(asked, on.ListKeysOnly):
        revisions = {entry.key: entry.mod_revision for entry in etcd.newest.entries()}
        return on.KeysListed(asked.request, revisions, *where)
    if asked.revision > etcd.revision:
        return on.ReadFailed(
            asked.request, on.Failure(on.FailureKind.OTHER, "required revision is a future one")
        )
    if asked.revision < etcd.compacted:
        return on.ReadFailed(asked.request, on.Failure(on.FailureKind.COMPACTED, "compacted"))
    return on.KeyRead(asked.request, etcd.snapshots[asked.revision].get(asked.key), *where)
