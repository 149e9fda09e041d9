from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.mesh.model import Protocol
from sidecar.routing.table import Flow, InboundKey, TcpRoute, Tunnel, VirtualHost
from sidecar.telemetry.model import Telemetry, Tracing
from sidecar.xds import protos as pb
from sidecar.xds.compile import (
    Bind,
    CompileOptions,
    InboundPort,
    compile_http_egress,
    compile_inbound_listener,
    compile_outbound_listener,
    compile_tcp_egress,
)
from sidecar.xds.compile.tls import MESH_ALPN
from sidecar.xds.compile.upstream_http import HEADERS_MAX
from sidecar.xds.resource import Resource
from tests.harness.compiled import CATCH_ALL, IDENTITY, RULE, SOURCE, V1, V2, to

OPTIONS = CompileOptions(outbound_ports=(15001,), own_addresses=("10.1.2.3", "fd00::1"))
BIND = Bind("127.0.0.1", 15001)
PORT = InboundPort(InboundKey(9080), Bind("10.1.2.3", 15006), "127.0.0.1", 9080, Protocol.HTTP)
APP = VirtualHost("inbound|http|9080", ("*",), CATCH_ALL.routes[1:])


def listener(made: Resource) -> pb.Listener:
    return pb.Listener.FromString(made.body)


def manager(chain: pb.FilterChain) -> pb.HttpConnectionManager:
    (only,) = chain.filters
    return pb.HttpConnectionManager.FromString(only.typed_config.value)


def filters(made: pb.HttpConnectionManager) -> list[str]:
    return [f.name.removeprefix("envoy.filters.http.") for f in made.http_filters]


def test_outbound_takes_routes_over_ads_and_waits_for_them_for_ever() -> None:
    made = listener(compile_outbound_listener("outbound", BIND, "outbound", OPTIONS))
    http = manager(made.filter_chains[0])
    assert http.rds.route_config_name == "outbound"
    assert http.rds.config_source.HasField("initial_fetch_timeout")
    assert http.rds.config_source.initial_fetch_timeout.ToJsonString() == "0s"
    assert (made.address.socket_address.address, made.address.socket_address.port_value) == (
        "127.0.0.1",
        15001,
    )


def test_outbound_takes_both_versions_of_http_and_connect() -> None:
    http = manager(listener(compile_outbound_listener("o", BIND, "o", OPTIONS)).filter_chains[0])
    assert http.codec_type == pb.HttpConnectionManager.AUTO
    assert [u.upgrade_type for u in http.upgrade_configs] == ["websocket", "CONNECT"]
    assert http.http2_protocol_options.allow_connect


def test_what_applications_say_to_each_other_is_passed_on() -> None:
    for made in (
        compile_outbound_listener("o", BIND, "o", OPTIONS),
        compile_http_egress("e", BIND, "9080", OPTIONS),
        compile_inbound_listener(PORT, APP, OPTIONS),
    ):
        http = manager(listener(made).filter_chains[0])
        assert http.proxy_100_continue
        assert http.http_protocol_options.enable_trailers
        assert http.http_protocol_options.accept_http_10
        assert http.common_http_protocol_options.max_headers_count.value == HEADERS_MAX


def test_outbound_loads_cold_hosts_and_gives_up_after_two_seconds() -> None:
    http = manager(listener(compile_outbound_listener("o", BIND, "o", OPTIONS)).filter_chains[0])
    assert filters(http) == [
        "on_demand",
        "cors",
        "fault",
        "dynamic_forward_proxy",
        "rbac",
        "router",
    ]
    assert http.stream_idle_timeout.ToJsonString() == "2s"


def test_egress_listeners_ask_for_nothing() -> None:
    http = manager(listener(compile_http_egress("e", BIND, "9080", OPTIONS)).filter_chains[0])
    assert "on_demand" not in filters(http)
    assert http.stream_idle_timeout.ToJsonString() == "0s"


