"""A store with history, and a bad line to it, for driving Mirrors without etcd.

`FakeStore` keeps every revision, can be compacted, wiped and restored. `FakeLink` carries out a Mirror's effects
against it, one step at a time, so that a test decides what is delivered, doubled, cut or delayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from store.mirror import Mirror
from store.mirror import events as on
from store.snapshot import Entry, Snapshot

__all__ = ["FakeLink", "FakeStore"]

Writes = dict[str, bytes | None]
Change = Entry | on.Deleted


class FakeStore:
    """Every revision since 1, each with its changes and the state after it."""

    def __init__(self, cluster_id: int = 0xC1) -> None:
        self.cluster_id = cluster_id
        self.changes: list[tuple[Change, ...]] = [(), ()]
        self.states: list[dict[str, Entry]] = [{}, {}]
        self.compacted = 0

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    @property
    def state(self) -> dict[str, Entry]:
        return self.states[-1]

    def write(self, writes: Writes) -> None:
        """One transaction: values to put, None to delete."""
        revision, state = self.revision + 1, dict(self.state)
        changes: list[Change] = []
        for key, value in writes.items():
            before = state.get(key)
            if value is None:
                if before is not None:
                    del state[key]
                    changes.append(on.Deleted(key, revision))
            else:
                created = before.create_revision if before is not None else revision
                version = before.version + 1 if before is not None else 1
                state[key] = Entry(key, value, created, revision, version)
                changes.append(state[key])
        if changes:
            self.changes.append(tuple(changes))
            self.states.append(state)

    def compact(self, revision: int) -> None:
        """Forget the events up to `revision`, as far as they are there."""
        self.compacted = max(self.compacted, min(revision, self.revision))

    def restored(self, revision: int, cluster_id: int) -> FakeStore:
        """The store that a backup of `revision` gives."""
        other = FakeStore(cluster_id)
        other.changes = self.changes[: revision + 1]
        other.states = self.states[: revision + 1]
        return other


class FakeLink:
    """Carries one Mirror's effects out against a FakeStore."""

    def __init__(self, mirror: Mirror, store: FakeStore) -> None:
        self.mirror = mirror
        self.store = store
        self.now = 0.0
        self.published: list[Snapshot] = []
        self.reports: list[on.Report] = []
        self.reads: list[on.List | on.ListKeysOnly | on.ReadKey] = []
        self.stream: int | None = None
        self.created = False
        self.next = 0
        self.asked = False
        self.checks: list[Callable[[Snapshot], None]] = []

    def start(self) -> None:
        self.feed(on.Started())

    def feed(self, event: on.Event) -> None:
        """Hand an event over and take the effects in."""
        for effect in self.mirror.handle(event, self.now):
            match effect:
                case on.List() | on.ListKeysOnly() | on.ReadKey():
                    self.reads = [effect]
                case on.OpenWatch():
                    assert self.stream is None, "a second stream was opened beside the first"
                    self.stream, self.next = effect.stream, effect.start_revision
                    self.created = self.asked = False
                case on.CloseWatch():
                    assert effect.stream == self.stream
                    self.stream = None
                case on.RequestProgress():
                    self.asked = True
                case on.Publish():
                    for check in self.checks:
                        check(effect.snapshot)
                    self.published.append(effect.snapshot)
                case on.Report():
                    self.reports.append(effect)
                case _:
                    pass

    def answer_read(self) -> None:
        """Answer what was asked last, as of now."""
        if not self.reads:
            return
        asked, store = self.reads.pop(), self.store
        if isinstance(asked, on.ReadKey):
            if asked.revision > store.revision:
                future = on.Failure(on.FailureKind.OTHER, "a future revision")
                self.feed(on.ReadFailed(asked.request, future))
            elif asked.revision < store.compacted:
                gone = on.Failure(on.FailureKind.COMPACTED, "compacted")
                self.feed(on.ReadFailed(asked.request, gone))
            else:
                entry = store.states[asked.revision].get(asked.key)
                self.feed(on.KeyRead(asked.request, entry, store.revision, store.cluster_id))
        elif isinstance(asked, on.List):
            entries = tuple(store.state.values())
            self.feed(on.Listed(asked.request, entries, store.revision, store.cluster_id))
        else:
            revisions = {key: e.mod_revision for key, e in store.state.items()}
            self.feed(on.KeysListed(asked.request, revisions, store.revision, store.cluster_id))

    def fail_read(self) -> None:
        if self.reads:
            failure = on.Failure(on.FailureKind.UNAVAILABLE, "cut")
            self.feed(on.ReadFailed(self.reads.pop().request, failure))

    def deliver(self, revisions: int, *, again: int = 0, lose: bool = False) -> None:
        """Let the stream go on: its creation first, then up to `revisions` revisions in one response.

        Args:
            revisions: How many revisions at most.
            again: How many earlier revisions the server repeats before them.
            lose: The server forgets the events of the first of them.
        """
        if self.stream is None:
            return
        store = self.store
        if not self.created:
            self.created = True
            compacted = store.compacted + 1 if self.next <= store.compacted else 0
            if compacted:
                self.feed(_gone(self.stream, compacted))
            else:
                self.feed(self._answer((), created=True))
            return
        first = max(0, self.next - again)
        last = min(self.next + revisions - 1, store.revision)
        if last < self.next and not again:
            if self.asked:
                self.asked = False
                self.feed(self._answer(()))
            return
        rows = store.changes[first + lose if again == 0 else first : last + 1]
        self.next = max(self.next, last + 1)
        self.feed(self._answer(change for row in rows for change in row))

    def repeat(self, back: int) -> None:
        """The server sends one earlier revision once more, by itself."""
        if self.stream is not None and self.created:
            self.feed(self._answer(self.store.changes[max(0, self.next - back)]))

    def cut(self) -> None:
        if self.stream is not None:
            stream, self.stream = self.stream, None
            self.feed(on.WatchBroken(stream, on.Failure(on.FailureKind.UNAVAILABLE, "cut")))

    def let_pass(self, seconds: float) -> None:
        """Time goes on; the Mirror is woken whenever it wants to be, and nothing is answered."""
        end = self.now + seconds
        while (deadline := self.mirror.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.feed(on.Woken())
        self.now = end

    def heal(self, seconds: float) -> None:
        """Time goes on and everything is answered."""
        end = self.now + seconds
        while self.now < end:
            self.let_pass(0.5)
            self.answer_read()
            self.deliver(1000)
            self.deliver(1000)

    def _answer(self, changes: Iterable[Change], *, created: bool = False) -> on.WatchAnswered:
        assert self.stream is not None
        return on.WatchAnswered(
            self.stream,
            self.store.revision,
            self.store.cluster_id,
            created=created,
            changes=tuple(changes),
        )


def _gone(stream: int, compacted: int) -> on.WatchAnswered:
    return on.WatchAnswered(stream, created=True, canceled=True, compact_revision=compacted)
