from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.model import Locality
from sidecar.outlier.model import EjectionPolicy, Observer, Row
from sidecar.outlier.view import Reason
from sidecar.outlier.votes import ANSWERS_S, Electorate, Members, Poll, hold_s, poll
from tests.sidecar.outlier.builders import bad, clear, members, neutral

NEVER = float("-inf")


def voted(
    rows: dict[str, Row],
    observers: dict[str, Observer] | None = None,
    policy: EjectionPolicy | None = None,
    cleared_s: float = NEVER,
) -> Poll:
    """The poll about an endpoint when these rows are all rows of its destination."""
    electorate = Electorate(Members.of(observers or members(9)), rows)
    return poll(rows, electorate, policy or EjectionPolicy(), cleared_s)


def users(number: int, start: int = 0) -> dict[str, Row]:
    return {f"n{index}": neutral() for index in range(start, start + number)}


def test_two_of_few_and_three_of_many_must_accuse() -> None:
    assert voted({**users(9), "n0": bad(), "n1": bad()}).reason is None
    many = members(10)
    assert voted({**users(10), "n0": bad(), "n1": bad()}, many).reason is Reason.QUORUM
    assert voted({**users(10), "n0": bad(), "n1": bad(), "n2": bad()}, many).reason is None


def test_a_policy_may_ask_for_more_or_fewer() -> None:
    rows = {**users(9), "n0": bad(), "n1": bad()}
    assert voted(rows, policy=EjectionPolicy(quorum=3)).reason is Reason.QUORUM
    assert voted({**users(9), "n0": bad()}, policy=EjectionPolicy(quorum=1)).reason is None


def test_hosts_of_one_address_have_one_vote() -> None:
    observers = members(3)
    observers["n1"] = replace(observers["n1"], address=observers["n0"].address)
    found = voted({"n0": bad(), "n1": bad(), "n2": neutral()}, observers)
    assert (found.reason, len(found.accusing), found.users) == (Reason.QUORUM, 1, 2)


def test_who_is_not_held_alive_or_not_believed_has_none() -> None:
    observers = members(4)
    observers["n1"] = replace(observers["n1"], counts=False)
    rows = {"n0": bad(), "n1": bad(), "n2": bad(), "stranger": bad()}
    electorate = Electorate(Members.of(observers, frozenset({"n2"})), rows)
    found = poll(rows, electorate, EjectionPolicy(), NEVER)
    assert [vote.voter for vote in found.accusing] == [observers["n0"].address]


def test_without_anybody_else_the_mesh_says_nothing() -> None:
    assert voted({"n0": bad()}, members(1)).reason is Reason.ALONE
    assert voted({"n0": bad()}, members(2)).reason is Reason.QUORUM
    rule = EjectionPolicy(quorum=1)
    assert voted({"n0": bad()}, members(1), rule).reason is Reason.ALONE


def test_no_answer_at_all_takes_one_accuser_more_unless_all_agree() -> None:
    local = bad(0, external=0, local=2)
    assert voted({**users(5), "n0": local, "n1": local}).reason is Reason.LOCAL_ORIGIN
    assert voted({**users(5), "n0": local, "n1": bad()}).reason is None
    assert voted({**users(5), "n0": local, "n1": local, "n2": local}).reason is None
    assert voted({"n0": local, "n1": local}).reason is None, "both users of two"


def test_successes_after_the_failures_began_speak_for_it() -> None:
    accusing = {"n0": bad(0, 10.0), "n1": bad(0, 10.0)}
    two = {"n2": clear(0, 9.5), "n3": clear(0, 9.5)}
    found = voted({**accusing, **two})
    assert (found.reason, found.opposing) == (Reason.COUNTER_EVIDENCE, 2)
    one = voted({**accusing, "n2": clear(0, 9.5)})
    assert (one.reason, one.opposing) == (None, 1)


