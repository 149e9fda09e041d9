from __future__ import annotations

import pytest

from meshd.graph import Kind, State
from meshd.graph.destinations import Destinations, unreached, ways_of
from sidecar.mesh.model import HostName
from sidecar.mesh.view import View
from sidecar.routing.table import Cluster, ClusterKey, Forward, Mirror, WeightedCluster
from tests.harness.catalogs import Document
from tests.harness.routing import object_of
from tests.meshd.graph.meshes import WEB, mesh_of, service

A = "a.default.svc.cluster.local"
KEY = ClusterKey(HostName(A), 80)


def known(*objects: Document) -> Destinations:
    return Destinations(View(mesh_of(*objects), WEB))


def to(*keys: ClusterKey | Cluster, mirrors: tuple[Mirror, ...] = ()) -> Forward:
    return Forward(tuple(WeightedCluster(key) for key in keys), mirrors=mirrors)


def test_weights_and_priorities_are_told_at_the_arrow_to_an_endpoint() -> None:
    heavy = service(A, "http:80")
    heavy = object_of(
        "ServiceEntry",
        "a",
        {
            "hosts": [A],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": "STATIC",
            "endpoints": [{"address": "10.0.0.1", "weight": 3, "locality": "eu/a"}],
        },
    )
    (way,) = ways_of(to(KEY), known(heavy), {})
    ((label, endpoint),) = way.destination.endpoints
    assert label == "weight 3"
    assert endpoint.lines == ("eu/a",)
    assert endpoint.state is State.HEALTHY


@pytest.mark.parametrize(
    ("more", "kind", "title", "lines"),
    [
        ({}, Kind.SERVICE, f"service {A}:80", ("LEAST_REQUEST",)),
        (
            {"location": "MESH_EXTERNAL", "resolution": "DNS"},
            Kind.EXTERNAL,
            f"external service {A}:80",
            ("LEAST_REQUEST", "addresses by DNS"),
        ),
        (
            {"resolution": "NONE"},
            Kind.SERVICE,
            f"service {A}:80",
            ("LEAST_REQUEST", "at the address that the request names"),
        ),
    ],
)
def test_a_destination_says_what_it_is_and_how_it_is_found(
    more: dict[str, object], kind: Kind, title: str, lines: tuple[str, ...]
) -> None:
    addresses = () if more.get("resolution") == "NONE" else ("10.0.0.1",)
    (way,) = ways_of(to(KEY), known(service(A, "http:80", *addresses, **more)), {})
    node = way.destination.node
    assert (node.kind, node.title, node.lines, node.state) == (kind, title, lines, State.PLAIN)


def test_policies_are_told_with_the_rule_that_says_so() -> None:
    rule = object_of(
        "DestinationRule",
        "a",
        {
            "host": "a",
            "trafficPolicy": {
                "loadBalancer": {"consistentHash": {"httpHeaderName": "x"}},
                "tls": {"mode": "SIMPLE"},
                "outlierDetection": {"consecutive5xxErrors": 3},
            },
        },
    )
    (way,) = ways_of(to(KEY), known(service(A, "http:80", "10.0.0.1"), rule), {})
    assert way.destination.node.lines == (
        "consistent hash by DestinationRule/default/a@1 spec.trafficPolicy",
        "TLS SIMPLE",
        "outlier detection",
    )


def test_a_destination_without_endpoints_is_broken_and_says_so() -> None:
    (way,) = ways_of(to(KEY), known(service(A, "http:80")), {})
    assert way.destination.node.state is State.BROKEN
    assert way.destination.node.lines[-1] == "problem: it has no endpoints: requests to it get 503"


def test_what_leads_to_no_service_is_named_in_words() -> None:
    found = list(ways_of(to(Cluster.PASSTHROUGH, Cluster.BLACK_HOLE), known(), {}))
    assert [way.destination.node.title for way in found] == ["passed through", "dropped"]
    assert {way.destination.node.kind for way in found} == {Kind.PASSTHROUGH}


def test_a_mirror_is_a_way_that_is_not_taken() -> None:
    forward = to(KEY, mirrors=(Mirror(KEY, 50_000),))
    ways = list(ways_of(forward, known(service(A, "http:80", "10.0.0.1")), {}))
    assert [(way.label, way.is_taken) for way in ways] == [("100 %", True), ("5 % copied", False)]
    assert ways[0].destination == ways[1].destination


def test_an_ejection_outweighs_what_the_registration_says() -> None:
    ejected = {(f"{A}:80", "10.0.0.1:80"): "ejected: enough accuse it"}
    (way,) = ways_of(to(KEY), known(service(A, "http:80", "10.0.0.1")), ejected)
    ((_, endpoint),) = way.destination.endpoints
    assert endpoint.state is State.EJECTED
    assert endpoint.lines == ("ejected: enough accuse it",)


def test_an_unreached_subset_is_no_broken_one() -> None:
    rule = object_of("DestinationRule", "a", {"host": "a", "subsets": [{"name": "v1"}]})
    way = unreached(
        ClusterKey(HostName(A), 80, "v1"), known(service(A, "http:80", "10.0.0.1"), rule), {}
    )
    assert way.destination.node.state is State.UNREACHED
    assert (way.label, way.is_taken) == ("no route drawn here", False)


def test_each_destination_is_looked_at_once() -> None:
    asked = known(service(A, "http:80", "10.0.0.1"))
    assert asked.endpoints(KEY) is asked.endpoints(KEY)
    assert asked.plan(KEY) is asked.plan(KEY)
