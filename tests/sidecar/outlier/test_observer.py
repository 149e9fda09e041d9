from __future__ import annotations

from dataclasses import replace

from sidecar.outlier.events import EndpointName
from sidecar.outlier.model import Destination, DestinationFacts, EjectionPolicy, Outcomes, RowClass
from sidecar.outlier.observer import ACTIVE_S, Observer
from sidecar.outlier.sight import Phase
from tests.sidecar.outlier.builders import FINE, FIVE_XX, RATINGS, REVIEWS, facts, place

NAME = (REVIEWS, place(0))


def observer(found: dict[Destination, DestinationFacts] | None = None) -> Observer:
    one = Observer()
    one.learn_facts(found or {REVIEWS: facts()})
    return one


def looks(
    one: Observer, *outcomes: Outcomes, name: EndpointName = NAME, start_s: float = 0.0
) -> float:
    """Looks each half second, all of the one endpoint; when the last one was."""
    now_s = start_s
    for found in outcomes:
        now_s += 0.5
        one.count({name: found}, now_s)
    return now_s


def class_of(one: Observer, now_s: float, name: EndpointName = NAME) -> RowClass | None:
    row = one.row(name, now_s)
    return None if row is None else row.row_class


def test_failures_in_a_row_accuse_and_a_success_takes_it_back() -> None:
    one = observer()
    looks(one, Outcomes(external=1))
    assert class_of(one, 0.5) is RowClass.NEUTRAL
    looks(one, Outcomes(external=1), start_s=0.5)
    assert class_of(one, 1.0) is RowClass.BAD
    assert one.accused() == {NAME}
    looks(one, Outcomes(ok=9), start_s=1.0)
    assert class_of(one, 1.5) is RowClass.CLEAR
    assert one.accused() == set()


def test_the_policy_says_how_many() -> None:
    one = observer({REVIEWS: facts(4, EjectionPolicy(failures=4))})
    looks(one, Outcomes(external=3))
    assert one.accused() == set()
    looks(one, Outcomes(external=1), start_s=0.5)
    assert one.accused() == {NAME}


def test_where_errors_are_everyday_it_takes_three() -> None:
    one = observer()
    now_s = looks(one, *([Outcomes(ok=20, external=1)] * 4), name=(REVIEWS, place(1)))
    looks(one, Outcomes(external=2), start_s=now_s)
    assert one.accused() == set()
    looks(one, Outcomes(external=1), start_s=now_s + 0.5)
    assert one.accused() == {NAME}


def test_failures_of_an_endpoint_that_falls_are_no_errors_of_everyday() -> None:
    one = observer()
    now_s = looks(one, Outcomes(ok=10), name=(REVIEWS, place(1)))
    now_s = looks(one, *([Outcomes(external=1)] * 9), name=(REVIEWS, place(1)), start_s=now_s)
    looks(one, FIVE_XX, start_s=now_s)
    assert NAME in one.accused()


def test_what_is_ejected_by_our_own_envoy_stays_as_it_was() -> None:
    one = observer()
    now_s = looks(one, FIVE_XX)
    one.learn_local(frozenset({NAME}), now_s)
    now_s = looks(one, FINE, FINE, start_s=now_s)
    assert class_of(one, now_s) is RowClass.BAD
    assert class_of(one, now_s + 1000) is RowClass.BAD
    assert one.deadline() is None
    one.learn_local(frozenset(), now_s + 1000)
    assert one.deadline() == now_s + 1000 + ACTIVE_S


def test_what_ends_just_after_a_change_was_begun_before_it() -> None:
    one = observer()
    now_s = looks(one, FIVE_XX)
    one.learn_local(frozenset({NAME}), now_s)
    one.learn_local(frozenset(), now_s + 30)
    one.count({NAME: FINE}, now_s + 30.5)
    assert class_of(one, now_s + 30.5) is RowClass.BAD
    one.count({NAME: FINE}, now_s + 31.0)
    assert class_of(one, now_s + 31.0) is RowClass.CLEAR


def test_the_first_look_long_after_a_change_counts() -> None:
    one = observer()
    now_s = looks(one, FIVE_XX)
    one.learn_phase(NAME, Phase.HELD, now_s)
    one.learn_phase(NAME, Phase.TRYING, now_s + 30)
    one.count({NAME: Outcomes(ok=3)}, now_s + 35)
    assert class_of(one, now_s + 35) is RowClass.CLEAR


def test_what_is_kept_from_requests_is_not_judged_by_those_that_still_end() -> None:
    one = observer()
    now_s = looks(one, FIVE_XX)
    one.learn_phase(NAME, Phase.HELD, now_s)
    looks(one, FINE, FINE, FINE, start_s=now_s + 5)
    assert class_of(one, now_s + 10) is RowClass.BAD


def test_only_a_success_ends_an_accusation_also_after_a_hold() -> None:
    one = observer()
    now_s = looks(one, FIVE_XX)
    one.learn_phase(NAME, Phase.HELD, now_s)
    one.learn_phase(NAME, Phase.FREE, now_s + 10)
    now_s = looks(one, Outcomes(external=1), start_s=now_s + 12)
    assert class_of(one, now_s) is RowClass.BAD
    now_s = looks(one, FINE, start_s=now_s)
    assert class_of(one, now_s) is RowClass.CLEAR


def test_a_trial_that_fails_renews_the_accusation_and_counts_up() -> None:
    one = observer()
    now_s = looks(one, FIVE_XX)
    one.learn_level(NAME, 1, 0, now_s)
    for number in (1, 2):
        one.learn_phase(NAME, Phase.HELD, now_s)
        one.learn_phase(NAME, Phase.TRYING, now_s + 30)
        now_s = looks(one, FIVE_XX, start_s=now_s + 35)
        row = one.row(NAME, now_s)
        assert row is not None
        assert (row.accused_s, row.failed_trials, row.since_s) == (now_s, number, 0.5)
        one.learn_level(NAME, 1 + number, number, now_s)


