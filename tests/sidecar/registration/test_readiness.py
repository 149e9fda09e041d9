"""When a workload is ready: answers of its probe in, verdicts out."""

from __future__ import annotations

import pytest

from sidecar.registration.readiness import (
    ProbeAnswered,
    ProbeTimes,
    Readiness,
    ReadinessChanged,
    State,
)
from store.objects.workload_group import ReadinessProbe

OK = ProbeAnswered()
BAD = ProbeAnswered("refused")


def verdicts(times: ProbeTimes, answers: str) -> list[bool | None]:
    """The verdict that each answer (`+` or `-`) changes to; None where it changes nothing."""
    readiness = Readiness(times, 0.0)
    found: list[bool | None] = []
    for at, answer in enumerate(answers):
        changes = readiness.handle(OK if answer == "+" else BAD, float(at))
        found.append(changes[0].is_ready if changes else None)
    return found


@pytest.mark.parametrize(
    ("success", "failure", "answers", "expected"),
    [
        (1, 1, "+-+", [True, False, True]),
        (1, 1, "++--", [True, None, False, None]),
        (1, 3, "+--+---", [True, None, None, None, None, None, False]),
        (2, 1, "+-++", [None, False, None, True]),
        (1, 2, "--+", [None, False, True]),
    ],
)
def test_it_takes_answers_in_a_row_to_change_the_verdict(
    success: int, failure: int, answers: str, expected: list[bool | None]
) -> None:
    times = ProbeTimes(success_threshold=success, failure_threshold=failure)
    assert verdicts(times, answers) == expected


def test_before_the_first_success_nothing_is_ready_and_the_reason_is_said() -> None:
    readiness = Readiness(ProbeTimes(failure_threshold=3), 0.0)
    assert (readiness.state, readiness.reason) == (
        State.UNKNOWN,
        "its probe has not succeeded yet",
    )
    assert readiness.handle(BAD, 1.0) == []
    assert (readiness.state, readiness.reason) == (State.UNKNOWN, "refused")
    assert readiness.handle(OK, 2.0) == [ReadinessChanged(True, "")]
    assert readiness.reason == ""


def test_probes_begin_after_the_delay_and_then_at_the_pace_of_their_beginnings() -> None:
    readiness = Readiness(ProbeTimes(initial_delay_s=5.0, period_s=2.0), 100.0)
    assert readiness.deadline() == 105.0
    readiness.handle(OK, 105.0)
    assert readiness.deadline() == 107.0


def test_what_a_group_leaves_out_is_what_istios_agent_does() -> None:
    probe = ReadinessProbe.model_validate({"tcpSocket": {"port": 1}, "periodSeconds": 0})
    assert ProbeTimes.of(probe) == ProbeTimes(0.0, 1.0, 10.0, 1, 1)
    told = {
        "tcpSocket": {"port": 1},
        "initialDelaySeconds": 1,
        "timeoutSeconds": 2,
        "periodSeconds": 3,
        "successThreshold": 4,
        "failureThreshold": 5,
    }
    assert ProbeTimes.of(ReadinessProbe.model_validate(told)) == ProbeTimes(1.0, 2.0, 3.0, 4, 5)
