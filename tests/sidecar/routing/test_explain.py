"""Traces: endpoints with health, problems in words, and the same after a journey through JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings

from meshd.tracing import render_trace
from sidecar.balancing.balancer import Balancer
from sidecar.balancing.model import ClusterPlan, EndpointSet
from sidecar.mesh.model import Context, Health
from sidecar.routing.explain import explain, explain_at_gateway
from sidecar.routing.match import Request
from sidecar.routing.table import ClusterKey
from sidecar.routing.trace import Outcome, Trace, from_json, to_json
from tests.harness.catalogs import Document, Store
from tests.harness.routing import object_of, service_of, view_of
from tests.sidecar.routing.strategies import AUTHORITIES, contexts, documents, view_for

ENDPOINTS = [
    {"address": "10.0.0.1", "labels": {"version": "v1"}},
    {"address": "10.0.0.2", "labels": {"version": "v2"}, "weight": 3},
]


class Sick:
    """A balancer by which every endpoint is unhealthy, as after an ejection."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer

    def plan(self, key: ClusterKey) -> ClusterPlan | None:
        return self._balancer.plan(key)

    def endpoints(self, key: ClusterKey) -> EndpointSet:
        found = self._balancer.endpoints(key)
        sick = tuple(replace(one, health=Health.UNHEALTHY) for one in found.endpoints)
        return replace(found, endpoints=sick)


def mesh_with_endpoints(*more: Document) -> Store:
    return Store([service_of("reviews", "http:9080", endpoints=ENDPOINTS), *more])


def trace_of(store: Store, authority: str = "reviews", *, sick: bool = False) -> Trace:
    view = view_of(store)
    balancer = Balancer(view)
    asked = Request(authority=authority)
    return explain(view, asked, Sick(balancer) if sick else balancer)


def test_endpoints_are_listed_with_health_and_weight() -> None:
    step = trace_of(mesh_with_endpoints()).destinations[0]
    assert [(one.address, one.health, one.weight) for one in step.endpoints] == [
        ("10.0.0.1:9080", "HEALTHY", 1),
        ("10.0.0.2:9080", "HEALTHY", 3),
    ]
    assert (step.problem, step.policy) == ("", "LEAST_REQUEST")
    assert str(step.endpoints[0].origin).startswith("ServiceEntry/default/reviews@1")


def test_health_is_that_of_the_balancer_which_is_asked() -> None:
    step = trace_of(mesh_with_endpoints(), sick=True).destinations[0]
    assert {one.health for one in step.endpoints} == {"UNHEALTHY"}
    assert step.problem == "none of its endpoints is healthy"


def test_the_rule_behind_a_policy_is_named() -> None:
    policy = {"host": "reviews", "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBIN"}}}
    store = mesh_with_endpoints(object_of("DestinationRule", "reviews", policy))
    step = trace_of(store).destinations[0]
    assert step.policy == "ROUND_ROBIN"
    assert str(step.policy_origin).startswith("DestinationRule/default/reviews@1")


def test_a_subset_without_endpoints_says_which_labels_none_has() -> None:
    subsets = {"host": "reviews", "subsets": [{"name": "v9", "labels": {"version": "v9"}}]}
    rule = {
        "hosts": ["reviews"],
        "http": [{"route": [{"destination": {"host": "reviews", "subset": "v9"}}]}],
    }
    store = mesh_with_endpoints(
        object_of("DestinationRule", "reviews", subsets), object_of("VirtualService", "r", rule)
    )
    problem = trace_of(store).destinations[0].problem
    assert problem == "it has no endpoints with labels version=v9: requests to it get 503"


def test_an_unknown_subset_is_a_problem_that_is_told() -> None:
    rule = {
        "hosts": ["reviews"],
        "http": [{"route": [{"destination": {"host": "reviews", "subset": "v9"}}]}],
    }
    store = mesh_with_endpoints(object_of("VirtualService", "r", rule))
    problem = trace_of(store).destinations[0].problem
    assert problem.startswith('no DestinationRule defines subset "v9" of reviews')


