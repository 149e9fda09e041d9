"""Matching a request: held against naive oracles, and the corners that Envoy's documentation names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.model import Provenance
from sidecar.routing.match import Request, choose_virtual_host, first_parameters, match, why_not
from sidecar.routing.table import (
    DirectResponse,
    MatcherKind,
    Route,
    RouteMatch,
    ValueMatch,
    VirtualHost,
)

HERE = Provenance(None)
EXACT, PREFIX, REGEX, PRESENT = MatcherKind


def host(*domains: str, routes: tuple[Route, ...] = (), require_tls: bool = False) -> VirtualHost:
    return VirtualHost("+".join(domains), domains, routes, require_tls=require_tls)


def route(name: str, condition: RouteMatch) -> Route:
    return Route(name, condition, DirectResponse(200), HERE)


# Domains

_labels = st.sampled_from(["a", "b", "ab", "*", "*a", "a*"])
_domains = st.one_of(
    st.just("*"),
    st.builds(".".join, st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3)),
    st.builds(lambda parts: "*." + ".".join(parts), st.lists(st.sampled_from("abc"), min_size=1)),
    st.builds(lambda parts: ".".join(parts) + ".*", st.lists(st.sampled_from("abc"), min_size=1)),
    st.sampled_from(["*a", "*b.c", "a.b:80", "*.c:80", "a.b:*"]),
)
_authorities = st.builds(
    lambda parts, port: ".".join(parts) + port,
    st.lists(st.sampled_from(["a", "b", "c", "A"]), min_size=1, max_size=4),
    st.sampled_from(["", ":80"]),
)


def naive_choice(domains: list[str], authority: str) -> str | None:
    """Envoy's documented order, by trying every domain and sorting."""
    name = authority.lower()
    fits: list[tuple[int, int, str]] = []
    for domain in domains:
        if domain == "*":
            fits.append((3, 0, domain))
        elif "*" not in domain:
            if domain == name:
                fits.append((0, 0, domain))
        else:
            pattern = re.escape(domain).replace(r"\*", ".+")
            if re.fullmatch(pattern, name):
                fits.append((1 if domain.startswith("*") else 2, -len(domain), domain))
    return min(fits)[2] if fits else None


@given(st.lists(_domains, unique=True, max_size=8), _authorities)
def test_domains_are_chosen_as_a_naive_search_chooses(domains: list[str], authority: str) -> None:
    chosen = choose_virtual_host([host(domain) for domain in domains], authority)
    wanted = naive_choice(domains, authority)
    assert (chosen.domains[0] if chosen else None) == wanted


def test_a_wildcard_needs_something_in_place_of_its_star() -> None:
    assert choose_virtual_host([host("*.example.com")], ".example.com") is None
    assert choose_virtual_host([host("*.example.com")], "example.com") is None


def test_a_port_is_part_of_the_name() -> None:
    hosts = [host("a.example.com"), host("*")]
    chosen = choose_virtual_host(hosts, "a.example.com:8080")
    assert chosen is hosts[1]


# Conditions

_texts = st.sampled_from(["", "/", "/a", "/A", "/ab", "a", "ab", "b"])
_patterns = st.sampled_from(["", "a", "/a.*", ".*", "a|ab", "[ab]+", "/.?"])
_matchers = st.one_of(
    st.builds(ValueMatch, st.just(EXACT), _texts, st.booleans()),
    st.builds(ValueMatch, st.just(PREFIX), _texts, st.booleans()),
    st.builds(ValueMatch, st.just(REGEX), _patterns, st.booleans()),
    st.builds(ValueMatch, st.just(PRESENT), st.just(""), st.booleans()),
)
_paths = st.one_of(
    st.builds(ValueMatch, st.sampled_from([EXACT, PREFIX]), _texts, ignore_case=st.booleans()),
    st.builds(ValueMatch, st.just(REGEX), _patterns),
)
_named = st.lists(st.tuples(st.sampled_from(["x", "y", ":method"]), _matchers), max_size=3)
_queried = st.lists(
    st.tuples(st.sampled_from(["q", "p"]), _matchers.filter(lambda m: not m.invert)), max_size=2
)
_conditions = st.builds(
    lambda path, headers, query: RouteMatch(path, tuple(headers), tuple(query)),
    _paths,
    _named,
    _queried,
)
_requests = st.builds(
    lambda method, path, query, headers: Request(method, "http", "a", path + query, tuple(headers)),
    st.sampled_from(["GET", "a", "ab"]),
    st.sampled_from(["/", "/a", "/A", "/ab", "/b"]),
    st.sampled_from(["", "?", "?q", "?q=", "?q=a", "?q=ab&q=b&p", "?p=%61", "#f", "?&=&q=/a"]),
    st.lists(st.tuples(st.sampled_from(["x", "X", "y"]), _texts), max_size=3),
)


