"""Budgets: a stock for bursts, then so much a second; and a pace that is paid for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip.budget import Budget, Pace


def test_stock_is_spent_and_flows_in_again() -> None:
    budget = Budget(2.0, 3)
    assert [budget.spend(10.0) for _ in range(4)] == [True, True, True, False]
    assert [budget.spend(10.5), budget.spend(10.5)] == [True, False]
    assert [budget.spend(99.0) for _ in range(4)] == [True, True, True, False], (
        "no more than the stock"
    )


@given(st.lists(st.floats(0.0, 0.5), max_size=60))
def test_never_more_than_stock_and_flow(waits: list[float]) -> None:
    budget, now_s, spent = Budget(5.0, 4), 0.0, 0
    for wait_s in waits:
        now_s += wait_s
        spent += budget.spend(now_s)
    assert spent <= 4 + 5.0 * now_s + 1e-6


def test_pace_is_paid_before_more_is_sent() -> None:
    pace = Pace(1000.0)
    assert pace.is_paid(0.0)
    pace.pay(500, 10.0)
    pace.pay(250, 10.1)
    assert not pace.is_paid(10.7)
    assert pace.is_paid(10.8)
    assert pace.paid_s == pytest.approx(10.75)
    pace.pay(100, 20.0)
    assert pace.paid_s == pytest.approx(20.1), "rest is not saved"