def test_a_forward_proxy_refuses_every_own_address_and_port() -> None:
    http = manager(listener(compile_outbound_listener("o", BIND, "o", OPTIONS)).filter_chains[0])
    (rbac,) = [f for f in http.http_filters if f.name == "envoy.filters.http.rbac"]
    rules = pb.RbacFilter.FromString(rbac.typed_config.value).rules
    assert rules.action == pb.RBAC.DENY
    (own,) = rules.policies["own-outbound-listener"].permissions
    matchers = [
        pb.UpstreamIpPortMatcher.FromString(rule.matcher.typed_config.value)
        for rule in own.or_rules.rules
    ]
    assert {(m.upstream_ip.address_prefix, m.upstream_ip.prefix_len.value) for m in matchers} >= {
        ("127.0.0.0", 8), ("::1", 128), ("10.1.2.3", 32), ("fd00::1", 128),
    }  # fmt: skip
    assert {(m.upstream_port_range.start, m.upstream_port_range.end) for m in matchers} == {
        (15001, 15002)
    }


def test_a_port_is_not_shared_with_another_process() -> None:
    made = listener(compile_outbound_listener("o", BIND, "o", OPTIONS))
    assert made.HasField("enable_reuse_port")
    assert not made.enable_reuse_port.value


def test_every_kind_of_listener_writes_down_what_telemetry_says() -> None:
    told = replace(OPTIONS, telemetry=Telemetry(metrics=True, tracing=Tracing("10.0.0.9", 4317)))
    tcp = InboundPort(InboundKey(3306), Bind("10.1.2.3", 15007), "127.0.0.1", 3306, Protocol.TCP)
    for made in (
        compile_outbound_listener("o", BIND, "o", told),
        compile_http_egress("e", BIND, "9080", told),
        compile_inbound_listener(PORT, APP, told),
    ):
        http = manager(listener(made).filter_chains[0])
        assert len(http.access_log) == 1
        assert http.HasField("tracing")
    for made in (
        compile_tcp_egress("t", BIND, (TcpRoute(to(V1), RULE),), told),
        compile_inbound_listener(tcp, None, told),
    ):
        (only,) = listener(made).filter_chains[0].filters
        proxy = pb.TcpProxy.FromString(only.typed_config.value)
        assert len(proxy.access_log) == 2
        assert proxy.access_log_options.flush_access_log_on_connected


def test_inbound_is_counted_by_the_destination() -> None:
    told = replace(OPTIONS, telemetry=Telemetry(metrics=True))
    http = manager(listener(compile_inbound_listener(PORT, APP, told)).filter_chains[0])
    assert b"destination;9080;" in http.access_log[0].typed_config.value


def test_inbound_http_has_a_chain_for_plain_text_beside_which_tls_can_stand() -> None:
    made = listener(compile_inbound_listener(PORT, APP, OPTIONS))
    assert [f.name for f in made.listener_filters] == ["envoy.filters.listener.tls_inspector"]
    (chain,) = made.filter_chains
    assert (chain.name, chain.filter_chain_match.transport_protocol) == ("plain", "raw_buffer")
    http = manager(chain)
    assert http.route_config.name == "inbound|http|9080"
    assert filters(http) == ["router"]


