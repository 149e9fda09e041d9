"""The decision as a whole: a pure function of what it is given, with caps that nothing breaks."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.outlier.caps import caps
from sidecar.outlier.decision import Judgement, Mesh, decide
from sidecar.outlier.model import (
    Destination,
    DestinationFacts,
    EjectionPolicy,
    Observer,
    Place,
    Row,
    RowClass,
)
from sidecar.outlier.view import JudgementState, Reason
from sidecar.outlier.votes import Members
from tests.sidecar.outlier.builders import REVIEWS, bad, clear, facts, members, neutral, place

EXAMPLES = 1000 if os.environ.get("MESHD_TEST_DEEP") else 50
Rows = Mapping[Place, Mapping[str, Row]]
NEVER = float("-inf")


def mesh(
    observers: dict[str, Observer] | None = None,
    *,
    ignored: frozenset[str] = frozenset(),
    override: Reason | None = None,
    cleared_s: float = NEVER,
) -> Mesh:
    found = Members.of(observers or members(9), ignored)
    return Mesh(found, found, ignored, lambda d, p: cleared_s, lambda d, p: override)


def accused(number: int, accusers: int = 3, at_s: float = 0.0) -> dict[Place, dict[str, Row]]:
    """An endpoint accused by n0, n1, ..., with others that use the destination."""
    rows = {f"n{index}": neutral(number) for index in range(9)}
    rows |= {f"n{index}": bad(number, at_s) for index in range(accusers)}
    return {place(number): rows}


def judged(
    rows: Rows, now_s: float = 5.0, found: DestinationFacts | None = None, sees: Mesh | None = None
) -> dict[Place, Judgement]:
    return decide(REVIEWS, found or facts(), rows, sees or mesh(), now_s)


def only(rows: Rows, **changes: object) -> Judgement:
    (one,) = judged(rows, **changes).values()  # type: ignore[arg-type]
    return one


def test_what_enough_accuse_is_ejected_when_the_hold_off_is_over() -> None:
    assert only(accused(0), now_s=0.5).state is JudgementState.PENDING
    found = only(accused(0), now_s=1.0)
    assert (found.state, found.reason, found.level) == (
        JudgementState.EJECTED,
        Reason.QUORUM,
        1,
    )


def test_what_nobody_accuses_is_not_judged() -> None:
    assert judged({place(0): {"n1": clear(), "n2": neutral()}}) == {}


def test_rows_about_another_workload_at_the_same_address_are_nothing() -> None:
    rows = {
        place(0): {node: replace(row, generation=77) for node, row in accused(0)[place(0)].items()}
    }
    assert judged(rows) == {}


def test_rows_about_endpoints_that_are_no_more_are_nothing() -> None:
    assert judged(accused(9)) == {}


def test_an_endpoint_that_takes_no_requests_is_not_ejected() -> None:
    one = facts()
    draining = replace(one.endpoints[0], takes_requests=False)
    found = replace(one, endpoints=(draining, *one.endpoints[1:]))
    assert only(accused(0), found=found).reason is Reason.UNKNOWN


def test_what_is_no_worse_than_its_siblings_is_not_ejected() -> None:
    rows = {**accused(0), **accused(1), **accused(2)}
    assert {one.reason for one in judged(rows).values()} == {Reason.SIBLINGS}


def test_siblings_that_fail_a_lot_without_being_accused_are_siblings_too() -> None:
    share = {"n1": neutral(0, ok=2, external=8)}
    rows: dict[Place, Mapping[str, Row]] = {
        place(number): {"n1": replace(share["n1"], place=place(number), generation=number)}
        for number in (1, 2, 3)
    }
    assert only({**rows, **accused(0)}).reason is Reason.SIBLINGS


def test_one_accuser_of_all_siblings_does_not_make_them_bad() -> None:
    liar = {place(number): {"n8": bad(number)} for number in (1, 2, 3)}
    assert judged({**liar, **accused(0)})[place(0)].state is JudgementState.EJECTED


def test_caps_keep_the_earliest() -> None:
    rows = {**accused(0, at_s=9.0), **accused(1, at_s=1.0), **accused(2, at_s=5.0)}
    found = judged(rows, now_s=20.0, found=facts(8, EjectionPolicy(max_ejection_share=0.25)))
    assert {one: each.reason for one, each in found.items()} == {
        place(0): Reason.MASS,
        place(1): Reason.QUORUM,
        place(2): Reason.QUORUM,
    }
    later = judged(rows, now_s=40.5, found=facts(8, EjectionPolicy(max_ejection_share=0.25)))
    assert later[place(0)].reason is Reason.CAP


def test_what_fell_together_with_many_waits_until_it_is_clear_that_only_they_fell() -> None:
    rows = {**accused(0), **accused(1), **accused(2), **accused(3)}
    found = judged(rows, found=facts(10))
    reasons = sorted(one.reason.value for one in found.values())
    assert reasons == ["mass", "quorum", "quorum", "quorum"]
    (waiting,) = (one for one in found.values() if one.reason is Reason.MASS)
    assert waiting.state is JudgementState.PENDING
    assert waiting.until_s == 31.0


def test_a_pinned_endpoint_is_not_ejected_and_it_says_so_only_where_it_would_be() -> None:
    pinned = mesh(override=Reason.PINNED)
    assert only(accused(0), sees=pinned).reason is Reason.PINNED
    assert only(accused(0, accusers=1), sees=pinned).reason is Reason.QUORUM


def test_accusers_that_are_not_believed_or_not_alive_are_named_as_the_reason() -> None:
    ignored = mesh(ignored=frozenset({"n0", "n1", "n2"}))
    assert only(accused(0), sees=ignored).reason is Reason.CONTRADICTED
    observers = members(9)
    for number in range(3):
        observers[f"n{number}"] = replace(observers[f"n{number}"], counts=False)
    assert only(accused(0), sees=mesh(observers)).reason is Reason.NOT_COUNTING
    assert only(accused(0), sees=mesh(cleared_s=0.0)).reason is Reason.OVERRIDDEN


def test_only_neighbours_count_where_the_policy_says_so() -> None:
    everybody = Members.of(members(9))
    neighbours = Members.of({"n0": members(9)["n0"], "n8": members(9)["n8"]})
    sees = Mesh(everybody, neighbours, frozenset(), lambda d, p: NEVER, lambda d, p: None)
    near = facts(4, EjectionPolicy(same_locality=True))
    assert only(accused(0), sees=sees).is_ejected
    assert only(accused(0), sees=sees, found=near).reason is Reason.QUORUM


def test_on_trial_all_know_who_tries() -> None:
    found = only(accused(0), now_s=60.0)
    assert found.state is JudgementState.TRIAL
    assert found.is_ejected
    assert sorted(found.trial.order) == [f"n{number}" for number in range(9)]


KINDS = st.sampled_from(["bad", "clear", "neutral", "none", "none"])


@st.composite
def situations(draw: st.DrawFn) -> tuple[DestinationFacts, Rows, dict[str, Observer], float]:
    """Endpoints with any rows by any observers."""
    endpoints, hosts = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    policy = EjectionPolicy(
        quorum=draw(st.sampled_from([None, 1, 2])),
        max_ejection_share=draw(st.floats(0, 1)),
        min_health_share=draw(st.floats(0, 1)),
        agreement=draw(st.sampled_from([0.0, 0.5, 0.66, 1.0])),
        base_ejection_s=draw(st.sampled_from([1.0, 30.0])),
    )
    found = facts(endpoints, policy)
    found = replace(
        found,
        endpoints=tuple(
            replace(one, priority=draw(st.integers(0, 1)), takes_requests=draw(st.booleans()))
            for one in found.endpoints
        ),
    )
    rows: dict[Place, dict[str, Row]] = {}
    for number in range(endpoints):
        for index in range(hosts):
            kind, at_s = draw(KINDS), draw(st.floats(0, 100))
            row = {
                "bad": bad(
                    number,
                    at_s,
                    accused_s=at_s + draw(st.sampled_from([0.0, 0.0, 40.0])),
                    episode=draw(st.integers(0, 15)),
                    failed_trials=draw(st.integers(0, 15)),
                ),
                "clear": clear(number, at_s, ok_run=draw(st.integers(0, 15))),
                "neutral": neutral(number),
            }.get(kind)
            if row is not None:
                rows.setdefault(place(number), {})[f"n{index}"] = row
    observers = members(hosts, zones=draw(st.integers(1, 3)))
    return found, rows, observers, draw(st.floats(0, 400))


@settings(max_examples=EXAMPLES)
@given(situations())
def test_no_evidence_breaks_a_cap_or_takes_the_last_one(
    situation: tuple[DestinationFacts, Rows, dict[str, Observer], float],
) -> None:
    found, rows, observers, now_s = situation
    verdicts = decide(REVIEWS, found, rows, mesh(observers), now_s)
    priorities = {one.place: one.priority for one in found.endpoints}
    usable = {one.place for one in found.endpoints if one.takes_requests}
    for priority, cap in caps(found).items():
        ejected = {
            at for at, one in verdicts.items() if one.is_ejected and priorities[at] == priority
        }
        assert ejected <= usable
        assert len(ejected) <= cap.allowed
        assert not ejected or len(ejected) < sum(1 for at in usable if priorities[at] == priority)


@settings(max_examples=EXAMPLES)
@given(situations(), st.randoms(use_true_random=False))
def test_the_decision_depends_on_nothing_but_what_it_is_given(
    situation: tuple[DestinationFacts, Rows, dict[str, Observer], float], rng: random.Random
) -> None:
    found, rows, observers, now_s = situation
    shuffled: dict[Place, dict[str, Row]] = {}
    for at in rng.sample(list(rows), len(rows)):
        shuffled[at] = dict(rng.sample(list(rows[at].items()), len(rows[at])))
    others = dict(rng.sample(list(observers.items()), len(observers)))
    assert decide(REVIEWS, found, rows, mesh(observers), now_s) == decide(
        REVIEWS, found, shuffled, mesh(others), now_s
    )


@settings(max_examples=EXAMPLES)
@given(situations(), st.floats(0, 100))
def test_whoever_is_woken_when_a_judgement_ends_misses_nothing(
    situation: tuple[DestinationFacts, Rows, dict[str, Observer], float], later_s: float
) -> None:
    found, rows, observers, now_s = situation
    first = decide(REVIEWS, found, rows, mesh(observers), now_s)
    due_s = min((one.until_s for one in first.values() if one.until_s is not None), default=1e9)
    then_s = min(now_s + later_s, due_s - 1e-6)
    if then_s > now_s:
        second = decide(REVIEWS, found, rows, mesh(observers), then_s)
        assert {at: (one.state, one.reason) for at, one in first.items()} == {
            at: (one.state, one.reason) for at, one in second.items()
        }


@settings(max_examples=EXAMPLES)
@given(situations(), st.data())
def test_one_observer_alone_ejects_nothing_whatever_it_says(
    situation: tuple[DestinationFacts, Rows, dict[str, Observer], float], data: st.DataObject
) -> None:
    found, rows, observers, now_s = situation
    found = replace(found, policy=replace(found.policy, quorum=None))
    liar = data.draw(st.sampled_from(sorted(observers)))
    without = {
        at: {
            node: row
            for node, row in about.items()
            if node == liar or row.row_class is not RowClass.BAD
        }
        for at, about in rows.items()
    }
    verdicts = decide(REVIEWS, found, without, mesh(observers), now_s)
    assert not any(one.is_ejected for one in verdicts.values())


@pytest.mark.parametrize("destination", [REVIEWS, Destination(REVIEWS.host, 1)])
def test_a_destination_with_one_endpoint_keeps_it(destination: Destination) -> None:
    found = decide(destination, facts(1), accused(0), mesh(), 5.0)
    assert [one.reason for one in found.values()] == [Reason.LAST_ONE]
