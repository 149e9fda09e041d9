"""Chains of one listener told apart: the first has a connection, later ones what is left."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from sidecar.xds import protos as pb
from sidecar.xds.compile.chains import apart
from sidecar.xds.compile.listeners import add_addresses


def chain(
    name: str,
    names: tuple[str, ...] = (),
    subnets: tuple[str, ...] = (),
    *,
    alpn: tuple[str, ...] = (),
) -> pb.FilterChain:
    made = pb.FilterChain(name=name)
    made.filter_chain_match.server_names.extend(names)
    made.filter_chain_match.application_protocols.extend(alpn)
    add_addresses(made, subnets)
    return made


def shown(chains: list[pb.FilterChain]) -> list[str]:
    lines = []
    for one in chains:
        match = one.filter_chain_match
        subnets = [f"{p.address_prefix}/{p.prefix_len.value}" for p in match.prefix_ranges]
        parts = (match.server_names, subnets, match.application_protocols)
        lines.append(" ".join([one.name, *(",".join(part) or "any" for part in parts)]))
    return lines


def test_chains_that_meet_nothing_in_common_stay_as_they_are() -> None:
    chains = [chain("x", ("a",)), chain("y", ("b",), ("10.0.0.0/8",)), chain("z")]
    assert apart(chains) == chains


def test_a_name_that_two_chains_have_belongs_to_the_first() -> None:
    chains = [chain("x", ("a", "b")), chain("y", ("b", "c")), chain("z", ("c",))]
    assert shown(apart(chains)) == ["x a,b any any", "y c any any"]


def test_what_a_chain_says_twice_is_said_once() -> None:
    chains = [chain("x", ("a", "a"), ("10.1.0.0/8", "10.0.0.0/8"))]
    assert shown(apart(chains)) == ["x a 10.0.0.0/8 any"]


def test_what_is_left_of_a_chain_may_need_several() -> None:
    chains = [
        chain("x", ("a",), ("10.0.0.0/8",)),
        chain("y", ("a", "b"), ("10.0.0.0/8", "11.0.0.0/8")),
    ]
    assert shown(apart(chains)) == [
        "x a 10.0.0.0/8 any",
        "y a 11.0.0.0/8 any",
        "y~1 b 10.0.0.0/8,11.0.0.0/8 any",
    ]


def test_chains_for_other_transports_have_nothing_in_common() -> None:
    plain, tls = chain("x", ("a",)), chain("y", ("a",))
    tls.filter_chain_match.transport_protocol = "tls"
    assert apart([plain, tls]) == [plain, tls]


NAMES = st.lists(st.sampled_from("abc"), max_size=3).map(tuple)
SUBNETS = st.lists(st.sampled_from(["10.0.0.0/8", "10.9.0.0/8", "11.0.0.0/8"]), max_size=3).map(
    tuple
)
PROTOCOLS = st.lists(st.sampled_from(["h2", "istio"]), max_size=2).map(tuple)


def met(one: pb.FilterChain) -> list[tuple[object, ...]]:
    match = one.filter_chain_match
    subnets = [p.address_prefix.partition(".")[0] for p in match.prefix_ranges]
    parts = (match.server_names, subnets, match.application_protocols)
    return list(product(*(list(part) or [None] for part in parts)))


@given(st.lists(st.tuples(NAMES, SUBNETS, PROTOCOLS), max_size=4))
def test_every_connection_has_the_chain_that_took_it_first_and_no_other(
    wanted: list[tuple[tuple[str, ...], ...]],
) -> None:
    chains = [chain(str(n), *parts[:2], alpn=parts[2]) for n, parts in enumerate(wanted)]
    first: dict[tuple[object, ...], str] = {}
    for one in chains:
        for place in met(one):
            first.setdefault(place, one.name)
    found = [(place, one.name.partition("~")[0]) for one in apart(chains) for place in met(one)]
    assert len(found) == len(first)
    assert dict(found) == first
    names = [one.name for one in apart(chains)]
    assert len(names) == len(set(names))
