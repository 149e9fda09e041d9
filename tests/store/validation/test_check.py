"""Checking any document: it never raises, finds everything at once, and says where."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.diagnostics import Level, render
from store.manifest import read_text
from store.objects.kinds import ISTIO_VERSIONS, KINDS, Kind
from store.validation import check_document, check_object
from store.validation.shape import fields_of, model_at
from store.validation.support import NOT_IN_FORCE, NOT_IN_ISTIO, Unsupported

VALID: dict[Kind, dict[str, Any]] = {
    Kind.VIRTUAL_SERVICE: {
        "hosts": ["reviews"],
        "http": [
            {
                "match": [{"uri": {"prefix": "/a"}, "headers": {"x": {"regex": "a+"}}, "port": 80}],
                "route": [{"destination": {"host": "reviews", "subset": "v1"}, "weight": 1}],
                "retries": {"attempts": 2, "retryOn": "5xx"},
                "timeout": "1s",
                "fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 5.0}}},
                "headers": {"request": {"set": {"a": "%REQ(b)%"}}},
            }
        ],
    },
    Kind.DESTINATION_RULE: {
        "host": "reviews",
        "trafficPolicy": {
            "loadBalancer": {
                "localityLbSetting": {"distribute": [{"from": "a/*", "to": {"b": 100}}]}
            },
            "connectionPool": {"tcp": {"maxConnections": 1}},
            "outlierDetection": {"interval": "1s"},
            "tls": {"mode": "SIMPLE"},
            "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "DISABLE"}}],
        },
        "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
    },
    Kind.GATEWAY: {
        "selector": {"app": "gw"},
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
    },
    Kind.SERVICE_ENTRY: {
        "hosts": ["a.example.org"],
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "resolution": "STATIC",
        "endpoints": [{"address": "10.0.0.1", "ports": {"http": 8080}}],
    },
    Kind.WORKLOAD_ENTRY: {"address": "10.0.0.1", "labels": {"app": "a"}},
    Kind.WORKLOAD_GROUP: {"template": {}, "probe": {"tcpSocket": {"port": 1}}},
    Kind.SIDECAR: {"egress": [{"hosts": ["./*"]}]},
    Kind.MESH_CONFIG: {"domain": "a.b"},
}


def document(kind: Kind, spec: object) -> dict[str, Any]:
    """A whole object."""
    name = "mesh" if kind is Kind.MESH_CONFIG else "x"
    version = KINDS[kind].api_versions[0]
    return {"apiVersion": version, "kind": kind.value, "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize("kind", Kind)
def test_a_valid_object_of_each_kind_gives_its_model(kind: Kind) -> None:
    model, problems = check_object(document(kind, VALID[kind]))
    assert [problem for problem in problems if problem.level is Level.ERROR] == []
    assert model is not None
    assert model.kind is kind


@pytest.mark.parametrize("version", ISTIO_VERSIONS)
def test_all_versions_of_the_api_mean_the_same(version: str) -> None:
    one = document(Kind.VIRTUAL_SERVICE, VALID[Kind.VIRTUAL_SERVICE]) | {"apiVersion": version}
    assert check_object(one)[0] is not None


def test_an_object_with_an_error_gives_no_model_but_all_problems() -> None:
    spec = {"hosts": ["a b", "*"], "http": [{"rout": []}], "tpc": []}
    model, problems = check_object(document(Kind.VIRTUAL_SERVICE, spec))
    assert model is None
    assert {problem.code for problem in problems} == {
        "MESH0102",
        "MESH0301",
        "MESH0314",
        "MESH0341",
        "MESH0331",
    }


def test_a_warning_does_not_cost_the_model() -> None:
    model, problems = check_object(document(Kind.WORKLOAD_ENTRY, {"network": "west"}))
    assert model is not None
    assert [problem.level for problem in problems] == [Level.WARNING]


def test_problems_name_the_object_and_the_file() -> None:
    one = document(Kind.WORKLOAD_ENTRY, {}) | {"metadata": {"name": "a", "namespace": "b"}}
    (problem,) = check_object(one, "f.yaml")[1]
    assert (problem.object, problem.file) == ("WorkloadEntry/b/a", "f.yaml")


def test_a_document_is_not_changed_by_its_check() -> None:
    one = document(
        Kind.VIRTUAL_SERVICE,
        {"hosts": ["a", {"route": []}], "http": [{"route": [{"destination": None, "host": "b"}]}]},
    )
    before = copy.deepcopy(one)
    check_object(one)
    assert one == before


@pytest.mark.parametrize(
    ("size", "code"), [(100, None), (200 * 1024, "MESH0339"), (2 * 1024 * 1024, "MESH0328")]
)
def test_bodies_of_fixed_answers_are_bounded(size: int, code: str | None) -> None:
    answer = {"status": 200, "body": {"string": "x" * size}}
    spec = {"hosts": ["a"], "http": [{"directResponse": answer}]}
    found = [problem.code for problem in check_object(document(Kind.VIRTUAL_SERVICE, spec))[1]]
    assert found == ([code] if code else [])


def test_thousands_of_problems_are_named_up_to_a_bound() -> None:
    spec = {"hosts": ["a"], "http": [{f"x{n}": 1} for n in range(5000)]}
    assert len(check_object(document(Kind.VIRTUAL_SERVICE, spec))[1]) <= 200


def test_places_come_from_the_text() -> None:
    text = json.dumps(document(Kind.WORKLOAD_ENTRY, {"adress": "x"}), indent=2)
    (one,) = read_text(text, "f").documents
    found = {(p.code, p.line, p.column) for p in check_document(one)}
    assert found == {("MESH0102", 8, 5)}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
hostile = json_values | st.sampled_from(
    ["*", "", "a.b", "-", "1s", "::1", "unix://", 10**40, float("nan")]
)


@given(
    st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "spec", "x"]), json_values)
)
def test_any_mapping_can_be_checked(value: dict[str, Any]) -> None:
    render(check_object(value)[1])


@given(st.sampled_from(Kind), json_values, json_values)
def test_any_spec_and_metadata_can_be_checked(kind: Kind, spec: object, metadata: object) -> None:
    one = document(kind, spec) | ({"metadata": metadata} if metadata else {})
    render(check_object(one)[1])


def paths(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of everything in a document."""
    found = [at]
    if isinstance(value, dict):
        for key, item in value.items():
            found += paths(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += paths(item, (*at, index))
    return found


@settings(max_examples=400)
@given(st.data(), st.sampled_from(Kind), st.integers(1, 3))
def test_valid_objects_with_parts_replaced_can_be_checked(
    data: st.DataObject, kind: Kind, changes: int
) -> None:
    one = document(kind, copy.deepcopy(VALID[kind]))
    for _ in range(changes):
        path = data.draw(st.sampled_from([path for path in paths(one) if len(path) > 1]))
        owner: Any = one
        for part in path[:-1]:
            owner = owner[part]
        owner[path[-1]] = data.draw(hostile)
        if isinstance(owner, dict) and data.draw(st.booleans()):
            owner[data.draw(st.text(max_size=5))] = data.draw(hostile)
    model, problems = check_object(one)
    render(problems)
    errors = [problem for problem in problems if problem.level is Level.ERROR]
    assert (model is None) == bool(errors)
    assert problems == sorted(problems)


@pytest.mark.parametrize("row", [*NOT_IN_FORCE, *NOT_IN_ISTIO], ids=lambda row: row.paths[0])
def test_every_row_of_what_has_no_effect_names_fields_that_exist(row: Unsupported) -> None:
    for path in row.paths:
        parts = tuple(0 if part == "*" else part for part in path.replace("[]", ".*").split("."))
        owner = model_at(row.kind, parts[:-1])
        assert owner is not None, path
        assert parts[-1] in fields_of(owner), path


def test_a_thousand_modest_objects_are_checked_in_well_under_a_second() -> None:
    kinds = [kind for kind in Kind if kind is not Kind.MESH_CONFIG]
    objects = [document(kinds[n % len(kinds)], VALID[kinds[n % len(kinds)]]) for n in range(1000)]
    check_object(objects[0])
    start = time.process_time()
    for one in objects:
        check_object(one)
    assert time.process_time() - start < 0.8
