"""History: what a host can give to others, and what it admits not to know."""

from __future__ import annotations

from sidecar.relay.history import DELETIONS_MAX, History
from sidecar.relay.parcel import Rows, short_hash
from store.snapshot import Entry, Epoch, Snapshot

EPOCH = Epoch(1, 0xC1)


def entry(key: str, revision: int) -> Entry:
    return Entry(key, b"%d" % revision, 1, revision, 1)


def line(count: int) -> list[Snapshot]:
    found = [Snapshot.of(EPOCH, 10, [entry("a", 3), entry("b", 4)])]
    for revision in range(11, 10 + count):
        found.append(found[-1].apply([entry(f"k{revision}", revision)], [], revision))
    return found


def remembering(snapshots: list[Snapshot], length: int = 4) -> History:
    history = History(length)
    for snapshot in snapshots:
        history.remember(snapshot, is_first_hand=True)
    return history


def test_so_many_snapshots_are_found_by_their_content() -> None:
    snapshots = line(6)
    history = remembering(snapshots)
    assert history.newest is snapshots[-1]
    for snapshot in snapshots[-4:]:
        assert history.find(0xC1, short_hash(snapshot)) is snapshot
    assert history.find(0xC1, short_hash(snapshots[1])) is None
    assert history.find(0xC2, short_hash(snapshots[-1])) is None


def test_changes_are_known_from_before_the_oldest_snapshot_kept() -> None:
    snapshots = line(8)
    gone = snapshots[-1].apply([], ["a"], 18)
    history = remembering([*snapshots, gone], length=2)
    rows = history.changes_since(11, gone)
    assert rows is not None
    assert [e.mod_revision for e in rows.upserts] == [12, 13, 14, 15, 16, 17]
    assert rows.deletes == ("a",)


def test_changes_from_before_the_beginning_are_not_known() -> None:
    snapshots = line(3)
    history = remembering(snapshots)
    assert history.changes_since(9, snapshots[-1]) is None
    assert history.changes_since(0, snapshots[-1]) is None
    assert history.changes_since(13, snapshots[-1]) is None, "the asker has something newer"


def test_a_key_that_was_deleted_and_came_back_is_no_deletion() -> None:
    first = Snapshot.of(EPOCH, 10, [entry("a", 3)])
    second = first.apply([], ["a"], 11)
    third = second.apply([entry("a", 12)], [], 12)
    history = remembering([first, second, third], length=1)
    assert history.changes_since(10, third) == Rows((entry("a", 12),), ())


def test_deletions_are_bounded_and_what_went_with_them_is_not_claimed_to_be_known() -> None:
    rows = [entry(f"k{number:05}", 3) for number in range(DELETIONS_MAX + 2)]
    first = Snapshot.of(EPOCH, 10, rows)
    second = first.apply([], [rows[0].key], 11)
    third = second.apply([], [row.key for row in rows[1:]], 12)
    history = remembering([first, second, third], length=1)
    assert history.changes_since(10, third) is None
    known = history.changes_since(12, third)
    assert known == Rows((), ())


def test_another_epoch_or_an_earlier_revision_begins_anew() -> None:
    snapshots = line(4)
    history = remembering(snapshots)
    other = Snapshot.of(Epoch(2, 0xC1), 11, [entry("a", 3)])
    history.remember(other, is_first_hand=True)
    assert history.find(0xC1, short_hash(snapshots[-1])) is None
    assert [pair.revision for pair in history.pairs()] == [11]


def test_only_what_etcd_itself_showed_is_vouched_for() -> None:
    snapshots = line(6)
    history = remembering(snapshots[:2])
    history.remember(snapshots[2], is_first_hand=False)
    history.remember(snapshots[3], is_first_hand=True)
    assert [pair.revision for pair in history.pairs()] == [10, 11, 13]
    history.remember(snapshots[4], is_first_hand=True)
    history.remember(snapshots[5], is_first_hand=True)
    assert [pair.revision for pair in history.pairs()] == [13, 14, 15], "what is forgotten neither"
