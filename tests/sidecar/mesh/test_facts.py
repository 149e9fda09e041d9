"""Facts read off objects: completed names, gateway names, delegates, selectors."""

from __future__ import annotations

import pytest

from sidecar.mesh.facts import (
    DestinationRuleFacts,
    Facts,
    GatewayFacts,
    MeshDefaults,
    ServiceEntryFacts,
    SidecarFacts,
    VirtualServiceFacts,
    WorkloadEntryFacts,
    gateway_name,
    read_facts,
)
from store.objects import parse_object
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from tests.harness.catalogs import Document
from tests.harness.objects import (
    destination_rule,
    gateway,
    mesh_config,
    service_entry,
    sidecar,
    virtual_service,
    workload_entry,
)


def read(document: Document, defaults: MeshDefaults | None = None) -> Facts | None:
    model = parse_object(document)
    return read_facts(model, model.ref, (7, 3), defaults or MeshDefaults())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mesh", "mesh"),
        ("front", "prod/front"),
        ("./front", "prod/front"),
        ("edge/front", "edge/front"),
        ("front.edge", "edge/front"),
        ("front.edge.svc.cluster.local", "edge/front"),
    ],
)
def test_gateway_names_are_completed_with_the_namespace(name: str, expected: str) -> None:
    assert gateway_name(name, "prod") == expected


def test_a_virtual_service_binds_to_the_mesh_unless_it_names_gateways() -> None:
    plain = read(virtual_service("a", ["Reviews", "reviews", "*.x"], "prod"))
    assert isinstance(plain, VirtualServiceFacts)
    assert plain.hosts == ("reviews.prod.svc.cluster.local", "*.x")
    assert (plain.gateways, plain.export_to) == (("mesh",), ("*",))
    assert (plain.create_revision, plain.generation) == (7, 3)
    bound = read(virtual_service("a", ["a.b"], "prod", gateways=["g", "./g", "mesh"]))
    assert isinstance(bound, VirtualServiceFacts)
    assert bound.gateways == ("prod/g", "mesh")


def test_delegates_are_named_once_with_the_namespace_of_the_root_by_default() -> None:
    rules = [
        {"delegate": {"name": "d"}},
        {"delegate": {"name": "e", "namespace": "team"}},
        {"delegate": {"name": "d", "namespace": "prod"}},
    ]
    found = read(virtual_service("root", ["a.b"], "prod", http=rules))
    assert isinstance(found, VirtualServiceFacts)
    assert found.delegates == (
        ObjectRef(Kind.VIRTUAL_SERVICE, "prod", "d"),
        ObjectRef(Kind.VIRTUAL_SERVICE, "team", "e"),
    )


def test_a_destination_rule_with_a_selector_is_private() -> None:
    selector = {"matchLabels": {"b": "2", "a": "1"}}
    found = read(destination_rule("d", "x", "prod", workloadSelector=selector, exportTo=["*"]))
    assert isinstance(found, DestinationRuleFacts)
    assert found.selector == (("a", "1"), ("b", "2"))
    assert found.export_to == ("prod",)


def test_defaults_of_the_mesh_are_used_where_an_object_is_silent() -> None:
    defaults = MeshDefaults(
        domain="m.test", service_export_to=(".",), virtual_service_export_to=("x",)
    )
    entry = read(service_entry("s", ["a"], "prod"), defaults)
    assert isinstance(entry, ServiceEntryFacts)
    assert (entry.hosts, entry.export_to) == (("a.prod.svc.m.test",), ("prod",))
    rule = read(virtual_service("v", ["a"], "prod"), defaults)
    assert isinstance(rule, VirtualServiceFacts)
    assert rule.export_to == ("x",)


def test_a_service_entry_keeps_addresses_but_not_ranges() -> None:
    found = read(service_entry("s", ["a.b"], addresses=["10.0.0.1", "10.0.0.0/8"]))
    assert isinstance(found, ServiceEntryFacts)
    assert (found.addresses, found.selector) == (("10.0.0.1",), None)


def test_kinds_that_no_index_keeps_have_no_facts() -> None:
    assert read(mesh_config()) is None
    group = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": "g"},
        "spec": {"template": {}},
    }
    assert read(group) is None


def test_other_kinds_keep_their_labels_sorted() -> None:
    entry = read(workload_entry("w", "1.2.3.4", {"b": "1", "a": "2"}))
    assert isinstance(entry, WorkloadEntryFacts)
    assert entry.labels == (("a", "2"), ("b", "1"))
    front = read(gateway("g", {"b": "1", "a": "2"}))
    assert isinstance(front, GatewayFacts)
    assert front.selector == (("a", "2"), ("b", "1"))
    assert isinstance(side := read(sidecar("s")), SidecarFacts)
    assert side.selector is None