def naive_value(wanted: ValueMatch, values: list[str]) -> bool:
    if wanted.kind is PRESENT:
        return (not values) == wanted.invert
    texts = values or ([""] if wanted.invert else [])
    holds = {
        EXACT: wanted.value in texts,
        PREFIX: any(text[: len(wanted.value)] == wanted.value for text in texts),
        REGEX: any(re.compile(wanted.value).fullmatch(text) for text in texts),
    }[wanted.kind]
    return holds != wanted.invert


def naive_match(condition: RouteMatch, request: Request) -> bool:
    path, _, query = request.path.partition("?")
    path = path.partition("#")[0]
    wanted = condition.path
    if wanted.ignore_case:
        path, wanted = path.lower(), ValueMatch(wanted.kind, wanted.value.lower())
    headers: dict[str, list[str]] = {":method": [request.method]}
    for name, value in request.headers:
        headers.setdefault(name.lower(), []).append(value)
    pairs = [pair.split("=", 1) for pair in query.split("&")] if query else []
    parameters = {pair[0]: [pair[1] if len(pair) > 1 else ""] for pair in reversed(pairs)}
    return (
        naive_value(wanted, [path])
        and all(naive_value(m, headers.get(name, [])) for name, m in condition.headers)
        and all(naive_value(m, parameters.get(name, [])) for name, m in condition.query)
    )


@given(_conditions, _requests)
def test_conditions_hold_as_a_naive_reading_says(condition: RouteMatch, request: Request) -> None:
    reason = why_not(condition, request)
    assert (reason is None) == naive_match(condition, request), reason


@given(st.lists(_conditions, max_size=5), _requests)
def test_the_first_route_that_fits_takes_the_request_and_every_earlier_one_says_why(
    conditions: list[RouteMatch], request: Request
) -> None:
    routes = tuple(route(str(number), one) for number, one in enumerate(conditions))
    decision = match(host("*", routes=routes), request)
    fitting = [one for one in routes if naive_match(one.match, request)]
    assert decision.route is (fitting[0] if fitting else None)
    passed = routes if decision.route is None else routes[: routes.index(decision.route)]
    assert tuple(one.route for one in decision.considered) == passed
    assert all(one.reason for one in decision.considered)


def test_an_expression_must_match_the_whole_path() -> None:
    condition = RouteMatch(ValueMatch(REGEX, "/a"))
    reason = why_not(condition, Request(path="/ab"))
    assert reason == 'path "/ab" does not match regex "/a" as a whole'


def test_re2_is_what_expressions_are_read_by() -> None:
    """A look-ahead is no RE2: Envoy would refuse the route, so it never matches."""
    condition = RouteMatch(ValueMatch(REGEX, "/(?=a)a"))
    assert why_not(condition, Request(path="/a")) is not None


def test_case_is_ignored_for_ascii_letters_alone() -> None:
    condition = RouteMatch(ValueMatch(EXACT, "/É-a", ignore_case=True))
    assert why_not(condition, Request(path="/É-A")) is None
    assert why_not(condition, Request(path="/é-a")) is not None


@pytest.mark.parametrize(
    ("method", "connect", "fits"),
    [("CONNECT", True, True), ("CONNECT", False, False), ("GET", True, False)],
)
def test_connect_is_taken_by_its_own_routes_alone(method: str, connect: bool, fits: bool) -> None:
    reason = why_not(RouteMatch(connect=connect), Request(method, authority="a:1", path=""))
    assert (reason is None) == fits


def test_plain_requests_are_turned_away_before_any_route_where_tls_is_required() -> None:
    secured = host("*", routes=(route("all", RouteMatch()),), require_tls=True)
    assert match(secured, Request(scheme="http")).redirected_to_https
    decision = match(secured, Request(scheme="https"))
    assert (decision.redirected_to_https, decision.route) == (False, secured.routes[0])


def test_the_first_value_of_a_parameter_counts_and_nothing_is_decoded() -> None:
    assert first_parameters("/x?a=1&a=2&b&%61=3") == {"a": "1", "b": "", "%61": "3"}


def test_a_path_can_be_asked_for_as_a_header() -> None:
    condition = RouteMatch(headers=((":path", ValueMatch(EXACT, "/x?y")),))
    assert why_not(condition, Request(path="/x?y")) is None
