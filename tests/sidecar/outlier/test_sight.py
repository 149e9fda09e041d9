from __future__ import annotations

import math

from sidecar.outlier.model import Outcomes, Row, RowClass
from sidecar.outlier.sight import Phase, Sight
from tests.sidecar.outlier.builders import REVIEWS, place


def seen(*looks: Outcomes, step_s: float = 0.5) -> Sight:
    """A sight after these looks, classified by itself at each (never BAD)."""
    sight = Sight(0)
    for number, outcomes in enumerate(looks, 1):
        sight.count(outcomes, (number - 1) * step_s, number * step_s)
        sight.classify(number * step_s)
    return sight


def row(sight: Sight, now_s: float) -> Row:
    return sight.row(REVIEWS, place(0), now_s)


def test_failures_in_a_row_are_counted_over_looks_and_kinds() -> None:
    sight = seen(Outcomes(external=1), Outcomes(gateway=1), Outcomes(local=1))
    assert sight.run == 3
    assert sight.is_failing(3)
    assert not sight.is_failing(4)


def test_a_look_with_a_success_ends_the_run_since_the_order_within_it_is_not_known() -> None:
    sight = seen(Outcomes(external=4), Outcomes(ok=1, external=1))
    assert sight.run == 0
    assert not sight.is_failing(2)


def test_nearly_all_of_many_failing_is_bad_even_with_a_success() -> None:
    assert seen(Outcomes(ok=1, external=9)).is_failing(2)
    assert not seen(Outcomes(ok=2, external=8)).is_failing(2)
    assert not seen(Outcomes(ok=1, external=3)).is_failing(20), "too few to tell"


def test_a_row_of_failures_says_what_failed_since_they_began() -> None:
    sight = seen(Outcomes(ok=7), Outcomes(local=1), Outcomes(external=1))
    sight.accuse(1.5, episode=2)
    found = row(sight, 1.5)
    assert (found.ok, found.external, found.local) == (0, 1, 1)
    assert (found.first_failure_s, found.since_s, found.accused_s) == (0.5, 1.5, 1.5)
    assert (found.row_class, found.episode) == (RowClass.BAD, 2)


def test_an_accusation_by_share_dates_from_the_looks_that_it_counts() -> None:
    sight = seen(Outcomes(ok=9), Outcomes(ok=1, external=9), Outcomes(ok=1, external=9))
    sight.accuse(1.5, episode=1)
    found = row(sight, 1.5)
    assert found.first_failure_s == 0.5
    assert (found.ok, found.external) == (2, 18)


def test_a_failed_trial_renews_the_accusation_and_leaves_its_beginning() -> None:
    sight = seen(Outcomes(external=2))
    sight.accuse(0.5, episode=1)
    sight.accuse(31.0, episode=4, failed_trials=1)
    found = row(sight, 31.0)
    assert (found.since_s, found.accused_s, found.first_failure_s) == (0.5, 31.0, 0.0)
    assert (found.episode, found.failed_trials) == (1, 1)


def test_successes_make_it_clear_and_many_failures_among_them_do_not() -> None:
    assert seen(Outcomes(ok=1)).row_class is RowClass.CLEAR
    assert seen(Outcomes(ok=8, external=2)).row_class is RowClass.CLEAR
    assert seen(Outcomes(ok=7, external=3)).row_class is RowClass.NEUTRAL
    assert seen(Outcomes(ok=9), Outcomes(external=1)).row_class is RowClass.NEUTRAL


def test_clear_fades_with_the_window() -> None:
    sight = seen(Outcomes(ok=1))
    sight.classify(20.0)
    assert sight.row_class is RowClass.NEUTRAL
    assert sight.last_ok_s == 0.0


def test_a_success_counts_from_the_beginning_of_its_look() -> None:
    assert row(seen(Outcomes(ok=1), Outcomes(ok=1)), 1.0).last_ok_s == 0.5


def test_a_clear_row_says_since_when_it_is_good_and_errors_of_everyday_do_not_change_that() -> None:
    sight = seen(Outcomes(ok=9), Outcomes(external=1), Outcomes(ok=9))
    assert row(sight, 1.5).since_s == 0.5


def test_holding_back_makes_it_begin_anew_but_keeps_its_class() -> None:
    sight = seen(Outcomes(external=2))
    sight.accuse(0.5, episode=1)
    sight.enter(Phase.HELD, 1.0)
    sight.enter(Phase.TRYING, 31.0)
    assert (sight.run, sight.ok_run) == (0, 0)
    assert row(sight, 31.0).row_class is RowClass.BAD
    assert row(sight, 31.0).external == 2
    assert sight.last_attempt_s == 31.0


def test_who_tries_is_clear_only_after_three_successes() -> None:
    sight = Sight(0)
    sight.enter(Phase.HELD, 0.0)
    sight.enter(Phase.TRYING, 30.0)
    classes = []
    for number in range(3):
        sight.count(Outcomes(ok=1), 30.0 + number, 30.5 + number)
        sight.classify(30.5 + number)
        classes.append(sight.row_class)
    assert classes == [RowClass.NEUTRAL, RowClass.NEUTRAL, RowClass.CLEAR]
    assert row(sight, 33.0).since_s == 30.5, "good since the trial, not since before"


def test_a_trial_fails_by_two_failures_in_a_row_or_half_of_a_look() -> None:
    trying = Sight(0, phase=Phase.TRYING)
    trying.count(Outcomes(external=1), 0.0, 0.5)
    assert not trying.fails_trial()
    trying.count(Outcomes(external=1), 0.5, 1.0)
    assert trying.fails_trial()
    mixed = Sight(0, phase=Phase.TRYING)
    mixed.count(Outcomes(ok=2, external=1), 0.0, 0.5)
    assert not mixed.fails_trial()
    mixed.count(Outcomes(ok=2, external=2), 0.5, 1.0)
    assert mixed.fails_trial()


def test_a_retired_accusation_leaves_successes_that_answered_it() -> None:
    sight = seen(Outcomes(external=2))
    sight.accuse(0.5, episode=1)
    sight.count(Outcomes(ok=2), 31.0, 31.5)
    sight.retire(32.0)
    found = row(sight, 32.0)
    assert found.row_class is not RowClass.BAD
    assert (found.ok_run, found.last_ok_s, found.since_s) == (2, 31.0, -math.inf)
    assert not sight.is_failing(1)
