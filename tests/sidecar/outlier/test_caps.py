from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.outlier.caps import MASS_WINDOW_S, Cap, caps, frozen
from sidecar.outlier.model import EjectionPolicy
from sidecar.outlier.view import Reason
from tests.sidecar.outlier.builders import facts, place

POLICY = EjectionPolicy(min_health_share=0.0)


@pytest.mark.parametrize(
    ("usable", "share", "allowed"),
    [(0, 0.5, 0), (1, 1.0, 0), (2, 0.1, 1), (2, 1.0, 1), (3, 0.5, 1), (4, 0.5, 2), (10, 0.35, 3)],
)
def test_one_of_two_or_more_may_always_go_and_the_last_one_never(
    usable: int, share: float, allowed: int
) -> None:
    assert Cap(usable, usable, replace(POLICY, max_ejection_share=share)).allowed == allowed


def test_enough_must_stay_healthy_of_all_that_are_listed() -> None:
    policy = EjectionPolicy(max_ejection_share=1.0, min_health_share=0.7)
    assert Cap(10, 10, policy).allowed == 3
    assert Cap(8, 10, policy).allowed == 1
    assert Cap(6, 10, policy).allowed == 0


def test_the_reason_is_the_limit_that_is_reached_first() -> None:
    few = Cap(4, 4, replace(POLICY, max_ejection_share=0.25))
    assert few.take() is None
    assert few.take() is Reason.CAP
    assert few.taken == 1
    assert Cap(1, 1, replace(POLICY, max_ejection_share=1.0)).take() is Reason.LAST_ONE
    assert Cap(3, 3, EjectionPolicy(min_health_share=1.0)).take() is Reason.MIN_HEALTH


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0, 1), st.floats(0, 1))
def test_no_setting_ejects_all_or_more_than_it_says(
    usable: int, unusable: int, share: float, health: float
) -> None:
    policy = EjectionPolicy(max_ejection_share=share, min_health_share=health)
    listed = usable + unusable
    cap = Cap(usable, listed, policy)
    while cap.take() is None:
        pass
    assert cap.taken < max(1, usable)
    assert cap.taken <= max(1, share * usable + 1e-6)
    if cap.taken:
        assert usable - cap.taken >= health * listed - 1e-6


def test_each_priority_has_its_own_cap() -> None:
    one = facts(6, POLICY)
    split = tuple(
        replace(endpoint, priority=number % 2, takes_requests=number != 4)
        for number, endpoint in enumerate(one.endpoints)
    )
    found = caps(replace(one, endpoints=split))
    assert {priority: cap.allowed for priority, cap in found.items()} == {0: 1, 1: 1}


def test_what_falls_third_and_over_30_percent_within_30_s_waits() -> None:
    at = {place(number): float(number) for number in range(5)}
    order = [place(number) for number in range(5)]
    assert frozen(at, order, 10) == {place(3), place(4)}
    assert frozen(at, order, 4) == {place(2), place(3), place(4)}
    assert frozen(at, order[:2], 2) == frozenset(), "fewer than three are no mass"
    slowly = {one: number * MASS_WINDOW_S for number, one in enumerate(order)}
    assert frozen(slowly, order, 4) == frozenset()