def test_what_is_passed_through_has_no_endpoints_to_list() -> None:
    trace = trace_of(Store(), "nobody.example.com")
    assert [step.cluster for step in trace.destinations] == ["PassthroughCluster"]
    assert trace.destinations[0].problem == ""


@settings(max_examples=50)
@given(documents, contexts, AUTHORITIES)
def test_every_request_is_explained_and_the_trace_survives_json(
    objects: list[Document], context: Context, authority: str
) -> None:
    view = view_for(objects, context)
    headers = (("x", "/a"),)
    trace = explain(view, Request(authority=authority, headers=headers), Balancer(view))
    sent = json.loads(json.dumps(to_json(trace)))
    assert from_json(sent) == trace
    assert trace.is_routed == (trace.outcome is not Outcome.NO_ROUTE)
    assert authority in render_trace(trace, wide=True).split("\n", 1)[0]


def test_shares_add_up_to_all_requests() -> None:
    shares = [
        {"destination": {"host": "reviews", "subset": name}, "weight": weight}
        for name, weight in (("a", 1), ("b", 1), ("c", 1))
    ]
    rule = {"hosts": ["reviews"], "http": [{"route": shares}]}
    store = mesh_with_endpoints(object_of("VirtualService", "r", rule))
    assert abs(sum(s.percent for s in trace_of(store).destinations) - 100) < 0.001


def test_a_gateway_is_asked_by_port_scheme_and_server_name() -> None:
    tls = {"mode": "SIMPLE", "serverCertificate": "/c", "privateKey": "/k"}
    servers = [
        {"port": {"number": 443, "name": n, "protocol": "HTTPS"}, "hosts": [h], "tls": tls}
        for n, h in (("wide", "*.example.com"), ("exact", "a.example.com"), ("any", "*"))
    ]
    context = Context("", "default", {}, is_gateway=True)
    view = view_of(Store([object_of("Gateway", "front", {"servers": servers})]), context)
    balancer = Balancer(view)

    def listener(authority: str, scheme: str = "https", port: int = 443) -> str:
        request = Request(scheme=scheme, authority=authority)
        return explain_at_gateway(view, request, balancer, port).listener

    assert listener("a.example.com").endswith("https.443.exact.front.default")
    assert listener("b.example.com:443").endswith("https.443.wide.front.default")
    assert listener("c.example.org").endswith("https.443.any.front.default")
    assert listener("a.example.com", "http").startswith("no server of this gateway takes http")
    assert listener("a.example.com", port=80).endswith("(it has HTTPS 443)")


def test_a_gateway_without_a_host_for_the_name_says_which_objects_do_not_meet() -> None:
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    gateway = {"servers": [{"port": port, "hosts": ["a.example", "b.example"]}]}
    rules = {"gateways": ["front"], "http": [{"directResponse": {"status": 200}}]}
    store = Store(
        [
            object_of("Gateway", "front", gateway),
            object_of("VirtualService", "meets", {**rules, "hosts": ["b.example"]}),
            object_of("VirtualService", "apart", {**rules, "hosts": ["c.example"]}),
        ]
    )
    view = view_of(store, Context("", "default", is_gateway=True))
    trace = explain_at_gateway(view, Request(authority="c.example"), Balancer(view), 80)
    assert (trace.outcome, trace.status) == (Outcome.NO_ROUTE, 404)
    assert trace.virtual_host is not None
    assert [str(note.origin) for note in trace.virtual_host.notes] == [
        "VirtualService/default/apart@1 spec.hosts"
    ]
    found = explain_at_gateway(view, Request(authority="B.example:80"), Balancer(view), 80)
    assert found.virtual_host is not None
    assert (found.virtual_host.domain, found.status) == ("b.example:80", 200)
