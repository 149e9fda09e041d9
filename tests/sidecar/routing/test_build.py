"""Outbound virtual hosts: one name on demand and all names at once say the same, and nothing stands twice."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given, settings

from sidecar.mesh.model import Context, HostName, MeshChange
from sidecar.routing.build import outbound_virtual_host, outbound_virtual_hosts
from sidecar.routing.match import choose_virtual_host
from sidecar.routing.table import ClusterKey
from tests.harness.catalogs import Document, Store
from tests.harness.routing import object_of, service_of, view_of
from tests.sidecar.routing.strategies import AUTHORITIES, contexts, documents, view_for


@settings(max_examples=150)
@given(documents, contexts, AUTHORITIES)
def test_a_name_on_demand_and_all_names_at_once_say_the_same(
    objects: list[Document], context: Context, authority: str
) -> None:
    view = view_for(objects, context)
    eager = choose_virtual_host(outbound_virtual_hosts(view), authority)
    on_demand = outbound_virtual_host(view, authority)
    assert eager is not None
    assert (on_demand.name, on_demand.routes) == (eager.name, eager.routes)
    assert on_demand.domains == (authority,)


@settings(max_examples=50)
@given(documents, contexts)
def test_no_domain_and_no_name_stands_twice(objects: list[Document], context: Context) -> None:
    hosts = list(outbound_virtual_hosts(view_for(objects, context)))
    domains = Counter(domain for host in hosts for domain in host.domains)
    assert [domain for domain, count in domains.items() if count > 1] == []
    assert [name for name, count in Counter(h.name for h in hosts).items() if count > 1] == []
    assert hosts[-1].domains == ("*",)


@settings(max_examples=50)
@given(documents, contexts)
def test_every_destination_of_a_virtual_host_invalidates_it(
    objects: list[Document], context: Context
) -> None:
    for host in outbound_virtual_hosts(view_for(objects, context)):
        for key in host.cluster_keys:
            change = MeshChange(hosts=frozenset({key.host}))
            assert any(change.touches(name) for name in host.hosts), (host.name, key)


def test_a_service_that_appears_invalidates_what_its_name_was_answered_with_before() -> None:
    before = outbound_virtual_host(view_of(Store()), "late:9080")
    assert before.name == "allow_any"
    appeared = MeshChange(hosts=frozenset({HostName("late.default.svc.cluster.local")}))
    assert any(appeared.touches(host) for host in before.hosts)


def test_a_service_under_a_wildcard_invalidates_what_the_wildcard_answered() -> None:
    rule = {"hosts": ["*.example.com"], "http": [{"directResponse": {"status": 200}}]}
    store = Store([object_of("VirtualService", "wide", rule)])
    before = outbound_virtual_host(view_of(store), "a.example.com")
    assert before.name == "*.example.com:80"
    appeared = MeshChange(hosts=frozenset({HostName("b.example.com")}))
    assert any(appeared.touches(host) for host in before.hosts)


def test_a_full_name_keeps_its_domain_against_another_hosts_short_form() -> None:
    store = Store(
        [service_of("reviews", "http:80"), service_of("reviews.default", "http:80", "other")]
    )
    view = view_of(store)
    hosts = {host.name: host for host in outbound_virtual_hosts(view)}
    assert "reviews.default" in hosts["reviews.default:80"].domains
    short = hosts["reviews.default.svc.cluster.local:80"]
    assert "reviews.default" not in short.domains
    assert any("belongs to reviews.default" in reason for _, reason in short.passed_over)


def test_a_virtual_address_is_a_domain_of_its_service() -> None:
    store = Store([service_of("vip", "http:80", addresses=["10.0.0.9", "10.1.0.0/16"])])
    view = view_of(store)
    assert outbound_virtual_host(view, "10.0.0.9").name == "vip.default.svc.cluster.local:80"
    assert outbound_virtual_host(view, "10.1.0.9").name == "allow_any"


def test_the_context_stands_in_cluster_names_where_a_policy_may_differ() -> None:
    rule = object_of("DestinationRule", "a", {"host": "a"})
    store = Store([service_of("a", "http:80"), service_of("b", "http:80"), rule])
    view = view_of(store)
    two = type(view)(view.mesh, Context("web", "default"), contexts=2)
    host = HostName("a.default.svc.cluster.local")
    other = HostName("b.default.svc.cluster.local")
    assert outbound_virtual_host(two, "a").cluster_keys == {ClusterKey(host, 80, "", "web")}
    assert outbound_virtual_host(two, "b").cluster_keys == {ClusterKey(other, 80)}


@pytest.mark.slow
def test_one_name_costs_no_look_at_ten_thousand_services() -> None:
    objects = [service_of(f"s{number}", "http:9080") for number in range(10_000)]
    rule = {"hosts": ["s7"], "http": [{"route": [{"destination": {"host": "s7"}}]}]}
    store = Store()
    store.put([*objects, object_of("VirtualService", "s7", rule)])
    view = view_of(store)
    outbound_virtual_host(view, "s7:9080")  # the model is parsed when first asked for
    started = time.perf_counter()
    for number in range(200):
        outbound_virtual_host(view, f"s{number + 20}:9080")
        outbound_virtual_host(view, f"unknown-{number}.example.com")
    each = (time.perf_counter() - started) / 400
    assert each < 0.005, f"{each * 1000:.2f} ms for each name"