def test_successes_from_before_the_failures_say_nothing() -> None:
    accusing = {"n0": bad(0, 10.0), "n1": bad(0, 10.0)}
    found = voted({**accusing, "n2": clear(0, 8.9), "n3": clear(0, 8.9), "n4": clear(0, 8.9)})
    assert (found.reason, found.opposing) == (None, 0)


def test_an_error_of_everyday_just_before_the_fall_does_not_make_old_successes_count() -> None:
    early = bad(0, 10.0, first_failure_s=3.0)
    accusing = {"n0": early, "n1": bad(0, 10.0), "n2": bad(0, 10.0)}
    before = {f"n{number}": clear(0, 6.0) for number in range(3, 9)}
    assert voted({**accusing, **before}).opposing == 0


def test_full_agreement_suffers_no_opposition() -> None:
    rows = {**{f"n{number}": bad(0, 10.0) for number in range(8)}, "n8": clear(0, 11.0)}
    assert voted(rows, policy=EjectionPolicy(agreement=1.0)).reason is Reason.COUNTER_EVIDENCE
    del rows["n8"]
    assert voted(rows, policy=EjectionPolicy(agreement=1.0)).reason is None


def test_the_quorum_came_about_with_the_accusation_that_made_it() -> None:
    rows = {"n0": bad(0, 10.0), "n1": bad(0, 12.0), "n2": bad(0, 17.0), "n3": neutral()}
    assert voted(rows).quorum_s == 12.0
    assert voted(rows, policy=EjectionPolicy(quorum=3)).quorum_s == 17.0


def test_one_zone_does_not_decide_for_another_that_has_tried() -> None:
    observers = members(6, zones=2)
    accusing = {"n0": bad(0, 10.0), "n2": bad(0, 10.0), "n4": bad(0, 10.0)}
    tried = {"n1": neutral(0, ok=3)}
    assert voted({**accusing, **tried}, observers).reason is Reason.DIVERSITY
    assert voted({**accusing, "n1": neutral()}, observers).reason is None, "it has not tried"
    assert voted({**accusing, "n1": bad(0, 10.0)}, observers).reason is None


def test_only_neighbours_count_where_the_policy_says_so() -> None:
    observers = members(4)
    for node, zone in (("n0", "a"), ("n1", "a"), ("n2", "b"), ("n3", "b")):
        observers[node] = replace(observers[node], locality=Locality("eu", zone))
    near = Members.of(observers, near=observers["n0"])
    rows = {node: bad() for node in observers}
    found = poll(rows, Electorate(near, rows), EjectionPolicy(), NEVER)
    assert (len(found.accusing), found.users) == (2, 2)


def test_cleared_accusations_count_no_more_and_later_ones_do() -> None:
    rows = {"n0": bad(0, 10.0), "n1": bad(0, 20.0), "n2": bad(0, 21.0)}
    assert len(voted(rows, cleared_s=10.0).accusing) == 2
    assert voted(rows, cleared_s=20.0).reason is Reason.QUORUM


TRIED = {"ok_run": 3, "since_s": 42.0}


def test_three_successes_at_two_observers_after_most_of_a_hold_answer_accusations() -> None:
    accusing = {f"n{number}": bad(0, 10.0) for number in range(5)}
    passed = {"n5": clear(0, 45.0, **TRIED), "n6": clear(0, 45.0, **TRIED)}
    found = voted({**accusing, **passed})
    assert (found.reason, found.answered, found.accusing) == (Reason.RECOVERED, 5, ())
    one = voted({**accusing, "n5": clear(0, 45.0, ok_run=15)})
    assert one.reason is None, "one observer alone may be lucky, or lie"
    soon = {"n5": clear(0, 20.0, **TRIED), "n6": clear(0, 20.0, **TRIED)}
    assert voted({**accusing, **soon}).answered == 0


def test_few_successes_of_many_observers_answer_as_well() -> None:
    accusing = {"n0": bad(0, 10.0), "n1": bad(0, 10.0)}
    some = {f"n{number}": neutral(0, last_ok_s=45.0, ok_run=1) for number in range(2, 8)}
    assert voted({**accusing, **some}).reason is Reason.RECOVERED
    del some["n2"]
    assert voted({**accusing, **some}).reason is None


