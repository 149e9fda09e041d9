from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sidecar.outlier.model import EjectionPolicy, Row
from sidecar.outlier.phases import CAUTION_S, TRIAL_STEP_S, Course, Trial, course, trial_order
from sidecar.outlier.view import JudgementState
from sidecar.outlier.votes import Electorate, Members, Poll, Vote
from tests.sidecar.outlier.builders import REVIEWS, bad, members, neutral, place

POLICY = EjectionPolicy()
NAME = (REVIEWS, place(0))
STARTS_S = 11.0
"""The quorum came about at 10 s, the hold-off is over now."""


def votes(*rows: Row) -> Poll:
    """Two must accuse."""
    accusing = tuple(Vote(f"192.0.2.{number}", row) for number, row in enumerate(rows))
    return Poll(accusing, 0, 0, 2, 9, quorum_s=10.0)


def stands(now_s: float, *rows: Row) -> Course:
    return course(NAME, votes(*rows), POLICY, STARTS_S, now_s)


def test_hold_off_then_hold_then_trial() -> None:
    rows = (bad(0, 9.0), bad(0, 10.0))
    pending = stands(10.9, *rows)
    assert (pending.state, pending.until_s) == (JudgementState.PENDING, 11.0)
    ejected = stands(11.0, *rows)
    assert (ejected.state, ejected.since_s, ejected.level) == (JudgementState.EJECTED, 11.0, 1)
    assert ejected.until_s is not None
    assert 11.0 + 24.0 <= ejected.until_s <= 11.0 + 36.0
    trial = stands(ejected.until_s, *rows)
    assert (trial.state, trial.since_s) == (JudgementState.TRIAL, ejected.until_s)
    assert trial.until_s is None


def trial_s() -> float:
    """When the first trial begins."""
    until_s = stands(12.0, bad(0, 9.0), bad(0, 10.0)).until_s
    assert until_s is not None
    return until_s


def test_a_failed_trial_ejects_it_again_one_level_up() -> None:
    failed_s = trial_s() + 2.0
    failed = bad(0, 9.0, accused_s=failed_s, failed_trials=1)
    again = stands(failed_s + 1.0, failed, bad(0, 10.0))
    assert (again.state, again.level, again.failed_trials) == (JudgementState.EJECTED, 2, 1)
    assert again.since_s == failed_s
    assert again.until_s is not None
    assert failed_s + 48.0 <= again.until_s <= failed_s + 72.0


def test_who_accuses_it_for_the_first_time_in_a_trial_fails_the_trial_too() -> None:
    late = bad(0, trial_s() + 3.0)
    assert stands(late.since_s, bad(0, 9.0), bad(0, 10.0), late).level == 2


def test_an_accusation_during_the_hold_changes_nothing() -> None:
    rows = (bad(0, 9.0), bad(0, 10.0))
    late = bad(0, 20.0, episode=15, failed_trials=15)
    assert stands(21.0, *rows, late) == stands(21.0, *rows)


def test_the_level_is_what_as_many_as_the_quorum_ask_for() -> None:
    both = stands(12.0, bad(0, 9.0, episode=3), bad(0, 10.0, episode=4))
    assert both.level == 3
    one = stands(12.0, bad(0, 9.0, episode=1), bad(0, 10.0, episode=15))
    assert one.level == 1, "one liar does not raise it"
    third = stands(12.0, *(bad(0, at, episode=e) for at, e in ((9.0, 1), (10.0, 3), (10.5, 3))))
    assert third.level == 3, "accusers within the hold-off have a say"
    many = stands(12.0, *(bad(0, 9.0, episode=e) for e in (3, 1, 3, 1, 1)))
    assert many.level == 3, "those who were not there before do not lower it"


def test_trials_cannot_have_failed_faster_than_holds_can_have_passed() -> None:
    failed_s = trial_s() + 1.0
    liar = bad(0, 9.0, accused_s=failed_s, failed_trials=15)
    assert stands(failed_s, liar, bad(0, 10.0)).level == 2
    much_later_s = failed_s + 10_000.0
    late = stands(much_later_s, replace(liar, accused_s=much_later_s), bad(0, 10.0))
    assert late.level == 16


def test_holds_never_grow_beyond_the_longest() -> None:
    rows = (bad(0, 9.0, episode=15), bad(0, 10.0, episode=15))
    until_s = stands(12.0, *rows).until_s
    assert until_s is not None
    assert until_s <= 11.0 + POLICY.max_ejection_s


@given(st.floats(10.0, 2000.0), st.integers(1, 15), st.integers(0, 15), st.floats(9.0, 2000.0))
def test_a_course_ends_later_than_now_or_has_no_end(
    now_s: float, episode: int, failed_trials: int, accused_s: float
) -> None:
    first = bad(0, 9.0, episode=episode, failed_trials=failed_trials, accused_s=accused_s)
    found = stands(now_s, first, bad(0, 10.0, episode=episode))
    assert found.until_s is None or found.until_s > now_s
    assert (found.state is JudgementState.TRIAL) == (found.until_s is None)


def test_two_try_at_first_and_twice_as_many_each_two_seconds() -> None:
    trial = Trial(tuple(f"n{number}" for number in range(20)), 100.0)
    counts = [len(trial.trying(100.0 + step * TRIAL_STEP_S)) for step in range(6)]
    assert counts == [2, 4, 8, 16, 20, 20]
    assert trial.trying(99.9) == ()


def test_an_observer_is_woken_when_its_part_begins_and_when_its_caution_ends() -> None:
    trial = Trial(("n1", "n2", "n3"), 100.0)
    assert trial.next_step_s("n1", 99.0) == 100.0
    assert trial.next_step_s("n1", 100.0) == 100.0 + CAUTION_S
    assert trial.next_step_s("n1", 101.0) is None
    assert trial.next_step_s("n3", 100.0) == 100.0 + TRIAL_STEP_S
    assert trial.next_step_s("n9", 100.0) is None


def test_each_level_asks_other_observers_first_and_all_agree_on_the_order() -> None:
    rows = {f"n{number}": neutral() for number in range(30)}
    electorate = Electorate(Members.of(members(30)), rows)
    backwards = Electorate(Members.of(members(30)), reversed(list(rows)))
    assert trial_order(NAME, 1, electorate) == trial_order(NAME, 1, backwards)
    first = [trial_order(NAME, level, electorate)[:2] for level in range(1, 6)]
    assert len(set(itertools.chain(*first))) > 5


def test_of_one_address_one_observer_tries() -> None:
    observers = members(4)
    for node in ("n1", "n2"):
        observers[node] = replace(observers[node], address=observers["n0"].address)
    order = trial_order(NAME, 1, Electorate(Members.of(observers), observers))
    assert len(order) == 2
    assert "n3" in order


def test_endpoints_that_fell_together_do_not_return_together() -> None:
    two = votes(bad(0, 9.0), bad(0, 10.0))
    ends = {
        course((REVIEWS, place(number)), two, POLICY, STARTS_S, 12.0).until_s for number in range(9)
    }
    assert len(ends) == 9
