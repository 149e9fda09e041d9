"""Gateways: whatever the objects, what comes out is something that Envoy can be given."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings

from sidecar.mesh.model import Context
from sidecar.routing.gateways import GatewayServer, gateway_servers
from sidecar.routing.table import ClusterKey
from tests.harness.catalogs import Document, Store
from tests.harness.routing import object_of, service_of, view_of
from tests.sidecar.routing.strategies import gateway_documents, view_for

INGRESS = Context("", "default", {"istio": "ingress"}, is_gateway=True)


@settings(max_examples=50)
@given(gateway_documents)
def test_servers_can_stand_side_by_side(objects: list[Document]) -> None:
    servers = gateway_servers(view_for(objects, INGRESS))
    names = Counter(server.route_config for server in servers)
    assert [name for name, count in names.items() if count > 1] == []
    chains = Counter(
        (server.bind, server.port, name)
        for server in servers
        for name in server.sni_hosts or ("*",)
    )
    assert [chain for chain, count in chains.items() if count > 1] == []
    for server in servers:
        domains = Counter(domain for host in server.virtual_hosts for domain in host.domains)
        assert [domain for domain, count in domains.items() if count > 1] == []


@settings(max_examples=50)
@given(gateway_documents)
def test_a_catch_all_is_followed_by_no_narrower_route(objects: list[Document]) -> None:
    for server in gateway_servers(view_for(objects, INGRESS)):
        for host in server.virtual_hosts:
            order = [route.match.is_catch_all for route in host.routes]
            assert order == sorted(order)


def one_server(server: dict[str, object], **virtual_service: object) -> GatewayServer:
    gateway = object_of("Gateway", "front", {"servers": [server]})
    spec = {"hosts": ["*"], "gateways": ["front"], **virtual_service}
    store = Store([gateway, object_of("VirtualService", "v", spec)])
    servers = gateway_servers(view_of(store, INGRESS))
    assert len(servers) == 1
    return servers[0]


def test_a_host_of_every_name_has_the_domain_of_every_name() -> None:
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    answer = [{"directResponse": {"status": 200}}]
    server = one_server({"port": port, "hosts": ["*"]}, http=answer)
    assert [host.domains for host in server.virtual_hosts] == [("*",)]


def test_a_server_that_no_rule_serves_answers_404_to_every_name() -> None:
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    server = one_server({"port": port, "hosts": ["a.example"]}, hosts=["b.example"])
    assert [(h.name, h.domains, h.routes) for h in server.virtual_hosts] == [
        ("blackhole:80", ("*",), ())
    ]


def test_rules_for_another_port_of_the_gateway_say_so() -> None:
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    rules = [{"match": [{"port": 81}], "directResponse": {"status": 200}}]
    server = one_server({"port": port, "hosts": ["*"]}, http=rules)
    assert "its port is 81 and this is port 80" in [reason for _, reason in server.passed_over]


def test_automatic_passthrough_has_a_name_for_each_port_and_subset_under_its_hosts() -> None:
    port = {"number": 15443, "name": "tls", "protocol": "TLS"}
    server = {"port": port, "hosts": ["default/*.local"], "tls": {"mode": "AUTO_PASSTHROUGH"}}
    subsets = {"host": "a.local", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}
    store = Store(
        [
            object_of("Gateway", "front", {"servers": [server]}),
            object_of("DestinationRule", "a", subsets),
            service_of("a.local", "http:80,tcp:81,udp:82"),
            service_of("a.elsewhere"),
            service_of("b.local", namespace="other"),
            service_of("c.local", location="MESH_EXTERNAL"),
        ]
    )
    (found,) = gateway_servers(view_of(store, INGRESS))
    assert [route.sni_hosts for route in found.tcp_routes] == [
        ("outbound_.80_._.a.local",),
        ("outbound_.80_.v1_.a.local",),
        ("outbound_.81_._.a.local",),
        ("outbound_.81_.v1_.a.local",),
    ]
    (target,) = found.tcp_routes[1].clusters
    assert isinstance(target.cluster, ClusterKey)
    assert (target.cluster.sni_routed, target.cluster.subset) == (True, "v1")


def test_a_bind_makes_a_listener_of_its_own() -> None:
    servers = [
        {"port": {"number": 80, "name": name, "protocol": "HTTP"}, "hosts": ["*"], **bind}
        for name, bind in (("any", {}), ("own", {"bind": "10.0.0.1"}))
    ]
    store = Store([object_of("Gateway", "front", {"servers": servers})])
    found = gateway_servers(view_of(store, INGRESS))
    assert [(s.bind, s.route_config) for s in found] == [
        ("0.0.0.0", "http.80"),
        ("10.0.0.1", "http.80.10.0.0.1"),
    ]


def test_a_workload_that_is_no_gateway_opens_nothing() -> None:
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    store = Store([object_of("Gateway", "front", {"servers": [{"port": port, "hosts": ["*"]}]})])
    assert gateway_servers(view_of(store)) == ()
