"""A snapshot that peers brought: the Mirror goes on from it, and believes etcd more."""

from __future__ import annotations

import pytest

from store.mirror import Mirror, MirrorState
from store.mirror import events as on
from store.snapshot import Entry, Epoch, Snapshot
from tests.harness.mirror_driver import Middle, entry

CLUSTER = 0xC1
EPOCH = Epoch(1, CLUSTER)
AWAY = on.Failure(on.FailureKind.UNAVAILABLE, "no way to etcd")


def at(revision: int, *entries: Entry) -> Snapshot:
    return Snapshot.of(EPOCH, revision, entries or [entry("mesh", 5)])


def cut_off(seed: Snapshot | None = None) -> Mirror:
    """A Mirror that has lost etcd."""
    mirror = Mirror(Middle(), seed=seed)
    mirror.handle(on.Started(), 0.0)
    if seed is None:
        mirror.handle(on.ReadFailed(1, AWAY), 1.0)
    else:
        mirror.handle(on.WatchBroken(1, AWAY), 1.0)
    assert mirror.status.state is MirrorState.BACKOFF
    return mirror


def retried(mirror: Mirror) -> list[on.Effect]:
    due_s = mirror.deadline()
    assert due_s is not None
    return mirror.handle(on.Woken(), due_s)


@pytest.mark.parametrize("seed", [None, at(10)], ids=["empty disk", "from disk"])
def test_the_watch_goes_on_behind_what_peers_brought(seed: Snapshot | None) -> None:
    mirror = cut_off(seed)
    newer = at(20)
    assert mirror.handle(on.Relayed(newer), 2.0) == []
    assert mirror.snapshot is newer
    assert retried(mirror) == [on.OpenWatch(1 if seed is None else 2, 21)]


def test_what_is_older_changes_nothing() -> None:
    known = at(10)
    mirror = cut_off(known)
    mirror.handle(on.Relayed(at(9)), 2.0)
    mirror.handle(on.Relayed(at(10, entry("mesh", 6))), 2.0)
    assert mirror.snapshot is known


def test_while_a_watch_runs_the_word_of_etcd_counts() -> None:
    known = at(10)
    mirror = Mirror(Middle(), seed=known)
    mirror.handle(on.Started(), 0.0)
    mirror.handle(on.WatchAnswered(1, 10, CLUSTER, created=True), 0.1)
    mirror.handle(on.KeyRead(1, entry("mesh", 5), 10, CLUSTER), 0.2)
    assert mirror.status.state is MirrorState.WATCHING
    mirror.handle(on.Relayed(at(20)), 1.0)
    assert mirror.snapshot is known


def test_another_epoch_that_the_relay_led_to_is_gone_on_from() -> None:
    mirror = cut_off(at(50))
    other = Snapshot.of(Epoch(2, 0xC2), 7, [entry("mesh", 5)])
    mirror.handle(on.Relayed(other), 2.0)
    assert retried(mirror) == [on.OpenWatch(2, 8)]
    assert mirror.status.epoch == Epoch(2, 0xC2)


def test_a_reading_that_began_before_is_not_taken_for_a_store_that_went_back() -> None:
    mirror = Mirror(Middle())
    assert mirror.handle(on.Started(), 0.0) == [on.List(1)]
    assert mirror.handle(on.Relayed(at(20)), 1.0) == [on.List(2)]
    assert mirror.handle(on.Listed(1, (entry("mesh", 5),), 15, CLUSTER), 1.1) == []
    effects = mirror.handle(on.Listed(2, (entry("mesh", 5),), 21, CLUSTER), 1.2)
    assert on.OpenWatch(1, 22) in effects
    assert mirror.status.epoch == EPOCH


def test_events_of_a_watch_that_was_asked_for_before_count_only_when_they_are_newer() -> None:
    mirror = Mirror(Middle(), seed=at(10))
    mirror.handle(on.Started(), 0.0)
    newer = at(20, entry("mesh", 19))
    mirror.handle(on.Relayed(newer), 1.0)
    old_and_new = (entry("mesh", 12), entry("mesh", 19), entry("hosts/a", 21))
    answered = on.WatchAnswered(1, 21, CLUSTER, created=True, changes=old_and_new)
    assert mirror.handle(answered, 1.1) == [on.ReadKey(1, "mesh", 20)]
    effects = mirror.handle(on.KeyRead(1, entry("mesh", 19), 21, CLUSTER), 1.2)
    (published,) = [e for e in effects if isinstance(e, on.Publish)]
    assert published.snapshot.is_same(newer.apply([entry("hosts/a", 21)], [], 21))


def test_a_watch_that_was_compacted_is_tried_from_the_newer_revision() -> None:
    mirror = Mirror(Middle(), seed=at(10))
    mirror.handle(on.Started(), 0.0)
    mirror.handle(on.WatchAnswered(1, 30, CLUSTER, canceled=True, compact_revision=15), 1.0)
    assert mirror.status.state is MirrorState.CHECKING
    mirror.handle(on.ReadFailed(1, AWAY), 1.1)
    mirror.handle(on.Relayed(at(20)), 1.2)
    assert on.OpenWatch(2, 21) in retried(mirror)


def test_what_peers_bring_while_etcd_is_asked_does_not_make_it_another() -> None:
    mirror = Mirror(Middle(), seed=at(10))
    mirror.handle(on.Started(), 0.0)
    answered = on.WatchAnswered(1, 15, CLUSTER, created=True)
    assert mirror.handle(answered, 0.1) == [on.ReadKey(1, "mesh", 10)]
    mirror.handle(on.Relayed(at(20, entry("mesh", 19))), 0.2)
    assert mirror.handle(on.KeyRead(1, entry("mesh", 5), 15, CLUSTER), 0.3) == []
    assert mirror.status.state is MirrorState.WATCHING
    assert mirror.status.revision == 20
