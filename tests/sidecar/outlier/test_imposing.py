from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sidecar.outlier.caps import caps
from sidecar.outlier.decision import Judgement
from sidecar.outlier.events import EndpointName, Imposed
from sidecar.outlier.imposing import RETURN_S, Imposing
from sidecar.outlier.model import DestinationFacts, EjectionPolicy, Place
from sidecar.outlier.phases import CAUTION_S, Trial
from sidecar.outlier.sight import Phase
from sidecar.outlier.view import JudgementState, Reason
from sidecar.outlier.votes import Poll
from tests.sidecar.outlier.builders import REVIEWS, facts, place

NAME = (REVIEWS, place(0))
NOBODY: frozenset[EndpointName] = frozenset()


def judgement(state: JudgementState, reason: Reason, quorum_s: float = 0.0) -> Judgement:
    return Judgement(state, reason, Poll((), 0, 0, 2, 4, quorum_s=quorum_s), 0.0)


EJECTED = judgement(JudgementState.EJECTED, Reason.QUORUM)
RESTORED = judgement(JudgementState.RESTORED, Reason.RECOVERED)
TRIAL = replace(
    judgement(JudgementState.TRIAL, Reason.HOLD_OVER), trial=Trial(("n1", "n2", "n0"), 100.0)
)


def carry(
    imposing: Imposing,
    judged: dict[Place, Judgement],
    now_s: float = 0.0,
    locally: frozenset[EndpointName] = NOBODY,
    found: DestinationFacts | None = None,
) -> dict[EndpointName, Phase]:
    return imposing.carry_out(REVIEWS, found or facts(), judged, locally, now_s)


def test_what_the_mesh_ejects_is_ejected_here() -> None:
    imposing = Imposing("n0")
    assert carry(imposing, {place(0): EJECTED}) == {NAME: Phase.HELD}
    assert imposing.imposed() == {NAME: Imposed.EJECTED}
    assert carry(imposing, {place(0): EJECTED}) == {}


def test_what_is_pending_or_withheld_is_not() -> None:
    imposing = Imposing("n0")
    carry(imposing, {place(0): judgement(JudgementState.PENDING, Reason.QUORUM)})
    carry(imposing, {place(0): judgement(JudgementState.WITHHELD, Reason.CAP)})
    assert imposing.imposed() == {}


def test_who_tries_sends_a_little_then_all_and_the_others_nothing() -> None:
    first, last = Imposing("n1"), Imposing("n0")
    for one in (first, last):
        carry(one, {place(0): EJECTED}, 50.0)
    assert carry(first, {place(0): TRIAL}, 100.0) == {NAME: Phase.TRYING}
    assert first.imposed() == {NAME: Imposed.TRIAL}
    assert carry(last, {place(0): TRIAL}, 100.0) == {}
    assert last.imposed() == {NAME: Imposed.EJECTED}
    assert carry(first, {place(0): TRIAL}, 100.0 + CAUTION_S) == {}
    assert first.imposed() == {}


def test_hosts_return_one_after_the_other_when_it_has_recovered() -> None:
    returns = []
    for number in range(20):
        imposing = Imposing(f"n{number + 10}")
        carry(imposing, {place(0): EJECTED})
        carry(imposing, {place(0): TRIAL}, 100.0)
        carry(imposing, {place(0): RESTORED}, 105.0)
        due_s = imposing.deadline(REVIEWS)
        assert due_s is not None
        assert imposing.imposed() == {NAME: Imposed.EJECTED}
        carry(imposing, {}, due_s)
        assert imposing.imposed() == {}
        assert imposing.deadline(REVIEWS) is None
        returns.append(due_s)
    assert 105.0 <= min(returns) < 106.0
    assert 107.0 < max(returns) <= 105.0 + RETURN_S


def test_who_tried_it_goes_on_sending() -> None:
    imposing = Imposing("n1")
    carry(imposing, {place(0): EJECTED})
    carry(imposing, {place(0): TRIAL}, 102.0)
    assert carry(imposing, {place(0): RESTORED}, 103.0) == {NAME: Phase.FREE}
    assert imposing.deadline(REVIEWS) is None


def test_all_return_at_once_when_the_ejection_was_wrong_or_its_evidence_died() -> None:
    for after in ({place(0): judgement(JudgementState.WITHHELD, Reason.COUNTER_EVIDENCE)}, {}):
        imposing = Imposing("n0")
        carry(imposing, {place(0): EJECTED})
        assert carry(imposing, after, 5.0) == {NAME: Phase.FREE}
        assert imposing.imposed() == {}


def test_a_trial_that_ends_by_accusers_taking_their_word_back_is_a_recovery() -> None:
    imposing = Imposing("n0")
    carry(imposing, {place(0): EJECTED})
    carry(imposing, {place(0): TRIAL}, 100.0)
    carry(imposing, {}, 103.0)
    assert imposing.imposed() == {NAME: Imposed.EJECTED}
    assert imposing.deadline(REVIEWS) is not None


