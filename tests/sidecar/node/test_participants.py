from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.mesh.model import Endpoint, HostName, Locality, Provenance
from sidecar.node.events import Effect, EnvoyAsked, ParticipantsChanged
from sidecar.node.node import Node
from sidecar.node.participants import ObservedCluster, generation_of
from sidecar.outlier.model import Destination, Place
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from store.snapshot import Entry, Snapshot
from tests.harness.nodes import EPOCH, arrive, make_node, registration
from tests.harness.objects import destination_rule, service_entry

HOST = HostName("a.default.svc.cluster.local")
A = Destination(HOST, 80)
REVIEWS = Destination(HostName("reviews.default.svc.cluster.local"), 9080)
DETECTION = {"baseEjectionTime": "7s", "maxEjectionPercent": 40}


def entry(document: dict[str, Any], revision: int, *, created: int | None = None) -> Entry:
    plural = {
        "ServiceEntry": "serviceentries",
        "DestinationRule": "destinationrules",
        "MeshConfig": "mesh",
    }[document["kind"]]
    meta = document["metadata"]
    key = "mesh" if plural == "mesh" else f"ns/{meta['namespace']}/{plural}/{meta['name']}"
    return Entry(key, json.dumps(document).encode(), created or revision, revision, 1)


def service(revision: int, *addresses: str, created: int | None = None, **spec: Any) -> Entry:
    endpoints = [{"address": address} for address in addresses]
    document = service_entry("a", [HOST], endpoints=endpoints, **spec)
    return entry(dict(document), revision, created=created)


def rule(revision: int, host: str = "a", **spec: Any) -> Entry:
    policy = spec or {"trafficPolicy": {"outlierDetection": DETECTION}}
    return entry(dict(destination_rule(host, host, **policy)), revision)


def told(effects: list[Effect]) -> ParticipantsChanged | None:
    found = [effect for effect in effects if isinstance(effect, ParticipantsChanged)]
    assert len(found) <= 1
    return found[0] if found else None


def facts(node: Node) -> dict[Place, Any]:
    return {one.place: one for one in node.participants.facts[A].endpoints}


def test_a_destination_takes_part_once_its_rule_detects_outliers() -> None:
    node = make_node()
    snapshot = Snapshot.of(EPOCH, 5, [service(5, "10.0.0.1", "10.0.0.2")])
    assert told(arrive(node, snapshot)) is None
    change = told(arrive(node, snapshot.apply([rule(6)], (), 6)))
    assert change is not None
    assert set(change.facts) == {A}
    policy = change.facts[A].policy
    assert (policy.base_ejection_s, policy.max_ejection_share) == (7.0, 0.4)
    places = [one.place for one in change.facts[A].endpoints]
    assert places == [Place("10.0.0.1", 80), Place("10.0.0.2", 80)]
    assert change.clusters == {
        f"outbound|80||{HOST}": ObservedCluster(A, base_ejection_s=7.0, max_ejection_s=300.0)
    }
    with_rule = snapshot.apply([rule(6)], (), 6)
    gone = told(arrive(node, with_rule.apply([], ["ns/default/destinationrules/a"], 7)))
    assert gone is not None
    assert not gone.facts
    assert not gone.clusters


def test_all_destinations_take_part_where_the_mesh_says_so() -> None:
    node = make_node()
    config = {
        "apiVersion": "meshd.io/v1",
        "kind": "MeshConfig",
        "metadata": {"name": "mesh"},
        "spec": {"ejection": {"scope": "all"}},
    }
    snapshot = Snapshot.of(EPOCH, 5, [service(5, "10.0.0.1"), registration("h1", 4)])
    arrive(node, snapshot)
    change = told(arrive(node, snapshot.apply([entry(config, 6)], (), 6)))
    assert change is not None
    assert set(change.facts) == {A, REVIEWS}


def test_a_subset_that_detects_brings_the_whole_destination_in() -> None:
    node = make_node()
    subsets = [{"name": "v1", "labels": {}, "trafficPolicy": {"outlierDetection": DETECTION}}]
    arrive(node, Snapshot.of(EPOCH, 5, [service(4, "10.0.0.1"), rule(5, subsets=subsets)]))
    assert node.participants.facts[A].policy.base_ejection_s == 7.0


