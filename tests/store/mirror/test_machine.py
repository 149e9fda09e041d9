"""The Mirror's machine where transcripts cannot look: what it refuses to do, and its table."""

from __future__ import annotations

import random

import pytest

from store.mirror import TRANSITIONS, Mirror, MirrorSettings, MirrorState
from store.mirror import events as on
from store.mirror.patience import Patience
from tests.harness.mirror_driver import Middle


def test_every_state_has_its_row_and_can_be_reached_and_left() -> None:
    assert set(TRANSITIONS) == set(MirrorState)
    reached = {after for row in TRANSITIONS.values() for after in row}
    assert reached == set(MirrorState) - {MirrorState.IDLE}
    assert all(TRANSITIONS.values())


@pytest.mark.parametrize(
    "event",
    [
        on.Listed(1, (), 5, 1),
        on.KeysListed(1, {}, 5, 1),
        on.ReadFailed(1, on.Failure(on.FailureKind.OTHER, "x")),
        on.WatchAnswered(1, 5, 1, created=True),
        on.WatchBroken(1, on.Failure(on.FailureKind.OTHER, "x")),
        on.ServerIdentified(1, "3.5.1"),
        on.Woken(),
    ],
)
def test_nothing_happens_before_it_is_started(event: on.Event) -> None:
    mirror = Mirror(Middle())
    assert mirror.handle(event, 1.0) == []
    assert mirror.status.state is MirrorState.IDLE
    assert mirror.deadline() is None


def test_a_second_start_changes_nothing() -> None:
    mirror = Mirror(Middle())
    assert mirror.handle(on.Started(), 0.0) == [on.List(1)]
    assert mirror.handle(on.Started(), 0.0) == []


def test_pauses_are_spread_from_a_tenth_of_a_second_to_a_ceiling_that_grows() -> None:
    patience = Patience(random.Random(1), MirrorSettings())
    first = []
    for _ in range(200):
        patience.reset()
        first.append(patience.pause_s())
    assert 0.1 <= min(first) < max(first) <= 0.2
    later = [patience.pause_s() for _ in range(200)]
    assert min(later) >= 0.1
    assert 2.5 < max(later) <= 3.0
    for hosts, most in ((100, 3.0), (200, 6.0), (1000, 10.0)):
        assert 0.8 * most < max(patience.pause_s(hosts) for _ in range(200)) <= most
