"""A trace as a person reads it."""

from __future__ import annotations

from meshd.tracing import ENDPOINTS_SHOWN, render_trace
from sidecar.routing.trace import (
    DestinationStep,
    EndpointStep,
    Note,
    Origin,
    Outcome,
    PassedOver,
    RequestStep,
    RouteStep,
    Setting,
    Trace,
    VirtualHostStep,
)

RULES = Origin("VirtualService", "default", "reviews", 3, "spec.http[1]")
REQUEST = RequestStep("GET", "http", "reviews:9080", "/x", (("cookie", "user=bob"),))


def trace(**more: object) -> Trace:
    host = VirtualHostStep("reviews:9080", "reviews:9080", "port 9080 as named", (RULES,))
    return Trace(REQUEST, "outbound", Outcome.FORWARD, host, **more)  # type: ignore[arg-type] # test sugar


def test_each_step_is_a_branch_with_the_object_behind_it() -> None:
    first = Origin("VirtualService", "default", "reviews", 3, "spec.http[0].match[0]")
    rule = Origin("DestinationRule", "default", "reviews", 1, "spec.trafficPolicy")
    endpoint = EndpointStep(
        "10.0.0.1:9080", "HEALTHY", 2, 1, "eu/a", Origin(path="hosts/vm-1"), secured=True
    )
    shown = trace(
        passed_over=(PassedOver("jason", first, 'header cookie: "user=bob" is not "user=jason"'),),
        route=RouteStep("", RULES, ("any request",), (Setting("timeout", "none"),)),
        destinations=(
            DestinationStep(
                "outbound|9080|v1|reviews",
                90,
                "RANDOM",
                rule,
                (),
                (endpoint,),
                transport="mutual TLS (ISTIO_MUTUAL) as spiffe://td/x",
            ),
            DestinationStep("outbound|9080|v2|reviews", 10, problem="it has no endpoints"),
        ),
        mirrors=(DestinationStep("outbound|9080|v3|reviews", 5),),
        context="web",
    )
    assert render_trace(shown) == "\n".join(
        (
            "GET http://reviews:9080/x",
            "├─ with headers",
            "│  └─ cookie: user=bob",
            "├─ listener outbound, context web",
            "├─ virtual host reviews:9080",
            "│  ├─ port 9080 as named",
            "│  └─ from VirtualService/default/reviews@3 spec.http[1]",
            '├─ passed over "jason" VirtualService/default/reviews@3 spec.http[0].match[0]',
            '│  └─ header cookie: "user=bob" is not "user=jason"',
            "├─ route VirtualService/default/reviews@3 spec.http[1]",
            "│  ├─ because any request",
            "│  └─ timeout: none",
            "├─ 90 % to outbound|9080|v1|reviews",
            "│  ├─ endpoint by RANDOM by DestinationRule/default/reviews@1 spec.trafficPolicy",
            "│  ├─ in mutual TLS (ISTIO_MUTUAL) as spiffe://td/x",
            "│  └─ 10.0.0.1:9080  HEALTHY  weight 2  priority 1  eu/a  mutual TLS  from hosts/vm-1",
            "├─ 10 % to outbound|9080|v2|reviews",
            "│  └─ problem: it has no endpoints",
            "└─ 5 % copied to outbound|9080|v3|reviews",
        )
    )


def test_many_endpoints_are_counted_unless_all_are_asked_for() -> None:
    endpoints = tuple(EndpointStep(f"10.0.0.{n}:80", "HEALTHY") for n in range(20))
    shown = trace(destinations=(DestinationStep("c", 100, endpoints=endpoints),))
    assert f"and {20 - ENDPOINTS_SHOWN} more endpoints (-o wide)" in render_trace(shown)
    assert "10.0.0.19:80" in render_trace(shown, wide=True)


def test_many_notes_are_counted_unless_all_are_asked_for() -> None:
    notes = tuple(Note(RULES, f"reason {n}") for n in range(20))
    host = VirtualHostStep("a:80", "a", "80", notes=notes)
    shown = Trace(REQUEST, "outbound", Outcome.NO_ROUTE, host, status=404)
    assert f"and {20 - ENDPOINTS_SHOWN} more notes (-o wide)" in render_trace(shown)
    assert "reason 19" in render_trace(shown, wide=True)
    assert render_trace(shown).endswith("no route takes it: answers 404")


def test_answers_of_the_sidecar_itself_are_shown_with_status_and_body() -> None:
    answered = Trace(REQUEST, "outbound", Outcome.ANSWER, status=418, answer="short\nand stout")
    assert render_trace(answered).endswith("└─ answers 418\n   ├─ short\n   └─ and stout")
    moved = Trace(REQUEST, "outbound", Outcome.REDIRECT, status=308, answer="host b")
    assert render_trace(moved).endswith("└─ answers 308: redirect to host b")


def test_a_tunnel_has_no_scheme_and_no_path() -> None:
    request = RequestStep("CONNECT", "http", "db:3306", "")
    assert render_trace(Trace(request, "outbound", Outcome.NO_ROUTE)).startswith(
        "CONNECT db:3306\n"
    )
