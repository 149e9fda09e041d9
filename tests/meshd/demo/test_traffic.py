"""Judging where requests went: every count has a place, and a place that nobody named is a failure."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.demo.steps import STEPS, Step
from meshd.demo.traffic import Question, deviations, went_to


def question(**shares: float) -> Question:
    return Question("for a test", "http://reviews:9080/", 100, shares)


def test_a_certain_share_allows_no_exception() -> None:
    assert deviations({"v1": 100}, question(v1=1)) == []
    assert deviations({"v1": 99, "v2": 1}, question(v1=1)) == [
        "v1: 99 of 100 requests, should be 100",
        "v2: 1 of 100 requests, should be none",
    ]


def test_a_canary_may_stray_as_chance_does_but_not_further() -> None:
    assert deviations({"v1": 530, "v3": 70}, question(v1=0.9, v3=0.1)) == []
    found = deviations({"v1": 400, "v3": 200}, question(v1=0.9, v3=0.1))
    assert [line.split(",")[0] for line in found] == [
        "v1: 400 of 600 requests",
        "v3: 200 of 600 requests",
    ]


def test_a_place_that_got_nothing_is_missed() -> None:
    assert deviations({"v1": 100}, question(v1=0.5, v2=0.5))


@given(st.integers(0, 2**32), st.integers(20, 600))
def test_honest_chance_passes(seed: int, count: int) -> None:
    # Ten thousand draws of hypothesis' own would meet five sigmas about once in a hundred test runs, so that
    # what is drawn here is cut at four.
    chance = random.Random(seed)
    v3 = sum(chance.random() < 0.1 for _ in range(count))
    if abs(v3 - count * 0.1) <= 4 * (count * 0.1 * 0.9) ** 0.5:
        assert deviations({"v1": count - v3, "v3": v3}, question(v1=0.9, v3=0.1)) == []


def test_the_way_of_a_request_is_read_from_the_answer() -> None:
    ratings = {"service": "ratings", "version": "v1"}
    reviews = {"service": "reviews", "version": "v2", "calls": {"ratings": ratings}}
    details = {"service": "details", "version": "v1"}
    page = {
        "service": "productpage",
        "version": "v1",
        "calls": {"details": details, "reviews": reviews},
    }
    assert went_to(page) == "productpage v1 > reviews v2 > ratings v1"
    assert went_to({**details, "client": "demo"}) == "details v1 (client demo)"


def test_an_error_of_a_service_behind_is_never_hidden() -> None:
    failed = {"service": "details", "error": "HTTP 503: no healthy upstream"}
    reviews = {"service": "reviews", "version": "v1"}
    page = {
        "service": "productpage",
        "version": "v1",
        "calls": {"details": failed, "reviews": reviews},
    }
    assert went_to(page) == "productpage v1 > details failed: HTTP 503: no healthy upstream"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.title)
def test_every_question_says_where_all_of_its_requests_go(step: Step) -> None:
    for asked in step.questions:
        assert sum(asked.shares.values()) == pytest.approx(1)
        assert asked.door in ("sidecars", "direct")
