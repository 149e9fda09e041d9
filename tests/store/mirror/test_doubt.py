"""A backup restored under the same cluster id, and written past our revision, is never mixed into what we knew."""

from __future__ import annotations

import random

import pytest

from store.mirror import Mirror
from store.mirror import events as on
from store.mirror.doubt import Doubt
from store.snapshot import Epoch, Snapshot
from tests.harness.fake_store import FakeLink, FakeStore
from tests.harness.mirror_driver import entry

CLUSTER = 0xC1
KEYS = tuple(f"ns/default/virtualservices/{name}" for name in "abcdef")


def written(store: FakeStore, rng: random.Random, count: int) -> None:
    for _ in range(count):
        store.write({rng.choice(KEYS): b"%d" % rng.randrange(1 << 30)})


@pytest.mark.parametrize("seed", range(40))
def test_no_snapshot_mixes_two_lives_of_a_store(seed: int) -> None:
    rng = random.Random(seed)
    old = FakeStore(CLUSTER)
    old.write(dict.fromkeys(KEYS, b"first"))
    written(old, rng, 20)
    link = FakeLink(Mirror(rng), old)
    link.start()
    link.heal(3.0)
    assert link.published[-1].revision == old.revision
    new = old.restored(old.revision - rng.randrange(1, 15), CLUSTER)
    written(new, rng, rng.randrange(30))
    link.cut()
    link.store = new
    seen = len(link.published)
    for _ in range(6):
        link.let_pass(1.0)
        for _ in range(rng.randrange(3)):
            link.deliver(rng.randrange(1, 5))
        if rng.random() < 0.5:
            link.answer_read()
        written(new, rng, rng.randrange(3))
    link.heal(60.0)
    lives = {
        Snapshot.of(Epoch(1, CLUSTER), revision, state.values()).hash
        for revision, state in enumerate(new.states)
    }
    for snapshot in link.published[seen:]:
        assert snapshot.hash in lives, "content that neither life ever held"
    assert {e.key: e.value for e in link.published[-1].entries()} == {
        key: one.value for key, one in new.state.items()
    }


@pytest.mark.parametrize("seed", range(20))
def test_a_life_that_still_has_what_was_deleted_last_is_another(seed: int) -> None:
    """The backup lacks a deletion alone, and something else was written in its place."""
    rng = random.Random(seed)
    old = FakeStore(CLUSTER)
    old.write(dict.fromkeys(KEYS, b"first"))
    written(old, rng, rng.randrange(20))
    link = FakeLink(Mirror(rng), old)
    link.start()
    link.heal(3.0)
    gone, *others = rng.sample(KEYS, len(KEYS))
    old.write({gone: None})
    link.heal(3.0)
    assert link.published[-1].revision == old.revision
    new = old.restored(old.revision - 1, CLUSTER)
    for number in range(1 + rng.randrange(3)):
        new.write({rng.choice(others): b"other %d" % number})
    link.cut()
    link.store = new
    seen = len(link.published)
    link.heal(60.0)
    assert [one.epoch.life for one in link.published[seen:]] == [2]
    assert {e.key: e.value for e in link.published[-1].entries()} == {
        key: one.value for key, one in new.state.items()
    }


def doubt() -> Doubt:
    made = Doubt()
    made.begin(Snapshot.of(Epoch(1, CLUSTER), 20, [entry("mesh", 5), entry("hosts/a", 19)]), 20)
    return made


HELD = on.WatchAnswered(1, 25, CLUSTER, created=True)


def test_the_key_that_was_written_last_is_asked_for_once() -> None:
    made = doubt()
    assert made.hold(HELD) == ("hosts/a", 20)
    assert made.hold(HELD) is None
    assert made.settle(on.KeyRead(1, entry("hosts/a", 19), 25, CLUSTER), CLUSTER) == (HELD, HELD)
    assert not made.is_open


@pytest.mark.parametrize(
    "answer",
    [
        on.KeyRead(1, None, 25, CLUSTER),
        on.KeyRead(1, entry("hosts/a", 12), 25, CLUSTER),
        on.KeyRead(1, entry("hosts/a", 19, created=7), 25, CLUSTER),
        on.KeyRead(1, entry("hosts/a", 19), 19, CLUSTER),
        on.KeyRead(1, entry("hosts/a", 19), 25, 0xC2),
    ],
)
def test_anything_else_than_what_is_known_is_another_life(answer: on.KeyRead) -> None:
    made = doubt()
    made.hold(HELD)
    assert made.settle(answer, CLUSTER) is None


def test_a_store_that_held_nothing_is_not_doubted() -> None:
    made = Doubt()
    made.begin(Snapshot.empty(Epoch(1, CLUSTER), 20), 20)
    assert not made.is_open


def test_a_key_that_was_taken_away_last_is_asked_for_too() -> None:
    known = Snapshot.of(Epoch(1, CLUSTER), 20, [entry("mesh", 5), entry("hosts/a", 19)])
    for found, held in ((None, (HELD,)), (entry("mesh", 5), None)):
        made = Doubt()
        made.begin(known.apply([], ["mesh"], 21), 21)
        assert made.hold(HELD) == ("hosts/a", 21)
        assert made.settle(on.KeyRead(1, entry("hosts/a", 19), 25, CLUSTER), CLUSTER) == ()
        assert made.is_open
        assert made.question() == ("mesh", 21)
        assert made.settle(on.KeyRead(2, found, 25, CLUSTER), CLUSTER) == held
        assert not made.is_open


def test_what_was_taken_away_before_the_last_write_is_not_asked_for() -> None:
    known = Snapshot.of(Epoch(1, CLUSTER), 20, [entry("mesh", 5), entry("hosts/a", 19)])
    made = Doubt()
    made.begin(known.apply([], ["mesh"], 21).apply([entry("hosts/a", 22)], [], 22), 22)
    made.hold(HELD)
    assert made.settle(on.KeyRead(1, entry("hosts/a", 22), 25, CLUSTER), CLUSTER) == (HELD,)
