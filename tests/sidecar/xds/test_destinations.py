from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from sidecar.balancing.model import ClusterPlan, EndpointSet, Policy
from sidecar.mesh.model import HostName, MeshChange, Resolution
from sidecar.outlier.events import Imposed
from sidecar.outlier.model import Destination, Place
from sidecar.routing.table import ClusterKey
from sidecar.xds import protos as pb
from sidecar.xds.compile import CompileOptions
from sidecar.xds.destinations import Destinations
from sidecar.xds.holdings import Holdings
from sidecar.xds.resource import TypeUrl
from store.objects.destination_rule import ConnectionPoolSettings, OutlierDetection
from store.objects.mesh_config import MeshConfigSpec
from tests.harness.compiled import RATINGS, V1, V2, endpoints, plan

CONFIG = MeshConfigSpec()


@dataclass
class Plans:
    """A balancer that knows these plans."""

    plans: Mapping[ClusterKey, ClusterPlan] = field(default_factory=dict)
    asked: list[ClusterKey] = field(default_factory=list)

    def plan(self, key: ClusterKey) -> ClusterPlan | None:
        self.asked.append(key)
        return self.plans.get(key)

    def endpoints(self, key: ClusterKey) -> EndpointSet:
        return endpoints(key)


@pytest.fixture
def holdings() -> Holdings:
    return Holdings()


@pytest.fixture
def destinations(holdings: Holdings) -> Destinations:
    return Destinations(holdings, CompileOptions())


def test_a_destination_stays_while_anyone_names_it(
    holdings: Holdings, destinations: Destinations
) -> None:
    balancers = {"": Plans({V1: plan(V1)})}
    destinations.use(("", "one"), [V1])
    destinations.use(("", "two"), [V1])
    destinations.use(("", "one"), [])
    destinations.refresh(balancers, CONFIG)
    assert holdings.names(TypeUrl.CLUSTER) == holdings.names(TypeUrl.ENDPOINTS) == {V1.name}
    destinations.use(("", "two"), [V2])
    destinations.refresh(balancers, CONFIG)
    assert holdings.names(TypeUrl.CLUSTER) == holdings.names(TypeUrl.ENDPOINTS) == set()


def test_only_what_is_touched_is_planned_again(destinations: Destinations) -> None:
    balancer = Plans({key: plan(key) for key in (V1, RATINGS)})
    destinations.use(("", "u"), [V1, RATINGS])
    destinations.refresh({"": balancer}, CONFIG)
    balancer.asked.clear()
    destinations.touch(MeshChange(hosts=frozenset({RATINGS.host})))
    destinations.refresh({"": balancer}, CONFIG)
    assert balancer.asked == [RATINGS]
    destinations.refresh({"": balancer}, CONFIG)
    assert balancer.asked == [RATINGS]


def test_a_destination_that_appears_is_compiled_and_one_that_goes_is_dropped(
    holdings: Holdings, destinations: Destinations
) -> None:
    destinations.use(("", "u"), [V1])
    for plans, expected in (({}, set()), ({V1: plan(V1)}, {V1.name}), ({}, set())):
        destinations.touch(MeshChange(hosts=frozenset({V1.host})))
        destinations.refresh({"": Plans(plans)}, CONFIG)
        assert holdings.names(TypeUrl.CLUSTER) == expected


def test_a_service_that_becomes_one_of_dns_leaves_eds(
    holdings: Holdings, destinations: Destinations
) -> None:
    destinations.use(("", "u"), [V1])
    destinations.refresh({"": Plans({V1: plan(V1)})}, CONFIG)
    destinations.touch(MeshChange(everything=True))
    destinations.refresh({"": Plans({V1: plan(V1, resolution=Resolution.DNS)})}, CONFIG)
    assert holdings.names(TypeUrl.CLUSTER) == {V1.name}
    assert holdings.names(TypeUrl.ENDPOINTS) == set()


def test_a_shared_destination_is_that_of_the_first_context_that_may_use_it(
    holdings: Holdings, destinations: Destinations
) -> None:
    blind, seeing = Plans(), Plans({V1: plan(V1)})
    destinations.use(("a", "u"), [V1])
    destinations.use(("b", "u"), [V1])
    destinations.refresh({"a": blind, "b": seeing}, CONFIG)
    assert holdings.names(TypeUrl.CLUSTER) == {V1.name}
    destinations.use(("b", "u"), [])
    destinations.refresh({"a": blind, "b": seeing}, CONFIG)
    assert holdings.names(TypeUrl.CLUSTER) == set()


def test_a_destination_of_one_context_is_planned_by_it_alone(
    holdings: Holdings, destinations: Destinations
) -> None:
    own = ClusterKey(HostName("a.b"), 80, "", "b")
    destinations.use(("b", "u"), [own])
    other = Plans({own: plan(own)})
    destinations.refresh({"a": other, "b": Plans()}, CONFIG)
    assert not holdings.names(TypeUrl.CLUSTER)
    assert not other.asked


FIRST = Place("10.0.0.1", 9080)
REVIEWS = Destination(V1.host, V1.port)


def states(holdings: Holdings, key: ClusterKey) -> dict[str, int]:
    """Health of each endpoint that the holdings say, by address."""
    found = holdings.get(TypeUrl.ENDPOINTS, key.name)
    assert found is not None
    made = pb.ClusterLoadAssignment.FromString(found.body)
    return {
        one.endpoint.address.socket_address.address: one.health_status
        for group in made.endpoints
        for one in group.lb_endpoints
    }


