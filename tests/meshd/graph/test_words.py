from __future__ import annotations

import pytest

from meshd.graph.words import (
    TEXT_MAX,
    answer,
    host_title,
    route_lines,
    route_title,
    short,
    tcp_title,
    workload_title,
)
from sidecar.mesh.model import FROM_DEFAULTS, Context, HostName
from sidecar.routing.table import (
    ClusterKey,
    CorsPolicy,
    DirectResponse,
    Fault,
    Forward,
    HashPolicy,
    HeaderEdits,
    MatcherKind,
    Redirect,
    Rewrite,
    Route,
    RouteMatch,
    TcpRoute,
    ValueMatch,
    VirtualHost,
    WeightedCluster,
)

TO_A = (WeightedCluster(ClusterKey(HostName("a"), 80)),)


def test_a_text_is_one_line_of_a_bounded_length() -> None:
    assert short("a\nb\x00c") == "a b c"
    assert short("x" * TEXT_MAX) == "x" * TEXT_MAX
    assert short("x" * 100_000) == "x" * (TEXT_MAX - 1) + "…"


def test_a_route_is_named_by_its_conditions() -> None:
    match = RouteMatch(
        ValueMatch(MatcherKind.EXACT, "/x"), (("user", ValueMatch(MatcherKind.PRESENT)),)
    )
    route = Route("", match, Forward(TO_A), FROM_DEFAULTS)
    assert route_title(route) == 'path is "/x"; header user is present'


def test_what_every_route_has_is_left_out() -> None:
    assert list(route_lines(Route("", RouteMatch(), Forward(TO_A), FROM_DEFAULTS))) == []


def test_what_a_route_does_besides_is_said_in_short() -> None:
    action = Forward(
        TO_A,
        timeout_s=2.5,
        rewrite=Rewrite(prefix="/b"),
        hash_policies=(HashPolicy("cookie", "user"),),
    )
    route = Route(
        "",
        RouteMatch(),
        action,
        FROM_DEFAULTS,
        HeaderEdits(request_set=(("x", "1"),)),
        Fault(abort_status=503, abort_ppm=10_000),
        CorsPolicy((ValueMatch(MatcherKind.EXACT, "https://x.com"),)),
    )
    assert list(route_lines(route)) == [
        "fault: 1 % answered with HTTP 503",
        'cors: origin is "https://x.com"',
        "1 header edit",
        "timeout: 2.5 s",
        'rewrite: matched prefix becomes "/b"',
        "hash: cookie user",
    ]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (Redirect(302, path="/n"), ("answers 302", 'redirect to path "/n"')),
        (DirectResponse(200), ("answers 200", "")),
        (DirectResponse(200, b"one\ntwo"), ("answers 200", "one")),
        (DirectResponse(200, b"\xff" * 10_000_000), ("answers 200", "�" * (TEXT_MAX - 1) + "…")),
    ],
)
def test_an_answer_is_its_status_and_where_it_leads_or_begins(
    action: Redirect | DirectResponse, said: tuple[str, str]
) -> None:
    assert answer(action) == said


def test_connections_are_told_apart_by_name_and_subnet() -> None:
    assert tcp_title(TcpRoute(TO_A, FROM_DEFAULTS)) == "any connection"
    both = TcpRoute(TO_A, FROM_DEFAULTS, ("a.com", "b.com"), ("10.0.0.0/8",))
    assert tcp_title(both) == "server name a.com, b.com; to 10.0.0.0/8"


def test_the_host_for_all_others_is_called_so() -> None:
    assert host_title(VirtualHost("allow_any", ("*",), ())) == "any other host"
    assert host_title(VirtualHost("a:80", ("a",), ())) == "host a:80"


def test_a_workload_is_described_by_host_namespace_and_labels() -> None:
    assert workload_title(Context("", "shop")) == "workload in namespace shop"
    gateway = Context("", "shop", {"b": "2", "a": "1"}, is_gateway=True)
    assert (
        workload_title(gateway, "vm-1")
        == "gateway workload on vm-1 in namespace shop with a=1, b=2"
    )
