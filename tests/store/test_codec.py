from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from store.codec import DEPTH_MAX, VALUE_BYTES_MAX, Decoded, canonical, decode, encode, parse
from store.diagnostics import Level
from store.errors import InputError
from store.objects.base import MeshObject
from store.objects.host import HostRegistration
from store.objects.kinds import Kind

KEY = "ns/default/virtualservices/reviews"
REVIEWS: dict[str, Any] = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "reviews", "namespace": "default"},
    "spec": {
        "hosts": ["reviews"],
        "http": [
            {
                "match": [{"headers": {"cookie": {"regex": "user=jason"}}}],
                "route": [{"destination": {"host": "reviews", "subset": "v2"}, "weight": 1}],
                "timeout": "1.5s",
            },
            {"route": [{"destination": {"host": "reviews", "subset": "v1"}}]},
        ],
    },
}
HOST: dict[str, Any] = {
    "apiVersion": "meshd.io/v1",
    "kind": "HostRegistration",
    "host": "vm-7",
    "address": "10.0.0.7",
    "workloads": [
        {"name": "reviews-v1", "service": "reviews", "ports": [{"number": 9080, "name": "http"}]}
    ],
}


def codes(decoded: Decoded) -> set[str]:
    return {problem.code for problem in decoded.diagnostics if problem.level is Level.ERROR}


def changed(**fields: object) -> dict[str, Any]:
    return {**copy.deepcopy(REVIEWS), **fields}


def assert_sound(decoded: Decoded) -> None:
    """What every answer promises, whatever the bytes were."""
    assert (decoded.object is None) == bool(codes(decoded))
    for problem in decoded.diagnostics:
        json.dumps(problem.message).encode()
        str(problem.message).encode()
    if decoded.object is not None:
        assert decoded.document is not None
        encode(decoded.document)


def test_what_is_encoded_decodes_to_the_same_document() -> None:
    decoded = decode(KEY, encode(REVIEWS))
    assert decoded.document == REVIEWS
    assert isinstance(decoded.object, MeshObject)
    assert str(decoded.object.ref) == "VirtualService/default/reviews"
    assert not decoded.diagnostics


def test_equal_documents_are_equal_bytes_whatever_their_order() -> None:
    reordered = {name: REVIEWS[name] for name in reversed(REVIEWS)}
    assert encode(reordered) == encode(REVIEWS)
    assert b" " not in encode(REVIEWS).replace(b"user=jason", b"")


def test_what_a_server_writes_is_not_stored() -> None:
    served = changed(
        status={"conditions": []},
        metadata={
            **REVIEWS["metadata"],
            "resourceVersion": "7",
            "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{}],
            "uid": "x",
        },
    )
    assert encode(served) == encode(REVIEWS)
    assert canonical(served) == REVIEWS


def test_encoding_does_not_change_the_document() -> None:
    served = changed(status={}, metadata={**REVIEWS["metadata"], "uid": "x"})
    before = copy.deepcopy(served)
    encode(served)
    assert served == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1, 2}, object()])
def test_what_json_cannot_hold_is_refused_on_writing(value: object) -> None:
    with pytest.raises(InputError, match="cannot be written as JSON"):
        encode(changed(extra=value))


def test_too_deep_a_document_is_refused_on_writing() -> None:
    deep: object = "x"
    for _ in range(DEPTH_MAX + 1):
        deep = [deep]
    with pytest.raises(InputError, match="deeper than"):
        encode(changed(extra=deep))


def test_yaml_in_the_store_is_read_as_well() -> None:
    decoded = decode(KEY, yaml.safe_dump(REVIEWS).encode())
    assert decoded.object is not None
    assert decoded.document == REVIEWS


