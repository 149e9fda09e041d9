from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.outlier.decision import Judgement, Mesh
from sidecar.outlier.events import VerdictChanged
from sidecar.outlier.evidence import Evidence
from sidecar.outlier.imposing import Imposing
from sidecar.outlier.reporting import changes, endpoint_views
from sidecar.outlier.view import JudgementState, Reason
from sidecar.outlier.votes import Members, Poll
from tests.sidecar.outlier.builders import REVIEWS, bad, clear, facts, neutral, place

NOBODY = Members.of({})
MESH = Mesh(NOBODY, NOBODY, frozenset(), lambda d, p: float("-inf"), lambda d, p: None)


def judgement(state: JudgementState, reason: Reason, **changes: object) -> Judgement:
    one = Judgement(state, reason, Poll((), 0, 0, 2, 4), 0.0)
    return replace(one, **changes)  # type: ignore[arg-type]


EJECTED = judgement(JudgementState.EJECTED, Reason.QUORUM, level=1, until_s=30.0)
TRIAL = judgement(JudgementState.TRIAL, Reason.HOLD_OVER, level=1)


def withheld(reason: Reason) -> Judgement:
    return judgement(JudgementState.WITHHELD, reason)


def told(
    before: Judgement | None, after: Judgement | None, *, endpoints: int = 4
) -> list[VerdictChanged]:
    at = place(0)
    return changes(
        REVIEWS,
        {} if before is None else {at: before},
        {} if after is None else {at: after},
        {at: {"n1": bad(0, 9.0), "n2": clear(0, 9.5), "n3": neutral()}},
        facts(endpoints),
        10.0,
    )


@pytest.mark.parametrize(
    ("before", "after", "verdict", "reason"),
    [
        (None, EJECTED, "ejected", Reason.QUORUM),
        (withheld(Reason.QUORUM), EJECTED, "ejected", Reason.QUORUM),
        (EJECTED, TRIAL, "trial", Reason.HOLD_OVER),
        (
            TRIAL,
            replace(EJECTED, level=2, reason=Reason.TRIAL_FAILED),
            "ejected",
            Reason.TRIAL_FAILED,
        ),
        (TRIAL, judgement(JudgementState.RESTORED, Reason.RECOVERED), "restored", Reason.RECOVERED),
        (TRIAL, None, "restored", Reason.RECOVERED),
        (TRIAL, withheld(Reason.COUNTER_EVIDENCE), "restored", Reason.RECOVERED),
        (EJECTED, withheld(Reason.COUNTER_EVIDENCE), "restored", Reason.COUNTER_EVIDENCE),
        (EJECTED, None, "restored", Reason.EVIDENCE_DIED),
        (EJECTED, withheld(Reason.QUORUM), "restored", Reason.EVIDENCE_DIED),
        (EJECTED, withheld(Reason.NOT_COUNTING), "restored", Reason.EVIDENCE_DIED),
        (EJECTED, withheld(Reason.PINNED), "restored", Reason.OVERRIDDEN),
        (EJECTED, withheld(Reason.OVERRIDDEN), "restored", Reason.OVERRIDDEN),
        (EJECTED, withheld(Reason.CAP), "restored", Reason.CAP),
        (None, withheld(Reason.CAP), "withheld", Reason.CAP),
        (withheld(Reason.CAP), withheld(Reason.LAST_ONE), "withheld", Reason.LAST_ONE),
        (None, judgement(JudgementState.PENDING, Reason.MASS), "withheld", Reason.MASS),
    ],
)
def test_each_change_has_its_line(
    before: Judgement | None, after: Judgement | None, verdict: str, reason: Reason
) -> None:
    (line,) = told(before, after)
    assert (line.verdict, line.reason) == (verdict, reason.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, withheld(Reason.QUORUM)),
        (withheld(Reason.CAP), withheld(Reason.CAP)),
        (withheld(Reason.CAP), None),
        (EJECTED, replace(EJECTED, until_s=31.0)),
        (None, judgement(JudgementState.PENDING, Reason.QUORUM)),
    ],
)
def test_what_is_everyday_or_no_change_has_none(
    before: Judgement | None, after: Judgement | None
) -> None:
    assert told(before, after) == []


def test_a_quorum_that_grew_is_not_called_evidence_that_died() -> None:
    grown = replace(withheld(Reason.QUORUM), poll=Poll((), 0, 0, 3, 10))
    (line,) = told(EJECTED, grown)
    assert line.reason == "quorum"


def test_an_endpoint_that_is_no_more_is_said_to_be_so() -> None:
    (line,) = told(EJECTED, None, endpoints=0)
    assert line.reason == "unknown"


def test_a_line_holds_its_evidence_accusers_first_with_ages() -> None:
    (line,) = told(None, EJECTED)
    assert line.facts["for_s"] == 20.0
    assert line.facts["level"] == 1
    observers = line.facts["observers"]
    assert isinstance(observers, list)
    assert [one["node"] for one in observers] == ["n1", "n2", "n3"]
    assert observers[0]["accused_s_ago"] == 1.0
    assert observers[0]["failing_for_s"] == 2.0
    assert observers[1]["last_ok_s_ago"] == 0.5
    assert "last_ok_s_ago" not in observers[2]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_words(reason: Reason) -> None:
    one = judgement(JudgementState.WITHHELD, reason)
    (view,) = endpoint_views(
        {REVIEWS: {place(0): one}}, Evidence(), MESH, {}, Imposing("n0"), frozenset(), 0.0
    )
    assert view.reason is reason
    assert view.detail or reason is Reason.EVIDENCE_DIED


def test_a_line_does_not_grow_with_the_mesh() -> None:
    rows = {place(0): {f"n{number}": bad() for number in range(500)}}
    (line,) = changes(REVIEWS, {}, {place(0): EJECTED}, rows, facts(), 10.0)
    observers = line.facts["observers"]
    assert isinstance(observers, list)
    assert len(observers) == 20
    assert line.facts["rows"] == 500
