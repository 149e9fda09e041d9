from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.agent.outcomes_admin import EndpointCounters
from sidecar.agent.outcomes_counting import EjectionClock, OutcomeCounter
from sidecar.agent.outcomes_reports import EndpointLoad
from sidecar.mesh.model import HostName
from sidecar.node.participants import ObservedCluster
from sidecar.outlier.model import Destination, Outcomes, Place

DESTINATION = Destination(HostName("reviews"), 9080)
ONE, TWO = Place("10.0.0.1", 80), Place("10.0.0.2", 80)
V1, V2, TCP = "outbound|9080|v1|reviews", "outbound|9080|v2|reviews", "outbound|3306||db"
DATABASE = Destination(HostName("db"), 3306)
CLUSTERS = {
    V1: ObservedCluster(DESTINATION),
    V2: ObservedCluster(DESTINATION),
    TCP: ObservedCluster(DATABASE, is_tcp=True),
}


def counter(clusters: Mapping[str, ObservedCluster] = CLUSTERS) -> OutcomeCounter:
    made = OutcomeCounter()
    made.observe(clusters)
    return made


def counted(
    made: OutcomeCounter,
    *loads: EndpointLoad,
    timeouts: int | None = None,
    connect_failures: int = 0,
) -> Outcomes:
    """Outcomes of ONE in the load's destination; the counters given are those of its cluster."""
    found = {}
    if timeouts is not None:
        found = {loads[0].cluster: {ONE: EndpointCounters(timeouts, connect_failures)}}
    return made.count(loads, found).get((DESTINATION, ONE), Outcomes())


@pytest.mark.parametrize(
    ("load", "timeouts", "expected"),
    [
        (EndpointLoad(V1, ONE, ok=5, begun=5), None, Outcomes(ok=5)),
        (EndpointLoad(V1, ONE, ok=1, errors=2, begun=3), None, Outcomes(ok=1, external=2)),
        (EndpointLoad(V1, ONE, errors=3), None, Outcomes(local=3)),
        (EndpointLoad(V1, ONE, errors=3, begun=1), None, Outcomes(external=1, local=2)),
        (EndpointLoad(V1, ONE, errors=3, begun=3), 2, Outcomes(external=1, local=2)),
        (EndpointLoad(V1, ONE, errors=3, begun=3), 9, Outcomes(local=3)),
        (EndpointLoad(V1, ONE, begun=3, active=3), None, Outcomes()),
    ],
)
def test_errors_are_sorted_by_what_is_known_of_them(
    load: EndpointLoad, timeouts: int | None, expected: Outcomes
) -> None:
    assert counted(counter(), load, timeouts=timeouts) == expected


def test_an_attempt_that_ends_in_a_later_report_was_not_refused() -> None:
    made = counter()
    counted(made, EndpointLoad(V1, ONE, begun=1, active=1))
    assert counted(made, EndpointLoad(V1, ONE, errors=2, begun=1)) == Outcomes(external=2)
    assert counted(made, EndpointLoad(V1, ONE, errors=1)) == Outcomes(local=1)


def test_time_outs_are_counted_once() -> None:
    made = counter()
    bad = EndpointLoad(V1, ONE, errors=2, begun=2)
    assert counted(made, bad, timeouts=2) == Outcomes(local=2)
    assert counted(made, bad, timeouts=2) == Outcomes(external=2)
    assert counted(made, bad, bad, timeouts=5) == Outcomes(local=3, external=1)


def test_a_counter_that_shrank_began_anew() -> None:
    made = counter()
    bad = EndpointLoad(V1, ONE, errors=2, begun=2)
    counted(made, bad, timeouts=7)
    assert counted(made, bad, timeouts=1) == Outcomes(local=1, external=1)


def test_clusters_of_one_destination_add_up_and_others_are_not_counted() -> None:
    loads = [
        EndpointLoad(V1, ONE, ok=1, begun=1),
        EndpointLoad(V2, ONE, ok=2, errors=1, begun=3),
        EndpointLoad("meshd_ads", ONE, ok=9, begun=9),
    ]
    assert counter().count(loads, {}) == {(DESTINATION, ONE): Outcomes(ok=3, external=1)}


def test_connections_of_tcp_count_when_they_come_to_be_and_fail_by_the_counters() -> None:
    made = counter()
    made.count([], {TCP: {ONE: EndpointCounters(0, 4)}})
    found = made.count(
        [EndpointLoad(TCP, TWO, begun=3)],
        {TCP: {ONE: EndpointCounters(0, 6), TWO: EndpointCounters()}},
    )
    assert found == {(DATABASE, TWO): Outcomes(ok=3), (DATABASE, ONE): Outcomes(local=2)}


def test_failures_older_than_the_first_look_at_tcp_are_not_ours_to_tell() -> None:
    assert counter().count([], {TCP: {ONE: EndpointCounters(0, 4)}}) == {}


