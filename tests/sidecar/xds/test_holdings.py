from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sidecar.certificates.model import authority_files
from sidecar.xds.holdings import Holdings
from sidecar.xds.resource import DesiredChange, Resource, TypeUrl
from tests.harness.compiled import RULE, SOURCE

CDS, EDS, VHDS = TypeUrl.CLUSTER, TypeUrl.ENDPOINTS, TypeUrl.VIRTUAL_HOST


def made(name: str, version: str = "1", kind: TypeUrl = CDS) -> Resource:
    return Resource(kind, name, version, version.encode(), sources=(SOURCE,))


def test_what_is_put_is_told_once() -> None:
    holdings = Holdings()
    holdings.put(made("a"))
    assert holdings.tell("1").upserts == {CDS: {"a": made("a")}}
    holdings.put(made("a"))
    assert not holdings.tell("2")


def test_a_change_taken_back_before_it_was_told_is_not_told() -> None:
    holdings = Holdings()
    holdings.put(made("a"))
    holdings.tell("1")
    holdings.put(made("a", "2"))
    holdings.put(made("a", "1"))
    holdings.put(made("b"))
    holdings.drop(CDS, "b")
    holdings.drop(CDS, "never there")
    assert not holdings.tell("2")


def test_what_is_dropped_is_removed_once() -> None:
    holdings = Holdings()
    holdings.put(made("a"))
    holdings.tell("1")
    holdings.drop(CDS, "a")
    holdings.drop(CDS, "a")
    assert holdings.tell("2").removals == {CDS: frozenset({"a"})}
    assert not holdings.tell("3")


def test_types_are_told_in_sending_order_and_names_sorted() -> None:
    holdings = Holdings()
    for kind, name in ((VHDS, "v"), (EDS, "b"), (EDS, "a"), (CDS, "c")):
        holdings.put(made(name, kind=kind))
    told = holdings.tell("1").upserts
    assert [(kind, list(names)) for kind, names in told.items()] == [
        (CDS, ["c"]),
        (EDS, ["a", "b"]),
        (VHDS, ["v"]),
    ]


def test_the_same_bytes_with_newer_sources_are_held_but_not_told() -> None:
    holdings = Holdings()
    holdings.put(made("a"))
    holdings.tell("1")
    newer = replace(made("a"), sources=(RULE,))
    holdings.put(newer)
    assert not holdings.tell("2")
    assert holdings.get(CDS, "a") == newer


def test_names_and_all_show_what_is_wanted_now() -> None:
    holdings = Holdings()
    holdings.put(made("a"))
    holdings.put(made("b"))
    holdings.tell("1")
    holdings.drop(CDS, "a")
    holdings.put(made("c"))
    assert holdings.names(CDS) == {"b", "c"}
    assert list(holdings.all()[CDS]) == ["b", "c"]
    assert holdings.get(CDS, "a") is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.sampled_from("12")),
        st.tuples(st.just("drop"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("tell"), st.just(""), st.just("")),
    )
)


@given(STEPS)
def test_following_what_is_told_leads_to_what_is_wanted(steps: list[tuple[str, str, str]]) -> None:
    holdings, wanted, held = Holdings(), dict[str, str](), dict[str, str]()
    for verb, name, version in [*steps, ("tell", "", "")]:
        if verb == "put":
            holdings.put(made(name, version))
            wanted[name] = version
        elif verb == "drop":
            holdings.drop(CDS, name)
            wanted.pop(name, None)
        else:
            change = holdings.tell("n")
            for gone in change.removals.get(CDS, ()):
                del held[gone]
            for resource in change.upserts.get(CDS, {}).values():
                assert held.get(resource.name) != resource.version
                held[resource.name] = resource.version
            assert held == wanted


def test_secrets_are_those_that_held_resources_name_with_the_objects_behind_them() -> None:
    one, two = authority_files("/a"), authority_files("/b")
    holdings = Holdings()
    holdings.put(replace(made("a"), secrets=frozenset({one, two}), sources=(SOURCE,)))
    assert holdings.secrets == {one, two}
    assert holdings.naming(one) == (SOURCE,)
    holdings.put(replace(made("a"), secrets=frozenset({two}), sources=(SOURCE,)))
    assert holdings.secrets == {two}
    assert holdings.naming(one) == ()
    holdings.drop(CDS, "a")
    assert holdings.secrets == frozenset()


def test_two_changes_as_one_lead_to_what_they_lead_to_one_after_the_other() -> None:
    one = DesiredChange("1", {CDS: {"a": made("a"), "b": made("b")}}, {CDS: frozenset({"c"})})
    other = DesiredChange("2", {CDS: {"c": made("c"), "b": made("b", "2")}}, {CDS: frozenset("a")})
    both = one.then(other)
    assert both.label == "2"
    assert both.upserts == {CDS: {"b": made("b", "2"), "c": made("c")}}
    assert both.removals == {CDS: frozenset("a")}
