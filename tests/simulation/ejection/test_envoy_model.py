"""The model of Envoy does what the facts about Envoy say, or the study would prove nothing."""

from __future__ import annotations

import random

import pytest

from sidecar.mesh.model import HostName
from sidecar.outlier.events import Imposed
from sidecar.outlier.model import Destination, Outcomes, Place
from tests.simulation.ejection.envoy import Cluster, EnvoySettings, Journal
from tests.simulation.ejection.faults import Fault, Kind, boundaries, chance_of

DESTINATION = Destination(HostName("reviews"), 80)
PLACES = [Place(f"10.1.0.{number}", 80) for number in range(4)]


def cluster(
    seed: int = 1, rate_per_s: float = 100.0, settings: EnvoySettings | None = None
) -> Cluster:
    return Cluster(
        "n0",
        DESTINATION,
        PLACES,
        rate_per_s=rate_per_s,
        rng=random.Random(seed),
        settings=settings or EnvoySettings(),
        journal=Journal(),
        began_s=0.0,
    )


def fails(envoy: Cluster, *numbers: int, kind: Kind = Kind.EXTERNAL) -> None:
    for number in numbers:
        envoy.meet(number, 1.0, kind)


def run(envoy: Cluster, from_s: int, to_s: int) -> None:
    for second in range(from_s, to_s):
        envoy.tick(float(second + 1))


def test_five_failures_in_a_row_eject_at_once_and_no_more_come() -> None:
    envoy = cluster()
    fails(envoy, 0)
    envoy.advance(5.0)
    assert envoy.ejected() == {PLACES[0]}
    assert envoy.take_counts()[PLACES[0]] == Outcomes(external=5)
    assert len(envoy.journal.failures) == 5


def test_an_ejection_ends_on_a_tick_after_its_time_and_the_next_is_longer() -> None:
    envoy = cluster()
    fails(envoy, 0)
    run(envoy, 0, 99)
    mine = [(when_s, begins) for when_s, _, _, _, _, begins in envoy.journal.avoided]
    assert [begins for _, begins in mine] == [True, False, True, False, True]
    assert mine[1][0] - mine[0][0] == pytest.approx(30, abs=1)
    assert mine[3][0] - mine[2][0] == pytest.approx(60, abs=1)


def test_the_cap_holds_but_the_first_is_always_ejected() -> None:
    envoy = cluster(settings=EnvoySettings(max_ejection_share=0.1))
    fails(envoy, 0, 1, 2)
    envoy.advance(20.0)
    assert len(envoy.ejected()) == 1


def test_below_the_panic_threshold_all_are_sent_to() -> None:
    envoy = cluster(settings=EnvoySettings(max_ejection_share=1.0))
    fails(envoy, 0, 1, 2)
    envoy.advance(10.0)
    envoy.take_counts()
    envoy.advance(20.0)
    assert set(envoy.take_counts()) == set(PLACES)


def test_what_the_mesh_imposes_stops_traffic_and_leaves_the_count_of_failures() -> None:
    envoy = cluster()
    envoy.impose({PLACES[0]: Imposed.EJECTED}, 1.0)
    envoy.take_counts()
    envoy.advance(10.0)
    assert PLACES[0] not in envoy.take_counts()
    envoy.impose({}, 10.0)
    envoy.advance(11.0)
    assert PLACES[0] in envoy.take_counts()


def test_an_endpoint_on_trial_gets_a_hundredth_of_a_siblings_share() -> None:
    envoy = cluster(rate_per_s=2000.0)
    envoy.impose({PLACES[0]: Imposed.TRIAL}, 0.0)
    envoy.advance(50.0)
    counts = envoy.take_counts()
    assert counts[PLACES[0]].ok / counts[PLACES[1]].ok == pytest.approx(0.01, rel=0.25)


def test_a_hang_is_told_after_the_timeout_and_as_the_callers_own_kind_of_failure() -> None:
    envoy = cluster(settings=EnvoySettings(timeout_s=2.0))
    fails(envoy, 0, kind=Kind.HANG)
    envoy.advance(1.9)
    assert PLACES[0] not in envoy.take_counts()
    envoy.advance(10.0)
    assert envoy.take_counts()[PLACES[0]].local >= 5
    assert envoy.ejected() == {PLACES[0]}


def test_a_retry_goes_to_another_endpoint_and_counts_as_an_attempt() -> None:
    envoy = cluster(settings=EnvoySettings(retries=1))
    fails(envoy, 0)
    envoy.advance(5.0)
    assert envoy.journal.failures == []
    assert envoy.take_counts()[PLACES[0]].external == 5


def test_requests_are_shared_evenly() -> None:
    envoy = cluster()
    envoy.advance(100.0)
    counts = [outcomes.ok for outcomes in envoy.take_counts().values()]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == pytest.approx(10_000, rel=0.05)


def test_faults_meet_whom_and_when_they_say() -> None:
    fault = Fault(frozenset({1}), 2.0, 4.0, 0.5, Kind.REFUSED, frozenset({"a"}), None)
    assert boundaries([fault, Fault(frozenset())]) == [0.0, 2.0, 4.0]
    assert chance_of([fault], "a", (7, 1), 3.0, 0.0) == (0.5, Kind.REFUSED)
    assert chance_of([fault], "a", (7, 1), 3.0, 0.1)[0] == pytest.approx(0.55)
    for host, endpoint, at_s in (("b", (0, 1), 3.0), ("a", (0, 2), 3.0), ("a", (0, 1), 4.0)):
        assert chance_of([fault], host, endpoint, at_s, 0.0)[0] == 0.0
