"""Names: completion, wildcards, aliases; comparison against a naive oracle over a small universe."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.model import HostName
from sidecar.mesh.names import (
    aliases,
    intersection,
    is_address,
    is_wildcard,
    matches,
    meanings,
    most_specific,
    normal,
    resolve,
    specificity,
    subset_of,
    wildcards_over,
)

DOMAIN = "cluster.local"

# Every host of up to three characters over this alphabet: small enough to enumerate what a pattern names.
UNIVERSE = ["".join(letters) for size in (1, 2, 3, 4) for letters in product("a.", repeat=size)]

hosts = st.text(alphabet="a.", min_size=1, max_size=3).map(HostName)
patterns = st.one_of(
    hosts, st.text(alphabet="a.", max_size=2).map(lambda tail: HostName(f"*{tail}"))
)


def named(pattern: str) -> set[str]:
    if pattern.startswith("*"):
        return {host for host in UNIVERSE if host.endswith(pattern[1:])}
    return {pattern}


@given(patterns, patterns)
def test_matches_is_overlap_and_symmetric(one: HostName, other: HostName) -> None:
    assert matches(one, other) == bool(named(one) & named(other))
    assert matches(one, other) == matches(other, one)


@given(patterns, patterns)
def test_subset_is_inclusion_of_what_is_named(inner: HostName, outer: HostName) -> None:
    if is_wildcard(inner) and not is_wildcard(outer):
        assert not subset_of(inner, outer)
    else:
        assert subset_of(inner, outer) == (named(inner) <= named(outer))


@given(patterns, st.lists(patterns, max_size=6))
def test_most_specific_is_the_narrowest_that_covers(
    name: HostName, candidates: list[HostName]
) -> None:
    covering = [candidate for candidate in candidates if subset_of(name, candidate)]
    found = most_specific(name, candidates)
    if not covering:
        assert found is None
    else:
        assert found in covering
        assert all(subset_of(found, candidate) for candidate in covering)


@given(patterns)
def test_wildcards_over_are_all_covering_wildcards_longest_first(name: HostName) -> None:
    found = list(wildcards_over(name))
    tails = {"".join(letters) for size in range(5) for letters in product("a.", repeat=size)}
    covering = {f"*{tail}" for tail in tails if subset_of(name, f"*{tail}")} - {name}
    assert set(found) == covering
    assert found == sorted(found, key=specificity)
    assert len(found) == len(set(found))


@given(st.lists(patterns, max_size=4), st.lists(patterns, max_size=4))
def test_intersection_keeps_the_narrower_of_each_overlapping_pair(
    one: list[HostName], other: list[HostName]
) -> None:
    found = intersection(one, other)
    expected = set()
    for left, right in product(one, other):
        if matches(left, right):
            expected.add(left if subset_of(left, right) else right)
    assert set(found) == expected
    assert len(found) == len(expected)


def test_a_wildcard_does_not_name_its_own_suffix() -> None:
    assert not matches("*.foo.com", "foo.com")
    assert matches("*.foo.com", "a.foo.com")
    assert matches("*.foo.com", "*.com")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("reviews", "reviews.prod.svc.cluster.local"),
        ("Reviews", "reviews.prod.svc.cluster.local"),
        ("reviews.test", "reviews.test"),
        ("reviews.", "reviews.prod.svc.cluster.local"),
        ("api.example.com.", "api.example.com"),
        ("*", "*"),
        ("*.local", "*.local"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_only_short_names_are_completed(name: str, expected: str) -> None:
    assert resolve(name, "prod", DOMAIN) == expected


def test_without_a_domain_only_the_namespace_is_appended() -> None:
    assert resolve("reviews", "prod", "") == "reviews.prod"


def test_a_service_has_short_forms_and_the_bare_one_only_at_home() -> None:
    host = HostName("reviews.prod.svc.cluster.local")
    everywhere = (host, f"{host}.", "reviews.prod.svc", "reviews.prod")
    assert aliases(host, "prod", DOMAIN, "test") == everywhere
    assert aliases(host, "prod", DOMAIN, "prod") == (*everywhere, "reviews")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.example.com", ("api.example.com", "api.example.com.")),
        ("*.example.com", ("*.example.com",)),
        ("10.0.0.1", ("10.0.0.1",)),
        # The namespace of the definition is not the one in the name: no short forms.
        ("reviews.other.svc.cluster.local", ("reviews.other.svc.cluster.local",)),
    ],
)
def test_other_services_have_no_short_forms(host: str, expected: tuple[str, ...]) -> None:
    found = aliases(HostName(host), "prod", DOMAIN, "prod")
    assert tuple(name for name in found if name in expected or "svc" not in name) == expected


labels = st.text(alphabet="ab", min_size=1, max_size=3)


@given(labels, labels, labels, st.sampled_from([DOMAIN, ""]))
def test_every_alias_may_mean_its_service(
    name: str, namespace: str, client: str, domain: str
) -> None:
    host = resolve(name, namespace, domain)
    for alias in aliases(host, namespace, domain, client):
        assert host in meanings(alias, domain, client)


@pytest.mark.parametrize("name", ["10.0.0.1", "::1", "[::1]", "fe80::1"])
def test_addresses_are_recognised_with_and_without_brackets(name: str) -> None:
    assert is_address(name)
    assert not is_address(f"{name}.example.com")


def test_normal_form_is_lower_case_without_the_final_dot() -> None:
    assert normal("Reviews.Prod.") == "reviews.prod"
    assert normal(".") == "."