def test_only_clusters_with_errors_and_of_tcp_are_suspect() -> None:
    loads = [
        EndpointLoad(V1, ONE, ok=1, begun=1),
        EndpointLoad(V2, ONE, errors=1, begun=1),
        EndpointLoad("meshd_ads", ONE, errors=1),
    ]
    assert counter().suspects(loads) == {V2, TCP}
    assert counter({V1: CLUSTERS[V1]}).suspects(loads) == frozenset()


def test_what_is_observed_no_more_is_forgotten() -> None:
    made = counter()
    counted(made, EndpointLoad(V1, ONE, begun=1, active=1))
    made.observe({})
    assert made.count([EndpointLoad(V1, ONE, ok=1, begun=1)], {V1: {ONE: EndpointCounters()}}) == {}
    made.observe(CLUSTERS)
    assert counted(made, EndpointLoad(V1, ONE, errors=1)) == Outcomes(local=1)


LOADS = st.lists(
    st.builds(
        EndpointLoad,
        cluster=st.sampled_from([V1, V2, TCP, "other"]),
        place=st.sampled_from([ONE, TWO]),
        ok=st.integers(0, 5),
        errors=st.integers(0, 5),
        begun=st.integers(0, 9),
        active=st.integers(0, 3),
    ),
    max_size=6,
)
READINGS = st.dictionaries(
    st.sampled_from([V1, V2, TCP, "other"]),
    st.dictionaries(
        st.sampled_from([ONE, TWO]),
        st.builds(EndpointCounters, st.integers(0, 20), st.integers(0, 20)),
    ),
)


@given(st.lists(st.tuples(LOADS, READINGS), max_size=4))
def test_no_error_of_a_request_is_lost_or_counted_twice(
    steps: list[tuple[list[EndpointLoad], dict[str, dict[Place, EndpointCounters]]]],
) -> None:
    made = counter()
    for loads, found in steps:
        outcomes = made.count(loads, found)
        for place in (ONE, TWO):
            mine = [load for load in loads if load.place == place and load.cluster in (V1, V2)]
            told = outcomes.get((DESTINATION, place), Outcomes())
            assert told.ok == sum(load.ok for load in mine)
            assert told.external + told.local == sum(load.errors for load in mine)
            assert min(told.external, told.local, told.gateway) >= 0


EJECTED, WELL = EndpointCounters(is_ejected=True), EndpointCounters()


def test_an_ejection_lasts_the_base_time_from_when_it_is_seen() -> None:
    clock = EjectionClock()
    assert clock.read({V1: {ONE: EJECTED, TWO: WELL}}, CLUSTERS, 100.0)
    assert clock.until() == {(V1, ONE): 130.0}
    assert clock.clusters() == {V1}
    assert not clock.read({V1: {ONE: EJECTED, TWO: WELL}}, CLUSTERS, 101.0)
    assert not clock.read({V2: {ONE: WELL}}, CLUSTERS, 102.0)
    assert clock.until() == {(V1, ONE): 130.0}
    assert clock.read({V1: {ONE: WELL}}, CLUSTERS, 131.0)
    assert not clock.until()


@pytest.mark.parametrize(("pause_s", "lasts_s"), [(5.0, 60.0), (30.0, 30.0)])
def test_an_ejection_soon_after_another_lasts_longer(pause_s: float, lasts_s: float) -> None:
    clock = EjectionClock()
    clock.read({V1: {ONE: EJECTED}}, CLUSTERS, 0.0)
    clock.read({V1: {ONE: WELL}}, CLUSTERS, 30.0)
    clock.read({V1: {ONE: EJECTED}}, CLUSTERS, 30.0 + pause_s)
    assert clock.until() == {(V1, ONE): 30.0 + pause_s + lasts_s}


def test_no_ejection_lasts_longer_than_the_longest() -> None:
    short = {V1: ObservedCluster(DESTINATION, base_ejection_s=10.0, max_ejection_s=15.0)}
    clock = EjectionClock()
    for began_s in (0.0, 12.0, 24.0):
        clock.read({V1: {ONE: EJECTED}}, short, began_s)
        lasts_s = clock.until()[V1, ONE] - began_s
        clock.read({V1: {ONE: WELL}}, short, began_s + 10.0)
    assert lasts_s == 15.0


def test_ejections_of_a_cluster_that_is_gone_are_gone() -> None:
    clock = EjectionClock()
    clock.read({V1: {ONE: EJECTED}, V2: {ONE: EJECTED}}, CLUSTERS, 0.0)
    assert clock.read({V1: {}}, CLUSTERS, 1.0)
    assert clock.clusters() == {V2}
    assert clock.read({}, {}, 2.0)
    assert not clock.clusters()