def test_who_tries_without_having_accused_accuses_when_it_fails() -> None:
    one = observer()
    looks(one, FINE)
    one.learn_phase(NAME, Phase.HELD, 1.0)
    one.learn_phase(NAME, Phase.TRYING, 30.0)
    looks(one, Outcomes(external=1), start_s=35.0)
    assert one.accused() == set()
    looks(one, Outcomes(external=1), start_s=35.5)
    assert one.accused() == {NAME}


def test_an_accusation_asks_for_one_level_more_than_the_last_less_for_health() -> None:
    one = observer()
    one.learn_level(NAME, 3, 0, 100.0)
    for healthy_s, level in ((5.0, 4), (35.0, 3), (95.0, 1), (1000.0, 1)):
        fresh = observer()
        fresh.learn_level(NAME, 3, 0, 100.0)
        now_s = looks(fresh, FIVE_XX, start_s=100.0 + healthy_s)
        row = fresh.row(NAME, now_s)
        assert row is not None
        assert row.episode == level, healthy_s


def test_an_accusation_that_nothing_renews_is_dropped_although_requests_may_go_there() -> None:
    one = observer()
    now_s = looks(one, FIVE_XX)
    assert one.deadline() == now_s + ACTIVE_S
    assert one.drop_silent(now_s + ACTIVE_S - 1) == set()
    assert one.drop_silent(now_s + ACTIVE_S) == {NAME}
    assert one.deadline() is None
    assert one.accused() == set()


def test_an_answered_accusation_is_retired_unless_our_own_envoy_shares_it() -> None:
    one = observer()
    now_s = looks(one, FIVE_XX)
    one.learn_local(frozenset({NAME}), now_s)
    assert not one.retire(NAME, now_s)
    assert one.retire(NAME, now_s, even_local=True)
    assert not one.retire(NAME, now_s)
    assert one.accused() == set()


def test_another_workload_at_the_same_address_starts_without_a_past() -> None:
    one = observer()
    looks(one, FIVE_XX)
    found = facts()
    reused = replace(found.endpoints[0], generation=99)
    one.learn_facts({REVIEWS: replace(found, endpoints=(reused, *found.endpoints[1:]))})
    assert one.accused() == set()
    row = one.row(NAME, 1.0)
    assert row is not None
    assert (row.row_class, row.generation) == (RowClass.NEUTRAL, 99)


def test_a_destination_that_we_do_not_use_is_none_of_our_business() -> None:
    one = observer()
    assert one.row(NAME, 0.0) is None
    looks(one, FINE, name=(REVIEWS, place(1)))
    assert class_of(one, 1.0) is RowClass.NEUTRAL, "we use the destination, not the endpoint"
    assert one.row(NAME, 1.0 + ACTIVE_S) is None
    assert one.row((REVIEWS, place(99)), 1.0) is None
    assert one.row((RATINGS, place(0)), 1.0) is None


def test_outcomes_of_unknown_endpoints_and_empty_ones_change_nothing() -> None:
    one = observer()
    assert one.count({(RATINGS, place(0)): FIVE_XX, NAME: Outcomes()}, 1.0) == set()
    one.learn_phase((RATINGS, place(0)), Phase.HELD, 1.0)
    assert one.phase((RATINGS, place(0))) is Phase.FREE


def test_when_most_of_what_we_talk_to_fails_it_is_us() -> None:
    one = observer({REVIEWS: facts(), RATINGS: facts()})
    for number in range(4):
        one.count({(REVIEWS, place(number)): FIVE_XX, (RATINGS, place(number)): FINE}, 1.0)
    assert not one.is_sick(1.0, ()), "one destination may be sick as a whole"
    one.count({(RATINGS, place(0)): FIVE_XX}, 1.5)
    assert one.is_sick(1.5, ())
    agreed = [(REVIEWS, place(number)) for number in range(4)]
    assert not one.is_sick(1.5, agreed), "what the mesh agrees on is no fault of ours"


def test_a_few_failures_at_two_destinations_do_not_make_us_sick() -> None:
    one = observer({REVIEWS: facts(), RATINGS: facts()})
    for number in range(4):
        fate = FIVE_XX if number == 0 else FINE
        one.count({(REVIEWS, place(number)): fate, (RATINGS, place(number)): fate}, 1.0)
    assert len(one.accused()) == 2
    assert not one.is_sick(1.0, ())


def on_trial() -> tuple[Observer, float]:
    """One that was ejected and that we try now; and the time."""
    one = observer()
    now_s = looks(one, FIVE_XX)
    one.learn_level(NAME, 1, 0, now_s)
    one.learn_phase(NAME, Phase.HELD, now_s)
    one.learn_phase(NAME, Phase.TRYING, now_s + 30)
    return one, now_s + 35


def test_a_trial_that_failed_once_fails_when_our_envoy_gives_it_up() -> None:
    one, now_s = on_trial()
    now_s = looks(one, Outcomes(external=1), start_s=now_s)
    row = one.row(NAME, now_s)
    assert row is not None
    assert row.failed_trials == 0, "one failure decides nothing"
    assert one.learn_local(frozenset({NAME}), now_s) == {NAME}
    row = one.row(NAME, now_s)
    assert row is not None
    assert (row.failed_trials, row.accused_s) == (1, now_s)


def test_what_our_envoy_gives_up_without_a_failure_in_the_trial_decides_nothing() -> None:
    one, now_s = on_trial()
    assert one.learn_local(frozenset({NAME}), now_s) == set()