def test_an_ejection_that_comes_back_meanwhile_stays() -> None:
    imposing = Imposing("n0")
    carry(imposing, {place(0): EJECTED})
    carry(imposing, {place(0): RESTORED}, 100.0)
    carry(imposing, {place(0): EJECTED}, 100.1)
    assert imposing.deadline(REVIEWS) is None
    carry(imposing, {place(0): EJECTED}, 110.0)
    assert imposing.imposed() == {NAME: Imposed.EJECTED}


def test_what_our_own_envoy_ejects_counts_against_the_cap_and_the_latest_is_spared() -> None:
    imposing = Imposing("n0")
    judged = {
        place(0): judgement(JudgementState.EJECTED, Reason.QUORUM, quorum_s=2.0),
        place(1): judgement(JudgementState.EJECTED, Reason.QUORUM, quorum_s=1.0),
    }
    carry(imposing, judged)
    assert set(imposing.imposed()) == {(REVIEWS, place(0)), (REVIEWS, place(1))}
    phases = carry(imposing, judged, locally=frozenset({(REVIEWS, place(3))}))
    assert imposing.imposed() == {(REVIEWS, place(1)): Imposed.EJECTED}
    assert phases == {NAME: Phase.FREE}
    assert imposing.is_capped(NAME)
    carry(imposing, judged)
    assert not imposing.is_capped(NAME)
    assert len(imposing.imposed()) == 2


def test_what_both_eject_counts_once() -> None:
    imposing = Imposing("n0")
    judged = {place(number): replace(EJECTED, since_s=float(number)) for number in (0, 1)}
    carry(imposing, judged, locally=frozenset({NAME}))
    assert len(imposing.imposed()) == 2


def test_what_is_to_return_goes_first_where_others_use_up_the_cap() -> None:
    """Also where our own Envoy leaves out all of them, as it does for a while after a change of its cluster."""
    imposing = Imposing("n0")
    all_three = frozenset((REVIEWS, place(number)) for number in range(3))
    carry(imposing, {place(0): EJECTED}, 100.0, all_three)
    assert set(imposing.imposed()) == {NAME}
    judged = {place(0): RESTORED, place(1): EJECTED, place(2): EJECTED}
    phases = carry(imposing, judged, 100.1, all_three)
    assert set(imposing.imposed()) == {(REVIEWS, place(1)), (REVIEWS, place(2))}
    assert phases[NAME] is Phase.FREE


def test_an_endpoint_or_destination_that_is_no_more_is_dropped() -> None:
    imposing = Imposing("n0")
    carry(imposing, {place(3): EJECTED})
    assert carry(imposing, {}, found=facts(3)) == {(REVIEWS, place(3)): Phase.FREE}
    carry(imposing, {place(0): EJECTED})
    assert imposing.destinations() == {REVIEWS}
    imposing.carry_out(REVIEWS, None, {}, NOBODY, 0.0)
    assert imposing.imposed() == {}
    assert imposing.destinations() == set()


def test_never_has_a_trial_no_beginning() -> None:
    assert Trial((), 5.0).starts_s("n0") == math.inf


@given(
    st.integers(1, 12),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sets(st.integers(0, 11)),
    st.sets(st.integers(0, 11)),
    st.sets(st.integers(0, 11)),
)
def test_with_what_our_own_envoy_ejects_no_cap_is_broken_whatever_the_mesh_says(
    endpoints: int, share: float, health: float, mesh: set[int], local: set[int], busy: set[int]
) -> None:
    policy = EjectionPolicy(max_ejection_share=share, min_health_share=health)
    found = facts(endpoints, policy)
    found = replace(
        found,
        endpoints=tuple(
            replace(one, takes_requests=number in busy, priority=number % 2)
            for number, one in enumerate(found.endpoints)
        ),
    )
    judged = {
        place(number): judgement(JudgementState.EJECTED, Reason.QUORUM, quorum_s=float(number))
        for number in mesh
    }
    locally = frozenset((REVIEWS, place(number)) for number in local)
    imposing = Imposing("n0")
    carry(imposing, judged, locally=locally, found=found)
    carry(imposing, judged, locally=locally, found=found)
    for priority, cap in caps(found).items():
        usable = {
            (REVIEWS, one.place)
            for one in found.endpoints
            if one.takes_requests and one.priority == priority
        }
        ours, theirs = usable & imposing.imposed().keys(), usable & locally
        assert len(ours) <= cap.allowed
        assert len(ours | theirs) <= max(cap.allowed, len(theirs))
        assert not (ours - theirs) or len(ours | theirs) < len(usable)
