from __future__ import annotations

from meshd.cli.following import Snapshots
from meshd.cli.stored import Stored
from store.objects.kinds import ObjectRef
from store.snapshot import Entry, Epoch, Snapshot

KEY = "ns/default/virtualservices/{}"
EPOCH = Epoch(1, 1)


def _entry(name: str, revision: int, text: str = "{}") -> Entry:
    return Entry(KEY.format(name), text.encode(), 1, revision, 1)


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.snapshots = Snapshots(self._changed, self._gone)

    def _changed(self, one: Stored) -> None:
        self.lines.append(f"{one.ref.name}@{one.entry.mod_revision}")

    def _gone(self, ref: ObjectRef) -> None:
        self.lines.append(f"{ref.name} gone")

    def take(self, snapshot: Snapshot) -> list[str]:
        self.lines = []
        self.snapshots.take(snapshot)
        return self.lines


def test_first_everything_is_told_then_only_what_changed() -> None:
    told = Told()
    first = Snapshot.of(EPOCH, 2, [_entry("a", 1), _entry("b", 2)])
    assert told.take(first) == ["a@1", "b@2"]
    second = first.apply([_entry("b", 3), _entry("c", 3)], [KEY.format("a")], 3)
    assert told.take(second) == ["a gone", "b@3", "c@3"]
    assert told.take(second) == []


def test_a_snapshot_read_anew_tells_only_what_differs() -> None:
    told = Told()
    told.take(Snapshot.of(EPOCH, 2, [_entry("a", 1), _entry("b", 2)]))
    anew = Snapshot.of(Epoch(2, 9), 7, [_entry("a", 1), _entry("c", 7)])
    assert told.take(anew) == ["b gone", "c@7"]


def test_keys_that_hold_no_object_are_passed_over() -> None:
    told = Told()
    others = [Entry("format", b"{}", 1, 1, 1), Entry("hosts/vm-1", b"{}", 1, 1, 1)]
    first = Snapshot.of(EPOCH, 1, others)
    assert told.take(first) == []
    assert told.take(first.apply([], ["hosts/vm-1"], 2)) == []
