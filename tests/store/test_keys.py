from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InputError
from store.keys import (
    AdmissionKey,
    FormatKey,
    HostKey,
    absolute_key,
    admission_key,
    check_prefix,
    history_key,
    history_prefix,
    host_key,
    is_host_name,
    is_name,
    is_namespace,
    key_range,
    object_key,
    parse_key,
    relative_key,
    why_no_key,
)
from store.objects.base import ObjectRef
from store.objects.kinds import KINDS, Kind

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
namespaced = st.sampled_from([kind for kind, names in KINDS.items() if names.namespaced])


@given(namespaced, labels, names)
def test_object_keys_round_trip(kind: Kind, namespace: str, name: str) -> None:
    ref = ObjectRef(kind, namespace, name)
    assert parse_key(object_key(ref)) == ref


@given(st.text(max_size=60) | st.text("ns/hotgawy.-A0", max_size=40))
def test_every_key_is_parsed_or_explained_never_both(relative: str) -> None:
    assert (parse_key(relative) is None) == bool(why_no_key(relative))


@given(st.text(max_size=40) | st.text("ns/gatewyhoA.-0", max_size=40))
def test_a_parsed_key_is_written_back_as_it_was(relative: str) -> None:
    match parse_key(relative):
        case ObjectRef() as ref:
            assert object_key(ref) == relative
        case HostKey(host):
            assert host_key(host) == relative
        case AdmissionKey(host):
            assert admission_key(host) == relative
        case FormatKey():
            assert relative == "format"
        case None:
            pass


def test_an_object_lies_under_its_namespace_then_its_plural() -> None:
    ref = ObjectRef(Kind.VIRTUAL_SERVICE, "default", "reviews")
    assert object_key(ref) == "ns/default/virtualservices/reviews"


def test_the_mesh_config_has_one_key_whatever_is_asked() -> None:
    assert object_key(ObjectRef(Kind.MESH_CONFIG, "", "mesh")) == "mesh"
    assert object_key(ObjectRef(Kind.MESH_CONFIG, "", "")) == "mesh"
    assert parse_key("mesh") == ObjectRef(Kind.MESH_CONFIG, "", "mesh")
    with pytest.raises(InputError, match="one MeshConfig"):
        object_key(ObjectRef(Kind.MESH_CONFIG, "", "other"))
    with pytest.raises(InputError, match="one MeshConfig"):
        object_key(ObjectRef(Kind.MESH_CONFIG, "default", "mesh"))


def test_the_mesh_config_does_not_lie_in_a_namespace() -> None:
    assert parse_key("ns/default/meshconfigs/mesh") is None
    assert "no kind that lies in a namespace" in why_no_key("ns/default/meshconfigs/mesh")


@pytest.mark.parametrize(
    ("relative", "reason"),
    [
        ("", "keys begin with"),
        ("nss/default/gateways/a", "keys begin with"),
        ("mesh/", "keys begin with"),
        ("ns/default/gateways", "ns/NAMESPACE/PLURAL/NAME"),
        ("ns/default/gateways/a/b", "ns/NAMESPACE/PLURAL/NAME"),
        ("ns/default/gateway/a", '"gateway" is no kind'),
        ("ns/Default/gateways/a", '"Default" is not a namespace'),
        ("ns/a.b/gateways/a", '"a.b" is not a namespace'),
        ("ns/default/gateways/A", '"A" is not a name'),
        ("ns/default/gateways/", '"" is not a name'),
        ("ns/default/gateways/a..b", '"a..b" is not a name'),
        ("hosts/-a", "is not a host's name"),
        ("hosts/", "is not a host's name"),
        ("admission/a b", "is not a host's name"),
        ("ns/default/gateways/\udcff", "is not a name"),
    ],
)
def test_a_foreign_key_is_refused_with_what_is_allowed(relative: str, reason: str) -> None:
    assert parse_key(relative) is None
    assert reason in why_no_key(relative)
    why_no_key(relative).encode()


def test_names_are_subdomains_and_namespaces_labels() -> None:
    assert is_name("a.b-c.0")
    assert is_name("a" * 253)
    assert not is_name("a" * 254)
    assert not is_name("a_b")
    assert not is_name("a\n")
    assert is_namespace("a" * 63)
    assert not is_namespace("a" * 64)
    assert not is_namespace("a.b")
    assert is_host_name("VM-7.example_x")
    assert not is_host_name("a/b")


def test_illegal_parts_raise_instead_of_making_another_key() -> None:
    with pytest.raises(InputError, match="not a namespace"):
        object_key(ObjectRef(Kind.GATEWAY, "a/b", "c"))
    with pytest.raises(InputError, match="not a name"):
        object_key(ObjectRef(Kind.GATEWAY, "a", "../b"))
    with pytest.raises(InputError, match="not a host's name"):
        host_key("a/b")
    with pytest.raises(InputError, match="not a host's name"):
        admission_key("")


def test_a_prefix_never_holds_the_keys_of_a_longer_one() -> None:
    assert relative_key("/a/b", "/a/bc/mesh") is None
    assert relative_key("/a/b", "/a/b") is None
    assert relative_key("/a/b", absolute_key("/a/b", "mesh")) == "mesh"


@given(st.sampled_from(["/a/b", "/meshd/v1"]), st.text(max_size=20))
def test_the_range_of_a_prefix_is_exactly_what_lies_under_it(prefix: str, rest: str) -> None:
    first, last = (part.encode() for part in key_range(prefix))
    key = (prefix + rest).encode("utf-8", "surrogatepass")
    assert (first <= key < last) == rest.startswith("/")


def test_the_range_of_a_folder_leaves_out_its_neighbours() -> None:
    first, last = key_range("/m", "ns/team")
    assert first <= "/m/ns/team/gateways/a" < last
    assert not first <= "/m/ns/team-b/gateways/a" < last
    assert not first <= "/m/ns/tea" < last


def test_history_lies_outside_the_prefix() -> None:
    first, last = key_range("/meshd/v1")
    key = history_key("/meshd/v1", "default", "20260101T000000-abc")
    assert key == "/meshd/v1-history/default/20260101T000000-abc"
    assert key.startswith(history_prefix("/meshd/v1"))
    assert not first <= key < last


def test_history_of_the_mesh_config_cannot_clash_with_a_namespace() -> None:
    folder = history_key("/m", "", "x").split("/")[2]
    assert folder
    assert not is_namespace(folder)


def test_history_keys_refuse_illegal_parts() -> None:
    with pytest.raises(InputError, match="not a namespace"):
        history_key("/m", "A", "x")
    with pytest.raises(InputError, match="not a change id"):
        history_key("/m", "a", "x/y")


@pytest.mark.parametrize("prefix", ["", "/", "a", "/a/", "//a", "/a b", "/a\n"])
def test_illegal_prefixes_are_refused(prefix: str) -> None:
    with pytest.raises(InputError, match="prefix"):
        check_prefix(prefix)


def test_a_legal_prefix_is_returned() -> None:
    assert check_prefix("/meshd/v1") == "/meshd/v1"