@pytest.mark.parametrize("resolution", ["DNS", "NONE"])
def test_what_envoy_resolves_itself_takes_no_part(resolution: str) -> None:
    node = make_node()
    endpoints = () if resolution == "NONE" else ("a.example.com",)
    arrive(
        node,
        Snapshot.of(EPOCH, 5, [service(4, *endpoints, resolution=resolution), rule(5)]),
    )
    assert not node.participants.facts


def test_ports_of_tcp_are_observed_as_such() -> None:
    node = make_node()
    ports = [
        {"number": 80, "name": "web", "protocol": "HTTP"},
        {"number": 81, "name": "raw", "protocol": "TCP"},
    ]
    snapshot = Snapshot.of(EPOCH, 5, [service(4, "10.0.0.1", ports=ports), rule(5)])
    arrive(node, snapshot)
    found = {one.destination.port: one.is_tcp for one in node.participants.clusters.values()}
    assert found.items() <= {80: False, 81: True}.items()


def test_on_demand_only_what_traffic_asked_for_takes_part() -> None:
    node = make_node(budget_services=0)
    assert told(arrive(node, Snapshot.of(EPOCH, 5, [service(4, "10.0.0.1"), rule(5)]))) is None
    change = told(node.handle(EnvoyAsked((f"outbound/{HOST}:80",)), 2.0))
    assert change is not None
    assert set(change.facts) == {A}


def test_a_change_of_something_else_tells_nothing() -> None:
    node = make_node()
    first = Snapshot.of(EPOCH, 5, [service(4, "10.0.0.1"), rule(5), registration("h1", 3)])
    arrive(node, first)
    assert told(arrive(node, first.apply([registration("h2", 6)], (), 6))) is None


def test_registered_endpoints_bear_their_host_and_their_own_word() -> None:
    node = make_node()
    rules = rule(5, "reviews")
    first = Snapshot.of(EPOCH, 5, [rules, registration("h1", 3), registration("h2", 4)])
    arrive(node, first)
    one, two = node.participants.facts[REVIEWS].endpoints
    assert (one.node, two.node) == ("h1", "h2")
    assert one.takes_requests
    draining = first.apply([registration("h1", 6, "draining")], (), 6)
    change = told(arrive(node, draining))
    assert change is not None
    after = change.facts[REVIEWS].endpoints[0]
    assert (after.takes_requests, after.generation) == (False, one.generation)


def test_a_restart_keeps_the_generation_and_another_workload_at_the_address_does_not() -> None:
    place = Endpoint("10.0.0.1", 80, host="h1", source=Provenance(None, 0, "hosts/h1 workload r"))
    again = Endpoint("10.0.0.1", 80, host="h1", source=Provenance(None, 0, "hosts/h1 workload r"))
    other = Endpoint("10.0.0.1", 80, host="h2", source=Provenance(None, 0, "hosts/h2 workload r"))
    assert generation_of(place, 5) == generation_of(again, 9)
    assert generation_of(place, 5) != generation_of(other, 5)
    assert 0 <= generation_of(place, 5) < 2**32


def test_an_object_that_is_made_anew_is_another_generation_and_an_edited_one_is_not() -> None:
    ref = ObjectRef(Kind.SERVICE_ENTRY, "default", "a")
    first = Endpoint("10.0.0.1", 80, source=Provenance(ref, 1, "spec.endpoints[0]"))
    moved = Endpoint(
        "10.0.0.1", 80, locality=Locality("r"), source=Provenance(ref, 2, "spec.endpoints[1]")
    )
    assert generation_of(first, 5) == generation_of(moved, 5)
    assert generation_of(first, 5) != generation_of(first, 9)
    node = make_node()
    kept = Snapshot.of(EPOCH, 5, [service(4, "10.0.0.1"), rule(5)])
    arrive(node, kept)
    before = facts(node)[Place("10.0.0.1", 80)].generation
    arrive(node, kept.apply([service(6, "10.0.0.1", "10.0.0.2", created=4)], (), 6))
    assert facts(node)[Place("10.0.0.1", 80)].generation == before
    arrive(node, kept.apply([service(7, "10.0.0.1")], (), 7))
    assert facts(node)[Place("10.0.0.1", 80)].generation != before
