from __future__ import annotations

import json

from meshd.cli.stored import Stored, as_stored, has_labels
from store.snapshot import Entry

VALUE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"labels": {"release": "canary", "app": "web"}},
    "spec": {"host": "reviews"},
}


def _stored(value: bytes, key: str = "ns/shop/destinationrules/reviews") -> Stored:
    found = as_stored(Entry(key, value, 3, 9, 4))
    assert found is not None
    return found


def test_an_object_is_shown_with_its_identity_and_revisions() -> None:
    one = _stored(json.dumps(VALUE).encode())
    assert one.state == "valid"
    assert list(one.shown()) == ["apiVersion", "kind", "metadata", "spec"]
    metadata = one.shown()["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("reviews", "shop")
    assert (metadata["resourceVersion"], metadata["generation"]) == ("9", 4)


def test_yaml_as_etcdctl_puts_it_is_an_object_like_others() -> None:
    one = _stored(b"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nspec: {host: a}\n")
    assert one.state == "valid"
    assert one.shown()["spec"] == {"host": "a"}


def test_an_invalid_object_says_why_and_keeps_what_it_says() -> None:
    one = _stored(json.dumps({**VALUE, "spec": {"hots": "reviews"}}).encode())
    assert one.state == "invalid MESH0101"
    shown = one.shown()
    assert shown["spec"] == {"hots": "reviews"}
    assert {row["code"] for row in shown["status"]["invalid"]} == {"MESH0101", "MESH0102"}


def test_a_value_that_is_no_object_is_shown_as_text_under_its_key() -> None:
    one = _stored(b"spec: [1 \xff")
    shown = one.shown()
    assert one.state.startswith("invalid")
    assert shown["metadata"]["name"] == "reviews"
    assert shown["kind"] == "DestinationRule"
    assert shown["status"]["value"] == "spec: [1 \\xff"


def test_labels_choose_by_all_of_them() -> None:
    one = _stored(json.dumps(VALUE).encode())
    assert has_labels(one, {})
    assert has_labels(one, {"app": "web", "release": "canary"})
    assert not has_labels(one, {"app": "web", "release": "stable"})
    assert not has_labels(_stored(b"{}"), {"app": "web"})


def test_keys_that_hold_no_object_are_none() -> None:
    for key in ("format", "hosts/vm-1", "ns/a/b", "ns/a/pods/b"):
        assert as_stored(Entry(key, b"{}", 1, 1, 1)) is None
