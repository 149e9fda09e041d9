"""Ejections through the node: what is imposed, what is held over a change of its cluster."""

from __future__ import annotations

import json

from sidecar.mesh.model import HostName
from sidecar.node.events import Desire, Effect, EndpointsJudged, EnvoyEjected, EnvoyForgot, Tick
from sidecar.node.node import Node
from sidecar.outlier.events import Imposed
from sidecar.outlier.model import Destination, Place
from sidecar.xds import protos as pb
from sidecar.xds.resource import DesiredChange, TypeUrl
from store.snapshot import Entry, Snapshot
from tests.harness.catalogs import Document
from tests.harness.nodes import EPOCH, arrive, make_node
from tests.harness.objects import destination_rule, service_entry


def stored(place: str, document: Document, revision: int) -> Entry:
    return Entry(f"ns/default/{place}", json.dumps(document).encode(), revision, revision, 1)


def desired(effects: list[Effect]) -> DesiredChange:
    """The one change; a label may be told besides."""
    (found,) = [one.change for one in effects if isinstance(one, Desire) and one.change]
    return found


A = Destination(HostName("a.default.svc.cluster.local"), 80)
A_FIRST = Place("10.0.0.1", 80)
A_CLUSTER = "outbound|80||a.default.svc.cluster.local"


def two_endpoints() -> Snapshot:
    entry = service_entry(
        "a", [A.host], endpoints=[{"address": "10.0.0.1"}, {"address": "10.0.0.2"}]
    )
    return Snapshot.of(EPOCH, 5, [stored("serviceentries/a", entry, 4), detection("1s", 5)])


def detection(connect_timeout: str, revision: int) -> Entry:
    policy = {
        "connectionPool": {"tcp": {"connectTimeout": connect_timeout}},
        "outlierDetection": {"baseEjectionTime": "30s"},
    }
    return stored("destinationrules/a", destination_rule("a", "a", trafficPolicy=policy), revision)


def health(node: Node) -> list[int]:
    body = node.builder.resources[TypeUrl.ENDPOINTS][A_CLUSTER].body
    made = pb.ClusterLoadAssignment.FromString(body)
    return [one.health_status for group in made.endpoints for one in group.lb_endpoints]


WELL, OUT = pb.HealthStatus.HEALTHY, pb.HealthStatus.UNHEALTHY


def test_what_is_judged_is_desired_as_endpoints_alone() -> None:
    node = make_node()
    arrive(node, two_endpoints())
    change = desired(node.handle(EndpointsJudged({(A, A_FIRST): Imposed.EJECTED}), 2.0))
    assert set(change.upserts) == {TypeUrl.ENDPOINTS}
    assert health(node) == [OUT, WELL]
    assert not node.handle(EndpointsJudged({(A, A_FIRST): Imposed.EJECTED}), 3.0)
    desired(node.handle(EndpointsJudged({}), 4.0))
    assert health(node) == [WELL, WELL]


def test_what_is_judged_before_the_first_snapshot_comes_with_it() -> None:
    node = make_node()
    assert not node.handle(EndpointsJudged({(A, A_FIRST): Imposed.EJECTED}), 0.0)
    arrive(node, two_endpoints())
    assert health(node) == [OUT, WELL]


def test_a_local_ejection_is_held_over_a_change_of_its_cluster_and_let_go_in_time() -> None:
    node = make_node()
    first = two_endpoints()
    arrive(node, first)
    assert not node.handle(EnvoyEjected({(A_CLUSTER, A_FIRST): 30.0}), 2.0)
    assert node.deadline() is None
    arrive(node, first.apply([detection("2s", 6)], (), 6), 3.0)
    assert health(node) == [OUT, WELL]
    assert node.deadline() == 30.0
    node.handle(Tick(), 29.0)
    assert health(node) == [OUT, WELL]
    desired(node.handle(Tick(), 30.0))
    assert health(node) == [WELL, WELL]
    assert node.deadline() is None


def test_an_envoy_that_started_anew_has_nothing_held() -> None:
    node = make_node()
    first = two_endpoints()
    arrive(node, first)
    node.handle(EnvoyEjected({(A_CLUSTER, A_FIRST): 30.0}), 2.0)
    arrive(node, first.apply([detection("2s", 6)], (), 6), 3.0)
    desired(node.handle(EnvoyForgot(), 4.0))
    assert health(node) == [WELL, WELL]