class TestInboundWithAnIdentity:
    """Mutual TLS of the mesh beside plain text, on one port."""

    def test_requests_come_either_way_and_the_application_learns_who_asks(self) -> None:
        port = replace(PORT, identity=IDENTITY)
        made = compile_inbound_listener(port, APP, OPTIONS)
        assert {secret.name for secret in made.secrets} == {"default", "ROOTCA"}
        secure, plain = listener(made).filter_chains
        assert secure.filter_chain_match.transport_protocol == "tls"
        assert not secure.filter_chain_match.application_protocols
        assert plain.filter_chain_match.transport_protocol == "raw_buffer"
        context = pb.DownstreamTlsContext.FromString(secure.transport_socket.typed_config.value)
        assert context.require_client_certificate.value
        assert list(context.common_tls_context.alpn_protocols) == ["h2", "http/1.1"]
        for chain in (secure, plain):
            http = manager(chain)
            assert http.forward_client_cert_details == pb.HttpConnectionManager.APPEND_FORWARD
            details = http.set_current_client_cert_details
            assert (details.uri, details.dns, details.cert) == (True, True, False)

    def test_bytes_are_a_peers_by_alpn_and_the_applications_own_tls_passes(self) -> None:
        port = replace(PORT, protocol=Protocol.TCP, identity=IDENTITY)
        made = listener(compile_inbound_listener(port, None, OPTIONS))
        secure, own, plain = made.filter_chains
        assert list(secure.filter_chain_match.application_protocols) == list(MESH_ALPN)
        assert own.filter_chain_match.transport_protocol == "tls"
        assert own.transport_socket.name == "envoy.transport_sockets.raw_buffer"
        assert not plain.HasField("filter_chain_match")
        assert not plain.HasField("transport_socket")
        assert made.continue_on_listener_filters_timeout

    def test_nobody_waits_for_the_client_where_the_server_speaks_first(self) -> None:
        port = replace(PORT, protocol=Protocol.MYSQL, identity=IDENTITY)
        made = listener(compile_inbound_listener(port, None, OPTIONS))
        assert not made.listener_filters
        assert [chain.name for chain in made.filter_chains] == ["plain"]


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.MYSQL])
def test_inbound_bytes_pass_without_a_look(protocol: Protocol) -> None:
    made = listener(compile_inbound_listener(replace(PORT, protocol=protocol), None, OPTIONS))
    assert not made.listener_filters
    (chain,) = made.filter_chains
    assert not chain.HasField("filter_chain_match")
    proxy = pb.TcpProxy.FromString(chain.filters[0].typed_config.value)
    assert proxy.cluster == "inbound|9080||"


def test_tcp_routes_are_chains_by_server_name_and_address() -> None:
    made = compile_tcp_egress(
        "t",
        Bind("127.0.0.1", 3306),
        (
            TcpRoute(to(V1, V2), SOURCE, sni_hosts=("a.b",)),
            TcpRoute(to(V1), RULE, destination_subnets=("10.0.0.0/8", "10.9.9.9", "fd00::/16")),
        ),
        OPTIONS,
    )
    first, second = listener(made).filter_chains
    weighted = pb.TcpProxy.FromString(
        first.filters[0].typed_config.value
    ).weighted_clusters.clusters
    assert [(c.name, c.weight) for c in weighted] == [(V1.name, 50), (V2.name, 50)]
    assert list(first.filter_chain_match.server_names) == ["a.b"]
    assert [(p.address_prefix, p.prefix_len.value) for p in second.filter_chain_match.prefix_ranges] == [
        ("10.0.0.0", 8), ("10.9.9.9", 32), ("fd00::", 16),
    ]  # fmt: skip
    assert listener(made).listener_filters
    assert made.sources == (SOURCE, RULE)


def test_the_policy_of_a_destination_holds_for_connections_that_are_not_read() -> None:
    flow = Flow(
        idle_timeout_s=0, life_s=60, by_source_ip=True, tunnel=Tunnel("db.example.com:3306")
    )
    route = TcpRoute(to(V1), SOURCE, flow=flow)
    made = compile_tcp_egress("t", Bind("127.0.0.1", 3306), (route,), OPTIONS)
    proxy = pb.TcpProxy.FromString(listener(made).filter_chains[0].filters[0].typed_config.value)
    assert proxy.HasField("idle_timeout")
    assert proxy.idle_timeout.ToJsonString() == "0s"
    assert proxy.max_downstream_connection_duration.ToJsonString() == "60s"
    assert proxy.hash_policy[0].HasField("source_ip")
    assert (proxy.tunneling_config.hostname, proxy.tunneling_config.use_post) == (
        "db.example.com:3306",
        False,
    )


def test_without_server_names_the_first_bytes_are_not_awaited() -> None:
    made = compile_tcp_egress("t", Bind("127.0.0.1", 3306), (TcpRoute(to(V1), SOURCE),), OPTIONS)
    assert not listener(made).listener_filters


def test_an_address_names_itself() -> None:
    assert (str(BIND), str(Bind("/run/x.sock"))) == ("127.0.0.1_15001", "/run/x.sock")
