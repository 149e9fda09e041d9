"""The core as a whole: a few of them, hearing each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip.records import Topic
from sidecar.outlier.events import (
    DestinationsSeen,
    Imposed,
    ObserversSeen,
    OperatorSaid,
    OutcomesCounted,
    Override,
    OverrideKind,
    RecordHeard,
    Say,
    TimePassed,
    VerdictChanged,
)
from sidecar.outlier.model import Outcomes, Place, RowClass
from sidecar.outlier.outlier import Outlier
from sidecar.outlier.view import EndpointView, JudgementState, Reason
from store.errors import InputError
from tests.sidecar.outlier.builders import (
    FINE,
    FIVE_XX,
    RATINGS,
    REVIEWS,
    bad,
    clear,
    facts,
    members,
    place,
    record,
)
from tests.sidecar.outlier.lockstep import Lockstep

NAME = (REVIEWS, place(0))
LIFETIME_S = 15.0


def all_well(node: str, at: Place) -> Outcomes:
    return FINE


def first_fails(node: str, at: Place) -> Outcomes:
    return FIVE_XX if at == place(0) else FINE


def fails_for(*nodes: str) -> object:
    return lambda node, at: FIVE_XX if at == place(0) and node in nodes else FINE


def endpoint(mesh: Lockstep, node: str = "n0") -> EndpointView:
    (found,) = mesh.cores[node].view(mesh.now_s).endpoints
    return found


def ejected(number: int = 4) -> Lockstep:
    """A mesh that has just ejected an endpoint."""
    mesh = Lockstep(number)
    mesh.run(5.0, all_well)
    mesh.run(3.0, first_fails)
    assert mesh.ejecting(NAME) == set(mesh.cores)
    return mesh


def test_where_all_is_well_nobody_speaks_and_no_timer_runs() -> None:
    mesh = Lockstep(5)
    mesh.run(30.0, all_well)
    assert mesh.said == []
    assert mesh.verdicts == []
    assert {core.deadline() for core in mesh.cores.values()} == {None}


def test_what_enough_see_fail_all_eject_and_say_why() -> None:
    mesh = ejected()
    found = endpoint(mesh)
    assert (found.state, found.reason, found.imposed) == (
        JudgementState.EJECTED,
        Reason.QUORUM,
        Imposed.EJECTED,
    )
    assert (found.accusing, found.quorum, found.users, found.level) == (4, 2, 4, 1)
    assert {witness.node for witness in found.witnesses} == set(mesh.cores)
    assert {witness.row_class for witness in found.witnesses} == {RowClass.BAD}
    lines = [line for node, line in mesh.verdicts if node == "n3" and line.verdict == "ejected"]
    (line,) = lines
    assert (line.place, line.reason) == (place(0), "quorum")
    assert line.facts["accusing"] == 4
    observers = line.facts["observers"]
    assert isinstance(observers, list)
    assert {one["node"] for one in observers} == set(mesh.cores)
    assert all(one["external"] >= 2 and one["class"] == "bad" for one in observers)


def test_what_one_host_alone_sees_fail_stays_and_it_says_why_not() -> None:
    mesh = Lockstep(4)
    mesh.run(10.0, fails_for("n1"))  # type: ignore[arg-type]
    assert mesh.ejecting(NAME) == set()
    found = endpoint(mesh)
    assert (found.state, found.reason) == (JudgementState.WITHHELD, Reason.QUORUM)
    assert found.detail == "1 accuse it, 2 must, of 4 who use it"


def test_a_late_joiner_that_is_told_the_newest_rows_agrees_with_all_others() -> None:
    mesh = ejected(6)
    mesh.run(4.0, first_fails)
    late = Outlier("n9", 1)
    late.handle(DestinationsSeen(mesh.facts), 500.0)
    late.handle(ObserversSeen({**mesh.observers, "n9": members(10)["n9"]}), 500.0)
    for one in mesh.newest():
        late.handle(RecordHeard(one), 500.0)
    (found,) = late.view(500.0).endpoints
    there = endpoint(mesh)
    assert (found.state, found.reason, found.level, found.imposed) == (
        there.state,
        there.reason,
        there.level,
        Imposed.EJECTED,
    )
    assert found.until_s is not None
    assert there.until_s is not None
    assert found.until_s - 500.0 == pytest.approx(there.until_s - mesh.now_s, abs=0.01)


def test_a_healed_endpoint_is_tried_by_few_and_returns_everywhere_and_silence_follows() -> None:
    mesh = ejected(8)
    tried = set()
    while mesh.ejecting(NAME) or mesh.now_s < 20.0:
        mesh.run(0.5, all_well)
        tried |= {
            one.trying
            for one in mesh.cores["n0"].view(mesh.now_s).endpoints
            if one.state is JudgementState.TRIAL
        }
        assert mesh.now_s < 60.0
    assert len(min(tried, key=len)) == 2
    assert {line.verdict for _, line in mesh.verdicts} == {"ejected", "trial", "restored"}
    assert {line.reason for _, line in mesh.verdicts if line.verdict == "restored"} == {"recovered"}
    mesh.run(20.0, all_well)
    assert {core.deadline() for core in mesh.cores.values()} == {None}
    assert all(core.view().rows_said == core.view().rows_held == 0 for core in mesh.cores.values())


def test_what_fails_its_trial_is_ejected_again_for_longer() -> None:
    mesh = ejected()
    mesh.run(45.0, first_fails)
    found = endpoint(mesh)
    assert (found.state, found.reason, found.level) == (
        JudgementState.EJECTED,
        Reason.TRIAL_FAILED,
        2,
    )
    mesh.run(80.0, first_fails)
    assert endpoint(mesh).level == 3


def test_who_falls_again_soon_after_its_return_is_ejected_for_longer() -> None:
    mesh = ejected()
    mesh.run(40.0, all_well)
    assert mesh.ejecting(NAME) == set()
    mesh.run(4.0, first_fails)
    assert endpoint(mesh).level == 2


def test_successes_of_others_take_a_wrong_ejection_back_at_once() -> None:
    mesh = Lockstep(6)
    mesh.cut = {"n2", "n3", "n4", "n5"}
    mesh.run(4.0, fails_for("n0", "n1"))  # type: ignore[arg-type]
    assert mesh.ejecting(NAME) == {"n0", "n1"}
    mesh.cut = set()
    for one in mesh.newest():
        for node in mesh.cores:
            if node != one.node:
                mesh.tell(node, RecordHeard(one))
    mesh.run(1.0, fails_for("n0", "n1"))  # type: ignore[arg-type]
    assert mesh.ejecting(NAME) == set()
    assert "counter_evidence" in {line.reason for _, line in mesh.verdicts}


def test_an_ejection_dies_with_its_evidence() -> None:
    mesh = ejected()
    mesh.cut = {"n3"}
    mesh.run(LIFETIME_S + 1.0, first_fails)
    assert "n3" not in mesh.ejecting(NAME)
    ended = [line.reason for node, line in mesh.verdicts if node == "n3"]
    assert ended[-1] == "evidence_died"


def test_accusers_that_die_take_their_votes_with_them_at_once() -> None:
    mesh = ejected()
    gone = {node: replace(one, counts=node == "n0") for node, one in mesh.observers.items()}
    mesh.tell("n0", ObserversSeen(gone))
    assert "n0" not in mesh.ejecting(NAME)
    assert endpoint(mesh).reason is Reason.ALONE


def test_our_own_envoys_ejection_keeps_our_row_as_it_was_and_silence_does_not_clear_it() -> None:
    mesh = Lockstep(3)
    mesh.run(2.0, fails_for("n0"))  # type: ignore[arg-type]
    mesh.locally("n0", NAME)
    mesh.run(100.0, all_well)
    (witness,) = [one for one in endpoint(mesh).witnesses if one.node == "n0"]
    assert witness.row_class is RowClass.BAD
    assert endpoint(mesh).locally_ejected


def test_a_pin_said_anywhere_holds_everywhere_until_it_runs_out() -> None:
    mesh = ejected()
    mesh.tell("n2", OperatorSaid(Override(OverrideKind.PIN, REVIEWS, place(0), 20.0, "test")))
    assert mesh.ejecting(NAME) == set()
    assert endpoint(mesh).reason is Reason.PINNED
    assert [one.node for one in mesh.cores["n0"].view().overrides] == ["n2"]
    mesh.run(10.0, first_fails)
    assert mesh.ejecting(NAME) == set()
    mesh.run(15.0, first_fails)
    assert mesh.ejecting(NAME) != set()


def test_a_pause_ends_all_ejections_and_can_be_taken_back() -> None:
    mesh = ejected()
    pause = Override(OverrideKind.PAUSE, None, None, 600.0)
    mesh.tell("n1", OperatorSaid(pause))
    assert mesh.ejecting(NAME) == set()
    mesh.tell("n1", OperatorSaid(replace(pause, for_s=0.0)))
    assert mesh.ejecting(NAME) == set(mesh.cores)


def test_a_clear_ends_the_ejection_and_what_fails_after_it_counts_anew() -> None:
    mesh = ejected()
    mesh.tell("n1", OperatorSaid(Override(OverrideKind.CLEAR, REVIEWS, place(0), 60.0)))
    assert mesh.ejecting(NAME) == set()
    mesh.run(3.0, all_well)
    assert mesh.ejecting(NAME) == set()
    mesh.run(4.0, first_fails)
    assert mesh.ejecting(NAME) == set(mesh.cores)
    assert endpoint(mesh).level == 1, "ejections of before are forgotten as well"


def test_an_operators_word_that_cannot_hold_changes_nothing() -> None:
    mesh = Lockstep(2)
    with pytest.raises(InputError):
        mesh.tell("n0", OperatorSaid(Override(OverrideKind.PIN, None, None, 60.0)))
    assert mesh.said == []
    assert mesh.cores["n0"].view().overrides == ()


def test_another_workload_at_the_address_starts_with_a_clean_sheet() -> None:
    mesh = ejected()
    found = mesh.facts[REVIEWS]
    reused = replace(found.endpoints[0], generation=99)
    mesh.facts = {REVIEWS: replace(found, endpoints=(reused, *found.endpoints[1:]))}
    mesh.everywhere(DestinationsSeen(mesh.facts))
    assert mesh.ejecting(NAME) == set()
    assert mesh.cores["n0"].view().endpoints == ()


def test_a_destination_that_takes_no_part_any_more_is_let_go() -> None:
    mesh = ejected()
    mesh.tell("n0", DestinationsSeen({}))
    assert "n0" not in mesh.ejecting(NAME)
    ended = [line.reason for node, line in mesh.verdicts if node == "n0"]
    assert ended[-1] == "unknown"
    assert mesh.cores["n0"].view().endpoints == ()


def test_who_is_sick_itself_accuses_nobody() -> None:
    mesh = Lockstep(3)
    mesh.facts = {REVIEWS: facts(), RATINGS: facts()}
    mesh.everywhere(DestinationsSeen(mesh.facts))
    mesh.run(5.0, all_well)
    mesh.run(5.0, lambda node, at: FIVE_XX if node == "n1" else FINE)
    assert mesh.cores["n1"].view().self_sick
    assert not [one for one in mesh.newest() if one.node == "n1" and one.body]
    assert all(not core.view().endpoints for core in mesh.cores.values())


def test_who_accuses_what_others_succeed_with_is_ignored_and_it_is_shown() -> None:
    mesh = Lockstep(5)
    mesh.run(6.0, lambda node, at: FIVE_XX if node == "n4" else FINE)
    view = mesh.cores["n0"].view(mesh.now_s)
    assert view.ignored_observers == ("n4",)
    assert {one.reason for one in view.endpoints} == {Reason.CONTRADICTED}
    (lie,) = {one.ignored for each in view.endpoints for one in each.witnesses if one.node == "n4"}
    assert lie is Reason.CONTRADICTED


def test_nothing_new_has_no_effects() -> None:
    mesh = ejected()
    assert mesh.look("n0", first_fails) == []
    assert mesh.tell("n0", TimePassed()) == []
    assert mesh.tell("n0", ObserversSeen(mesh.observers)) == []
    assert mesh.tell("n0", DestinationsSeen(mesh.facts)) == []


def test_a_joiner_that_uses_the_destination_answers_an_accusation_and_others_do_not() -> None:
    user, idler = Outlier("n0"), Outlier("n1")
    for core in (user, idler):
        core.handle(DestinationsSeen({REVIEWS: facts()}), 0.0)
        core.handle(ObserversSeen(members(4)), 0.0)
    user.handle(OutcomesCounted({(REVIEWS, place(2)): FINE}), 0.5)
    heard = RecordHeard(record("n3", bad(0, 1.0), now_s=1.0))
    assert [type(one) for one in user.handle(heard, 1.0)] == [Say]
    assert idler.handle(heard, 1.0) == []


def test_in_a_large_mesh_one_accuser_is_not_worth_an_answer_by_everybody() -> None:
    user = Outlier("n0")
    user.handle(DestinationsSeen({REVIEWS: facts()}), 0.0)
    user.handle(ObserversSeen(members(30)), 0.0)
    user.handle(OutcomesCounted({NAME: FINE}), 0.5)
    assert user.handle(RecordHeard(record("n3", bad(0, 1.0), now_s=1.0)), 1.0) == []
    second = user.handle(RecordHeard(record("n4", bad(0, 1.0), now_s=1.0)), 1.0)
    assert [type(one) for one in second] == [Say]


def test_records_in_any_order_and_number_lead_to_the_same_judgement() -> None:
    rows = [record(f"n{number}", bad(0, 1.0 + number / 10), now_s=3.0) for number in range(1, 5)]
    rows += [record("n5", clear(0, 0.2), now_s=3.0), record("n6", clear(0, 0.0), now_s=3.0)]
    views = []
    for order in (rows, rows[::-1], rows[2:] + rows + rows[:2]):
        core = Outlier("n0")
        core.handle(DestinationsSeen({REVIEWS: facts()}), 3.0)
        core.handle(ObserversSeen(members(9)), 3.0)
        for one in order:
            core.handle(RecordHeard(one), 3.0)
        views.append(core.view(3.0).endpoints)
    assert views[0] == views[1] == views[2]
    assert views[0][0].state is JudgementState.EJECTED


def test_what_we_said_ourselves_is_no_news_to_us() -> None:
    core = Outlier("n0", 5)
    core.handle(DestinationsSeen({REVIEWS: facts()}), 0.0)
    assert core.handle(RecordHeard(record("n0", bad(0), now_s=0.0)), 0.0) == []
    assert core.view().rows_held == 0


@given(st.binary(max_size=720), st.sampled_from(Topic), st.integers(-1, 9), st.integers(-5, 10**9))
def test_whatever_a_host_says_it_never_raises(
    body: bytes, topic: Topic, page: int, age_ms: int
) -> None:
    core = Outlier("n0")
    core.handle(DestinationsSeen({REVIEWS: facts()}), 100.0)
    core.handle(ObserversSeen(members(4)), 100.0)
    said = record("n1", bad(0, 100.0), now_s=100.0)
    core.handle(RecordHeard(said), 100.0)
    hostile = replace(said, body=body, topic=topic, page=page, version=2, age_ms=age_ms)
    effects = core.handle(RecordHeard(hostile), 100.0)
    assert not any(isinstance(one, VerdictChanged) and one.verdict == "ejected" for one in effects)
    core.view(101.0)


def test_what_envoy_ejects_by_itself_makes_the_mesh_spare_others_and_says_so() -> None:
    mesh = ejected()
    mesh.locally("n0", (REVIEWS, place(1)), (REVIEWS, place(2)))
    assert "n0" not in mesh.ejecting(NAME)
    assert mesh.ejecting(NAME) == set(mesh.cores) - {"n0"}
    views = {one.place: one for one in mesh.cores["n0"].view().endpoints}
    assert views[place(0)].state is JudgementState.EJECTED
    assert views[place(0)].detail.startswith("spared here")
    assert (views[place(1)].state, views[place(1)].locally_ejected) == (None, True)


def test_on_trial_it_says_who_tries() -> None:
    mesh = ejected(8)
    while endpoint(mesh).state is JudgementState.EJECTED:
        mesh.run(0.5, all_well)
    found = endpoint(mesh)
    assert (found.state, found.reason, found.detail) == (
        JudgementState.TRIAL,
        Reason.HOLD_OVER,
        "the hold is over",
    )
    assert len(found.trying) == 2
    assert found.until_s is None


def test_each_reason_not_to_eject_is_said_in_words() -> None:
    found = facts(4)
    some = facts(4, replace(found.policy, same_locality=True))
    mesh = Lockstep(4, some)
    zones = members(4, zones=4)
    mesh.everywhere(ObserversSeen(zones))
    mesh.run(5.0, all_well)
    mesh.run(4.0, first_fails)
    lone = endpoint(mesh)
    assert (lone.reason, "Envoy's own detector" in lone.detail) == (Reason.ALONE, True)
    assert {one.node: one.ignored for one in lone.witnesses} == {
        "n0": None,
        "n1": Reason.NOT_COUNTING,
        "n2": Reason.NOT_COUNTING,
        "n3": Reason.NOT_COUNTING,
    }


def test_a_row_about_another_workload_is_shown_as_such() -> None:
    core = Outlier("n0")
    core.handle(DestinationsSeen({REVIEWS: facts()}), 0.0)
    core.handle(ObserversSeen(members(4)), 0.0)
    core.handle(RecordHeard(record("n1", bad(0, 0.0), now_s=0.0)), 0.0)
    core.handle(RecordHeard(record("n2", bad(0, 0.0, generation=7), now_s=0.0)), 0.0)
    (found,) = core.view(0.0).endpoints
    assert {one.node: one.ignored for one in found.witnesses} == {"n1": None, "n2": Reason.UNKNOWN}


def test_in_a_mesh_of_many_two_accusers_wait_until_others_may_have_answered() -> None:
    core = Outlier("n0")
    core.handle(DestinationsSeen({REVIEWS: facts()}), 0.0)
    core.handle(ObserversSeen(members(30)), 0.0)
    for node in ("n1", "n2"):  # backdated: what a row says of the past does not shorten the wait
        core.handle(RecordHeard(record(node, bad(0, 0.0), now_s=60.0)), 60.0)
    assert core.view(60.0).endpoints[0].state is JudgementState.PENDING
    due_s = core.deadline()
    assert due_s == 62.0
    core.handle(TimePassed(), due_s)
    assert core.view(due_s).endpoints[0].state is not JudgementState.PENDING


def test_a_clock_that_stands_or_steps_back_harms_nothing() -> None:
    mesh = ejected()
    mesh.now_s -= 5.0
    assert mesh.tell("n0", TimePassed()) == []
    assert mesh.ejecting(NAME) == set(mesh.cores)
