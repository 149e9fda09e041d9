from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.balancing.model import EndpointSet
from sidecar.mesh.model import Endpoint, Health, Locality
from sidecar.outlier.events import Imposed
from sidecar.outlier.model import Place
from sidecar.xds import protos as pb
from sidecar.xds.compile import compile_endpoints
from sidecar.xds.compile.endpoints import ImposedByPlace
from sidecar.xds.resource import TypeUrl
from tests.harness.compiled import SOURCE, V1, endpoints


def message(given: EndpointSet, imposed: ImposedByPlace | None = None) -> pb.ClusterLoadAssignment:
    return pb.ClusterLoadAssignment.FromString(compile_endpoints(given, imposed).body)


def test_the_assignment_is_named_as_the_cluster() -> None:
    made = compile_endpoints(endpoints())
    assert (made.type_url, made.name) == (TypeUrl.ENDPOINTS, V1.name)
    assert message(endpoints()).cluster_name == V1.name
    assert made.sources == (SOURCE,)


def test_endpoints_stand_by_priority_and_locality() -> None:
    groups = message(endpoints()).endpoints
    assert [
        (g.priority, g.locality.region, g.locality.zone, g.locality.sub_zone) for g in groups
    ] == [
        (0, "eu", "east", ""),
        (1, "eu", "west", "r1"),
    ]
    assert groups[0].load_balancing_weight.value == 4
    assert groups[1].lb_endpoints[0].endpoint.address.pipe.path == "/run/app.sock"


def test_shares_of_distribute_take_the_place_of_summed_weights() -> None:
    given = replace(endpoints(), locality_weights=(("eu/east", 80), ("eu/west/r1", 20)))
    assert [g.load_balancing_weight.value for g in message(given).endpoints] == [80, 20]


def test_health_and_mutual_tls_are_said_for_each_endpoint() -> None:
    first, second = message(endpoints()).endpoints[0].lb_endpoints
    assert (first.health_status, second.health_status) == (
        pb.HealthStatus.HEALTHY,
        pb.HealthStatus.DRAINING,
    )
    assert not first.HasField("metadata")
    assert second.metadata.filter_metadata["envoy.transport_socket_match"]["tlsMode"] == "istio"


@pytest.mark.parametrize(
    ("own", "imposed", "expected"),
    [
        (Health.HEALTHY, Imposed.EJECTED, Health.UNHEALTHY),
        (Health.DRAINING, Imposed.EJECTED, Health.UNHEALTHY),
        (Health.HEALTHY, Imposed.TRIAL, Health.HEALTHY),
        (Health.DRAINING, Imposed.TRIAL, Health.DRAINING),
        (Health.UNHEALTHY, Imposed.TRIAL, Health.UNHEALTHY),
    ],
)
def test_what_is_imposed_never_makes_an_endpoint_healthier_than_it_says(
    own: Health, imposed: Imposed, expected: Health
) -> None:
    given = EndpointSet(V1, (Endpoint("10.0.0.1", 80, health=own),))
    (group,) = message(given, {Place("10.0.0.1", 80): imposed}).endpoints
    assert group.lb_endpoints[0].health_status == pb.HealthStatus.Value(expected.value)


def test_an_ejection_of_an_unknown_endpoint_changes_nothing() -> None:
    given = EndpointSet(V1, (Endpoint("10.0.0.1", 80),))
    for imposed in Imposed:
        assert message(given, {Place("10.0.0.2", 80): imposed}) == message(given)


def weights(given: EndpointSet, imposed: ImposedByPlace) -> list[int]:
    groups = message(given, imposed).endpoints
    return [one.load_balancing_weight.value for group in groups for one in group.lb_endpoints]


def test_an_endpoint_on_trial_weighs_a_hundredth_of_its_siblings_wherever_they_are() -> None:
    here, there = Locality("here"), Locality("there")
    given = EndpointSet(
        V1,
        (
            Endpoint("10.0.0.1", 80, locality=here, weight=2),
            Endpoint("10.0.0.2", 80, locality=here, weight=2),
            Endpoint("10.0.0.3", 80, locality=there, weight=1),
        ),
    )
    assert weights(given, {Place("10.0.0.1", 80): Imposed.TRIAL}) == [2, 200, 100]
    groups = message(given, {Place("10.0.0.1", 80): Imposed.TRIAL}).endpoints
    assert [group.load_balancing_weight.value for group in groups] == [202, 100]
    assert weights(given, {Place("10.0.0.1", 80): Imposed.EJECTED}) == [2, 2, 1]


def test_scaled_weights_stay_within_what_envoy_takes() -> None:
    given = EndpointSet(
        V1, (Endpoint("10.0.0.1", 80, weight=2**31), Endpoint("10.0.0.2", 80, weight=2**30))
    )
    made = weights(given, {Place("10.0.0.2", 80): Imposed.TRIAL})
    assert sum(made) < 2**32
    assert made == [2**31, 2**30]


def test_no_endpoint_is_an_empty_assignment() -> None:
    assert message(EndpointSet(V1, ())) == pb.ClusterLoadAssignment(cluster_name=V1.name)


ENDPOINT = st.builds(
    Endpoint,
    address=st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
    port=st.integers(1, 3),
    locality=st.sampled_from([Locality(), Locality("a"), Locality("a", "b"), Locality("c")]),
    weight=st.integers(0, 3),
)


@given(
    st.lists(ENDPOINT, max_size=8, unique_by=lambda e: (e.address, e.port)),
    st.randoms(use_true_random=False),
)
def test_bytes_do_not_depend_on_the_order_of_endpoints(
    made: list[Endpoint], rng: random.Random
) -> None:
    shuffled = made[:]
    rng.shuffle(shuffled)
    one, other = (compile_endpoints(EndpointSet(V1, tuple(e))) for e in (made, shuffled))
    assert one.body == other.body