def test_what_is_imposed_holds_in_every_cluster_of_its_destination_alone(
    holdings: Holdings, destinations: Destinations
) -> None:
    balancer = Plans({key: plan(key) for key in (V1, V2, RATINGS)})
    destinations.use(("", "u"), [V1, V2, RATINGS])
    destinations.refresh({"": balancer}, CONFIG)
    holdings.tell("e@1")
    balancer.asked.clear()
    destinations.impose({(REVIEWS, FIRST): Imposed.EJECTED})
    destinations.refresh({"": balancer}, CONFIG)
    assert sorted(balancer.asked) == sorted([V1, V2])
    assert set(holdings.tell("e@1").upserts) == {TypeUrl.ENDPOINTS}
    for key in (V1, V2):
        assert states(holdings, key)["10.0.0.1"] == pb.HealthStatus.UNHEALTHY
    assert states(holdings, RATINGS)["10.0.0.1"] == pb.HealthStatus.HEALTHY
    balancer.asked.clear()
    destinations.impose({(REVIEWS, FIRST): Imposed.EJECTED})
    destinations.refresh({"": balancer}, CONFIG)
    assert not balancer.asked
    destinations.impose({})
    destinations.refresh({"": balancer}, CONFIG)
    assert states(holdings, V1)["10.0.0.1"] == pb.HealthStatus.HEALTHY


def test_a_cluster_that_comes_later_has_what_was_imposed_before(
    holdings: Holdings, destinations: Destinations
) -> None:
    destinations.impose({(REVIEWS, FIRST): Imposed.EJECTED})
    destinations.use(("", "u"), [V1])
    destinations.refresh({"": Plans({V1: plan(V1)})}, CONFIG)
    assert states(holdings, V1)["10.0.0.1"] == pb.HealthStatus.UNHEALTHY


def detecting(
    key: ClusterKey, *, connect_timeout_s: float = 1.0, detects: bool = True
) -> ClusterPlan:
    pool = ConnectionPoolSettings.model_validate(
        {"tcp": {"connectTimeout": f"{connect_timeout_s}s"}}
    )
    policy = Policy(connection_pool=pool, outlier_detection=OutlierDetection() if detects else None)
    return replace(plan(key), policy=policy)


def test_a_changed_cluster_keeps_what_envoy_had_ejected_until_its_time_is_over(
    holdings: Holdings, destinations: Destinations
) -> None:
    destinations.use(("", "u"), [V1, V2])
    plans = {key: detecting(key) for key in (V1, V2)}
    destinations.refresh({"": Plans(plans)}, CONFIG)
    destinations.local.seen({(V1.name, FIRST): 30.0, (V2.name, FIRST): 30.0})
    destinations.touch(MeshChange(everything=True))
    destinations.refresh({"": Plans(plans)}, CONFIG)
    assert states(holdings, V1)["10.0.0.1"] == pb.HealthStatus.HEALTHY, "Envoy still knows it"
    destinations.touch(MeshChange(everything=True))
    plans[V1] = detecting(V1, connect_timeout_s=2.0)
    destinations.refresh({"": Plans(plans)}, CONFIG)
    assert states(holdings, V1)["10.0.0.1"] == pb.HealthStatus.UNHEALTHY
    assert states(holdings, V2)["10.0.0.1"] == pb.HealthStatus.HEALTHY
    assert destinations.local.deadline() == 30.0
    destinations.local.seen({(V2.name, FIRST): 30.0})
    destinations.release(destinations.local.expire(29.9))
    destinations.refresh({"": Plans(plans)}, CONFIG)
    assert states(holdings, V1)["10.0.0.1"] == pb.HealthStatus.UNHEALTHY
    destinations.release(destinations.local.expire(30.0))
    destinations.refresh({"": Plans(plans)}, CONFIG)
    assert states(holdings, V1)["10.0.0.1"] == pb.HealthStatus.HEALTHY
    assert destinations.local.deadline() is None


def test_a_rule_that_stops_detecting_lets_its_ejections_go(
    holdings: Holdings, destinations: Destinations
) -> None:
    destinations.use(("", "u"), [V1])
    destinations.refresh({"": Plans({V1: detecting(V1)})}, CONFIG)
    destinations.local.seen({(V1.name, FIRST): 30.0})
    destinations.touch(MeshChange(everything=True))
    destinations.refresh({"": Plans({V1: detecting(V1, detects=False)})}, CONFIG)
    assert states(holdings, V1)["10.0.0.1"] == pb.HealthStatus.HEALTHY


def test_clusters_of_a_destination_are_those_that_take_their_endpoints_from_us(
    destinations: Destinations,
) -> None:
    destinations.use(("", "u"), [V1, V2])
    plans = {V1: plan(V1), V2: plan(V2, resolution=Resolution.DNS)}
    destinations.refresh({"": Plans(plans)}, CONFIG)
    assert destinations.clusters_of(REVIEWS) == {V1}
    assert destinations.take_touched() == {REVIEWS}
    assert destinations.take_touched() == frozenset()
    destinations.use(("", "u"), [V2])
    destinations.refresh({"": Plans(plans)}, CONFIG)
    assert destinations.clusters_of(REVIEWS) == frozenset()
    assert destinations.take_touched() == {REVIEWS}
