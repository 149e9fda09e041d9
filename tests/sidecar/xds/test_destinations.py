from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from sidecar.balancing.model import ClusterPlan, EndpointSet
from sidecar.mesh.model import Health, HostName, MeshChange, Resolution
from sidecar.routing.table import ClusterKey
from sidecar.xds import protos as pb
from sidecar.xds.compile import CompileOptions
from sidecar.xds.destinations import Destinations
from sidecar.xds.holdings import Holdings
from sidecar.xds.resource import TypeUrl
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


def test_imposed_health_is_for_the_cluster_it_names(
    holdings: Holdings, destinations: Destinations
) -> None:
    balancer = Plans({key: plan(key) for key in (V1, V2)})
    destinations.use(("", "u"), [V1, V2])
    destinations.impose({(V2.name, "10.0.0.1", 9080): Health.UNHEALTHY})
    destinations.refresh({"": balancer}, CONFIG)

    def states(key: ClusterKey) -> set[int]:
        found = holdings.get(TypeUrl.ENDPOINTS, key.name)
        assert found is not None
        made = pb.ClusterLoadAssignment.FromString(found.body)
        return {e.health_status for group in made.endpoints for e in group.lb_endpoints}

    assert pb.HealthStatus.UNHEALTHY in states(V2)
    assert pb.HealthStatus.UNHEALTHY not in states(V1)
