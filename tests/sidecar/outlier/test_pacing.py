"""Records about one destination are judged as they come until they are a flood; then together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.model import HostName
from sidecar.outlier.model import Destination, Place
from sidecar.outlier.pacing import BURST, RATE_PER_S, Pacing

REVIEWS = Destination(HostName("reviews.default.svc.cluster.local"), 9080)
RATINGS = Destination(HostName("ratings.default.svc.cluster.local"), 9080)
ONE, TWO = Place("10.0.0.1", 80), Place("10.0.0.2", 80)


def test_a_few_records_are_looked_at_as_they_come() -> None:
    pacing = Pacing()
    for _ in range(BURST):
        assert pacing.admit({(REVIEWS, ONE)}, 5.0) == {(REVIEWS, ONE)}
    assert pacing.deadline() is None


def test_a_flood_waits_together_and_holds_up_no_other_destination() -> None:
    pacing = Pacing()
    for _ in range(BURST):
        pacing.admit({(REVIEWS, ONE)}, 5.0)
    assert pacing.admit({(REVIEWS, ONE), (REVIEWS, TWO), (RATINGS, ONE)}, 5.0) == {(RATINGS, ONE)}
    due_s = pacing.deadline()
    assert due_s == 5.0 + 1 / RATE_PER_S
    assert pacing.due(due_s) == {(REVIEWS, ONE), (REVIEWS, TWO)}
    assert pacing.due(due_s) == set()
    assert pacing.deadline() is None


def test_the_budget_fills_again() -> None:
    pacing = Pacing()
    for _ in range(BURST + 5):
        pacing.admit({(REVIEWS, ONE)}, 5.0)
    assert pacing.admit({(REVIEWS, TWO)}, 5.0 + 2 / RATE_PER_S) == {(REVIEWS, TWO)}


@given(st.lists(st.floats(0.0, 0.05), max_size=200))
def test_nothing_waits_for_longer_than_a_moment_and_nothing_is_lost(gaps_s: list[float]) -> None:
    pacing, now_s = Pacing(), 0.0
    owed: dict[tuple[Destination, Place], float] = {}
    for number, gap_s in enumerate(gaps_s):
        now_s += gap_s
        name = (REVIEWS, Place("10.0.0.3", number % 7))
        owed.setdefault(name, now_s)
        for looked_at in pacing.admit({name}, now_s) | pacing.due(now_s):
            owed.pop(looked_at, None)
        assert all(now_s - since_s <= 1 / RATE_PER_S + 1e-9 for since_s in owed.values())
    last_s = pacing.deadline()
    seen = pacing.due(now_s + 1.0)
    assert owed.keys() == seen
    assert (last_s is None) == (not seen)