def test_a_failed_trial_voids_the_successes_before_it() -> None:
    accusing = {"n0": bad(0, 10.0), "n1": bad(0, 10.0), "n2": bad(0, 10.0, accused_s=46.0)}
    passed = {"n5": clear(0, 45.0, **TRIED), "n6": clear(0, 45.0, **TRIED)}
    assert voted({**accusing, **passed}).answered == 0


def test_a_new_accusation_is_not_answered_by_old_successes() -> None:
    passed = {"n5": clear(0, 45.0, **TRIED), "n6": clear(0, 45.0, **TRIED)}
    found = voted({"n0": bad(0, 10.0), "n1": bad(0, 10.0), "n2": bad(0, 44.0), **passed})
    assert (found.reason, found.answered, len(found.accusing)) == (Reason.RECOVERED, 2, 1)


@given(st.data())
def test_one_liar_never_suffices_whatever_it_says(data: st.DataObject) -> None:
    number = data.draw(st.integers(2, 12))
    times = st.floats(-100, 100)
    ages = sorted(data.draw(st.lists(times, min_size=3, max_size=3)))
    lie = bad(
        0,
        first_failure_s=ages[0],
        since_s=ages[1],
        accused_s=ages[2],
        episode=data.draw(st.integers(0, 15)),
        failed_trials=data.draw(st.integers(0, 15)),
        local=data.draw(st.integers(0, 65535)),
        last_ok_s=data.draw(times),
        ok_run=data.draw(st.integers(0, 15)),
    )
    others = {
        f"n{index}": data.draw(st.sampled_from([neutral(), clear(0, 0.0), clear(0, 90.0)]))
        for index in range(1, number)
    }
    found = voted({"n0": lie, **others}, members(number))
    assert found.reason in (Reason.QUORUM, Reason.RECOVERED)


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rng: random.Random) -> None:
    kinds = [bad(0, 10.0), bad(0, 12.0, episode=3), clear(0, 13.0), clear(0, 50.0), neutral()]
    rows = {f"n{number}": rng.choice(kinds) for number in range(12)}
    observers = members(12, zones=2)
    for number in (1, 2, 3):
        node = f"n{number}"
        observers[node] = replace(observers[node], address=observers["n0"].address)
    shuffled = list(rows.items())
    rng.shuffle(shuffled)
    assert voted(rows, observers) == voted(dict(shuffled), observers)


def test_where_many_might_use_it_and_few_have_said_so_their_answers_are_awaited() -> None:
    policy = EjectionPolicy()
    few = Electorate(Members.of(members(30)), users(2))
    assert few.hold_off_s(policy) == policy.hold_off_s + ANSWERS_S
    assert Electorate(Members.of(members(30)), users(10)).hold_off_s(policy) == policy.hold_off_s
    assert Electorate(Members.of(members(9)), users(2)).hold_off_s(policy) == policy.hold_off_s
    assert few.hold_off_s(replace(policy, quorum=2)) == policy.hold_off_s


def test_silent_users_are_awaited_from_when_the_accusations_were_heard() -> None:
    policy = EjectionPolicy()
    known = Electorate(Members.of(members(12)), users(12))
    assert known.answers_s(policy, said=4) == policy.hold_off_s / 2
    assert known.answers_s(policy, said=11) == 0.0, "all others have spoken"
    few = Electorate(Members.of(members(30)), users(2))
    assert few.answers_s(policy, said=2) == few.hold_off_s(policy)


@pytest.mark.parametrize(
    ("level", "hold"), [(0, 30), (1, 30), (2, 60), (4, 240), (5, 300), (99, 300)]
)
def test_each_level_doubles_the_hold_up_to_the_longest(level: int, hold: float) -> None:
    assert hold_s(EjectionPolicy(), level) == hold
