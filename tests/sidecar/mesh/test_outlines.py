"""What is read from an object's JSON is what is read from its model; what is not plain is left to the model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from sidecar.mesh.facts import MeshDefaults, read_facts
from sidecar.mesh.outlines import OUTLINED, outlined_facts
from store.objects import parse_object
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from tests.harness.catalogs import Document
from tests.harness.objects import destination_rule, service_entry, virtual_service
from tests.sidecar.mesh.test_mesh import documents

DEFAULTS = MeshDefaults(domain="mesh.test", service_export_to=(".",))


def outlined(document: Document) -> object:
    ref = ObjectRef(Kind(str(document["kind"])), "prod", "one")
    return outlined_facts(json.loads(json.dumps(document)), ref, (7, 3), DEFAULTS)


@given(documents)
@settings(max_examples=200)
def test_an_outline_says_what_the_model_says(document: Document) -> None:
    if document["kind"] == "HostRegistration":
        return
    model = parse_object(document)
    found = outlined_facts(document, model.ref, (7, 3), DEFAULTS)
    assert found == (
        read_facts(model, model.ref, (7, 3), DEFAULTS) if model.kind in OUTLINED else None
    )


EVERY_FIELD = [
    virtual_service(
        "one",
        ["Short", "a.b", "*.c"],
        "prod",
        gateways=["mesh", "g", "./g", "g.edge"],
        exportTo=[".", "other"],
        http=[
            {"delegate": {"name": "d"}},
            {"delegate": {"namespace": "n", "name": "d"}},
            {"route": []},
        ],
    ),
    destination_rule(
        "one", "short", "prod", exportTo=["."], workloadSelector={"matchLabels": {"b": "1"}}
    ),
    destination_rule("one", "*.c", "prod", exportTo=["~"]),
    service_entry(
        "one",
        ["Short", "short", "*.c"],
        "prod",
        addresses=["10.0.0.1", "10.1.0.0/16"],
        workloadSelector={"labels": {"b": "1", "a": "2"}},
        exportTo=["x"],
    ),
]


@pytest.mark.parametrize("document", EVERY_FIELD)
def test_every_field_that_an_index_reads_is_read_alike(document: Document) -> None:
    model = parse_object(document)
    assert outlined(document) == read_facts(model, model.ref, (7, 3), DEFAULTS)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VirtualService", None),
        ("VirtualService", []),
        ("VirtualService", {"hosts": "a"}),
        ("VirtualService", {"hosts": [1]}),
        ("VirtualService", {"hosts": ["a"], "http": [1]}),
        ("VirtualService", {"hosts": ["a"], "http": [{"delegate": None}]}),
        ("VirtualService", {"hosts": ["a"], "gateways": None}),
        ("DestinationRule", {}),
        ("DestinationRule", {"host": 1}),
        ("DestinationRule", {"host": "a", "workloadSelector": {"matchLabels": {"a": 1}}}),
        ("ServiceEntry", {"addresses": []}),
        ("ServiceEntry", {"hosts": ["a"], "addresses": {}}),
        ("ServiceEntry", {"hosts": ["a"], "workloadSelector": []}),
    ],
)
def test_what_is_not_plainly_an_object_of_its_kind_is_left_to_the_model(
    kind: str, spec: Any
) -> None:
    assert outlined({"kind": kind, "spec": spec}) is None


def test_kinds_that_a_mesh_has_few_of_are_left_to_the_model() -> None:
    assert Kind.GATEWAY not in OUTLINED
    assert outlined({"kind": "Gateway", "spec": {"selector": {}}}) is None