def test_identity_that_is_left_out_comes_from_the_key() -> None:
    document = changed()
    del document["metadata"]
    decoded = decode("ns/team/virtualservices/a.b", encode(document))
    assert isinstance(decoded.object, MeshObject)
    assert decoded.object.ref == (Kind.VIRTUAL_SERVICE, "team", "a.b")
    assert decoded.document is not None
    assert decoded.document["metadata"] == {"name": "a.b", "namespace": "team"}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (changed(metadata={"name": "other"}), "metadata.name"),
        (changed(metadata={"name": "reviews", "namespace": "other"}), "metadata.namespace"),
        (changed(kind="Gateway"), "kind"),
        (changed(kind="Deployment", apiVersion="apps/v1"), "kind"),
        (changed(kind=7), "kind"),
    ],
)
def test_a_value_that_disagrees_with_its_key_is_refused(
    document: dict[str, Any], path: str
) -> None:
    decoded = decode(KEY, json.dumps(document).encode())
    assert decoded.object is None
    assert [(p.code, p.path) for p in decoded.diagnostics] == [("MESH0410", path)]
    assert decoded.document is not None


def test_a_foreign_api_version_of_a_known_kind_is_an_error() -> None:
    document = changed(kind="Gateway", apiVersion="gateway.networking.k8s.io/v1", metadata={})
    decoded = decode("ns/default/gateways/g", json.dumps(document).encode())
    assert decoded.object is None
    assert codes(decoded) == {"MESH0110"}


def test_problems_of_shape_and_rule_are_named_by_path() -> None:
    document = changed(spec={"hosts": ["reviews"], "http": [{"timeout": "5", "wieght": 1}]})
    decoded = decode(KEY, json.dumps(document).encode())
    assert decoded.object is None
    paths = {problem.path for problem in decoded.diagnostics}
    assert {"spec.http[0].timeout", "spec.http[0].wieght"} <= paths
    assert all(p.object == "VirtualService/default/reviews" for p in decoded.diagnostics)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"\xff\xfe", "MESH0121"),
        (b"", "MESH0411"),
        (b"# nothing\n", "MESH0411"),
        (b"a: 1\n---\nb: 2\n", "MESH0411"),
        (b"[]", "MESH0113"),
        (b"text", "MESH0113"),
        (b"a: b: c", "MESH0133"),
        (b'{"a":1,"a":2}', "MESH0126"),
        (b"[" * 100_000, "MESH0122"),
        (b'{"a":' * 100_000, "MESH0122"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "MESH0122"),
        (b" " * (VALUE_BYTES_MAX + 1), "MESH0122"),
        (encode(REVIEWS).replace(b"user=jason", b"\\ud800"), "MESH0121"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(value: bytes, code: str) -> None:
    decoded = decode(KEY, value)
    assert decoded.object is None
    assert codes(decoded) == {code}


def test_a_list_of_one_object_is_that_object() -> None:
    decoded = decode(KEY, json.dumps({"kind": "List", "items": [REVIEWS]}).encode())
    assert decoded.object is not None


@pytest.mark.parametrize("number", [b"9" * 5000, b"1e999", b"1.5", b"NaN", b"true"])
def test_strange_numbers_are_refused_where_a_number_is_wanted(number: bytes) -> None:
    decoded = decode(KEY, encode(REVIEWS).replace(b'"weight":1', b'"weight":' + number))
    assert decoded.object is None
    assert_sound(decoded)


def test_a_foreign_key_is_refused_whatever_it_holds() -> None:
    decoded = decode("ns/default/virtualservice/reviews", encode(REVIEWS))
    assert codes(decoded) == {"MESH0401"}
    assert decoded.document is None


def test_keys_without_objects_give_their_document() -> None:
    assert decode("format", b'{"format":1,"oldestReader":1}') == Decoded(
        None, {"format": 1, "oldestReader": 1}, ()
    )


def test_the_mesh_config_needs_no_metadata() -> None:
    value = b'{"apiVersion":"meshd.io/v1","kind":"MeshConfig","spec":{"domain":"mesh.local"}}'
    decoded = decode("mesh", value)
    assert isinstance(decoded.object, MeshObject)
    assert decoded.object.ref == (Kind.MESH_CONFIG, "", "mesh")


def test_a_registration_is_read_as_one() -> None:
    decoded = decode("hosts/vm-7", encode(HOST))
    assert isinstance(decoded.object, HostRegistration)
    assert decoded.object.workloads[0].ports[0].number == 9080
    assert not decoded.diagnostics


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"host": "vm-8"}, "MESH0410", "host"),
        ({"address": "not-an-ip"}, "MESH0106", "address"),
        ({"gosip": 1}, "MESH0102", "gosip"),
        ({"kind": "Host"}, "MESH0105", "kind"),
        ({"workloads": [{"service": "x"}]}, "MESH0101", "workloads[0].name"),
        (
            {"workloads": [{"name": "a", "ports": [{"number": 0}]}]},
            "MESH0104",
            "workloads[0].ports[0].number",
        ),
        ({"workloads": [{"name": "a"}, {"name": "a"}]}, "MESH0106", "workloads"),
        ({"workloads": 7}, "MESH0103", "workloads"),
    ],
)
def test_a_wrong_registration_is_refused_by_path(
    change: dict[str, Any], code: str, path: str
) -> None:
    decoded = decode("hosts/vm-7", json.dumps({**HOST, **change}).encode())
    assert decoded.object is None
    assert (code, path) in {(p.code, p.path) for p in decoded.diagnostics}


