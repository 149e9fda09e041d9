from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.outlier.model import Outcomes
from sidecar.outlier.windows import BUCKET_S, WINDOW_S, Window, failures_of, total


def test_counts_add_up_within_the_window() -> None:
    window = Window()
    window.add(Outcomes(ok=1, external=2), 5.0)
    window.add(Outcomes(ok=3, gateway=1, local=4), 5.4)
    window.add(Outcomes(ok=1), 9.0)
    assert window.counts(9.0) == Outcomes(ok=5, external=2, gateway=1, local=4)
    assert failures_of(window.counts(9.0)) == 7


def test_outcomes_older_than_the_window_are_gone() -> None:
    window = Window()
    window.add(Outcomes(ok=1), 0.0)
    assert window.counts(WINDOW_S - BUCKET_S) == Outcomes(ok=1)
    assert window.counts(WINDOW_S + BUCKET_S) == Outcomes()


def test_a_cleared_window_holds_nothing() -> None:
    window = Window()
    window.add(Outcomes(ok=1), 0.0)
    window.clear()
    assert window.counts(0.0) == Outcomes()


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 9)), max_size=50))
def test_the_window_holds_what_came_within_it_give_or_take_a_bucket(
    steps: list[tuple[float, int]],
) -> None:
    window, now_s, added = Window(), 0.0, []
    for step_s, ok in steps:
        now_s += step_s
        window.add(Outcomes(ok=ok), now_s)
        added.append((now_s, ok))
    surely = sum(ok for at_s, ok in added if at_s > now_s - WINDOW_S + BUCKET_S)
    at_most = sum(ok for at_s, ok in added if at_s > now_s - WINDOW_S - BUCKET_S)
    assert surely <= window.counts(now_s).ok <= at_most


def test_a_sum_of_nothing_is_nothing() -> None:
    assert total() == Outcomes()