keys = st.sampled_from([KEY, "ns/default/gateways/a", "mesh", "hosts/vm-7", "format", "x"])


@given(keys, st.binary(max_size=200))
def test_no_bytes_make_it_raise(key: str, value: bytes) -> None:
    decoded = decode(key, value)
    if key != "format":
        assert_sound(decoded)


@given(st.text(max_size=60), st.binary(max_size=20))
def test_no_key_makes_it_raise(key: str, value: bytes) -> None:
    decode(key, value)


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**63, max_value=2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["\ud800", "\x00", "*", "~", "0s", "1h", "-1s", "reviews"])
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["hosts", "http", "name", "exact"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in items:
        if isinstance(child, dict | list):
            found += _places(child, (*path, key))
        else:
            found.append((*path, key))
    return found


@st.composite
def mutated(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    whole = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(_places(whole) or [("kind",)]))
        owner: Any = whole
        for part in path[:-1]:
            owner = owner[part]
        if draw(st.booleans()):
            owner[path[-1]] = draw(values)
        elif isinstance(owner, dict):
            owner[draw(st.text(max_size=6))] = owner.pop(path[-1], None)
        else:
            owner.append(draw(values))
    return whole


@settings(max_examples=300)
@given(
    st.one_of(
        mutated(REVIEWS).map(lambda d: (KEY, d)), mutated(HOST).map(lambda d: ("hosts/vm-7", d))
    )
)
def test_no_mutated_object_makes_it_raise(place: tuple[str, dict[str, Any]]) -> None:
    key, document = place
    assert_sound(decode(key, json.dumps(document).encode()))


@settings(max_examples=200)
@given(st.integers(0, 600), st.binary(max_size=3))
def test_no_damaged_bytes_make_it_raise(position: int, noise: bytes) -> None:
    value = encode(REVIEWS)
    at = position % len(value)
    assert_sound(decode(KEY, value[:at] + noise + value[at + 1 :]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (KEY, encode(REVIEWS)),
        (KEY, yaml.safe_dump(REVIEWS).encode()),
        (KEY, encode(changed(metadata={"name": "reviews", "uid": "1", "generation": 4}))),
        ("hosts/vm-7", json.dumps(HOST).encode()),
    ],
    ids=["json", "yaml", "identity from the key", "host"],
)
def test_parsing_a_valid_value_again_gives_the_same_model(key: str, value: bytes) -> None:
    decoded = decode(key, value)
    assert decoded.object is not None
    assert parse(key, value) == decoded.object
