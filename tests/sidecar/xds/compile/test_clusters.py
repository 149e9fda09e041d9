from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from sidecar.balancing.model import ClusterPlan, EndpointSet
from sidecar.mesh.model import Endpoint, HostName, Protocol, Resolution
from sidecar.routing.table import ClusterKey, InboundKey
from sidecar.xds import protos as pb
from sidecar.xds.compile import (
    CompileOptions,
    compile_black_hole,
    compile_cluster,
    compile_inbound_cluster,
    compile_passthrough,
    is_dynamic,
    needs_endpoints,
)
from sidecar.xds.compile.upstream_http import HTTP_OPTIONS
from store.objects.mesh_config import MeshConfigSpec
from tests.harness.compiled import IDENTITY, RULE, SOURCE, V1, endpoints, plan

CONFIG = MeshConfigSpec()
TLS = {"tls": {"mode": "SIMPLE"}}


def cluster(given: ClusterPlan, of: EndpointSet | None = None) -> pb.Cluster:
    return pb.Cluster.FromString(compile_cluster(given, CONFIG, endpoints=of).body)


def http(made: pb.Cluster) -> pb.UpstreamHttpOptions:
    return pb.UpstreamHttpOptions.FromString(
        made.typed_extension_protocol_options[HTTP_OPTIONS].value
    )


def upstream_tls(made: pb.Cluster) -> pb.UpstreamTlsContext:
    assert made.transport_socket.name == "envoy.transport_sockets.tls"
    return pb.UpstreamTlsContext.FromString(made.transport_socket.typed_config.value)


def test_a_static_service_takes_endpoints_over_eds_under_its_own_name() -> None:
    made = cluster(plan())
    assert made.type == pb.Cluster.EDS
    assert made.eds_cluster_config.service_name == ""
    assert made.eds_cluster_config.eds_config.initial_fetch_timeout.ToJsonString() == "5s"
    assert made.ignore_health_on_host_removal
    assert not made.HasField("load_assignment")


def test_endpoints_are_no_part_of_an_eds_cluster() -> None:
    assert (
        compile_cluster(plan(), CONFIG, endpoints=endpoints()).body
        == compile_cluster(plan(), CONFIG).body
    )


def test_health_updates_are_not_held_back() -> None:
    made = cluster(plan())
    assert made.common_lb_config.HasField("update_merge_window")
    assert made.common_lb_config.update_merge_window.ToJsonString() == "0s"


def test_without_policy_nothing_is_said_of_http_where_bytes_are_not_read() -> None:
    made = cluster(plan(protocol=Protocol.TCP))
    assert HTTP_OPTIONS not in made.typed_extension_protocol_options


def test_a_dns_service_holds_its_endpoints() -> None:
    names = EndpointSet(
        V1, (Endpoint("a.example.com", 443, source=SOURCE), Endpoint("b.example.com", 443))
    )
    made = compile_cluster(plan(resolution=Resolution.DNS), CONFIG, endpoints=names)
    message = pb.Cluster.FromString(made.body)
    assert message.cluster_type.name == "envoy.cluster.dns"
    (group,) = message.load_assignment.endpoints
    assert [e.endpoint.address.socket_address.address for e in group.lb_endpoints] == [
        "a.example.com",
        "b.example.com",
    ]
    assert made.sources == (RULE, SOURCE)


def test_round_robin_by_dns_has_one_name_alone() -> None:
    names = EndpointSet(V1, (Endpoint("a.example.com", 443), Endpoint("b.example.com", 443)))
    message = cluster(plan(resolution=Resolution.DNS_ROUND_ROBIN), names)
    config = pb.DnsCluster.FromString(message.cluster_type.typed_config.value)
    assert config.all_addresses_in_single_endpoint
    assert len(message.load_assignment.endpoints[0].lb_endpoints) == 1


@pytest.mark.parametrize("resolution", [Resolution.NONE, Resolution.DYNAMIC_DNS])
def test_a_service_without_addresses_is_reached_by_the_requests_own_authority(
    resolution: Resolution,
) -> None:
    given = plan(resolution=resolution)
    assert is_dynamic(given)
    assert not needs_endpoints(given)
    made = cluster(given)
    assert made.cluster_type.name == "envoy.clusters.dynamic_forward_proxy"
    assert made.lb_policy == pb.Cluster.CLUSTER_PROVIDED


def test_passthrough_balancing_is_the_requests_own_authority_too() -> None:
    assert is_dynamic(plan(document={"loadBalancer": {"simple": "PASSTHROUGH"}}))


def test_the_meshs_connect_timeout_holds_unless_the_rule_has_one() -> None:
    config = MeshConfigSpec.model_validate({"connectTimeout": "3s"})
    made = pb.Cluster.FromString(compile_cluster(plan(), config).body)
    assert made.connect_timeout.ToJsonString() == "3s"
    rule = plan(document={"connectionPool": {"tcp": {"connectTimeout": "20ms"}}})
    made = pb.Cluster.FromString(compile_cluster(rule, config).body)
    assert made.connect_timeout.ToJsonString() == "0.020s"


def test_tls_takes_names_from_each_request_unless_the_rule_gives_them() -> None:
    made = cluster(plan(document=TLS))
    options = http(made).upstream_http_protocol_options
    assert (options.auto_sni, options.auto_san_validation) == (True, True)
    context = upstream_tls(made)
    assert context.sni == ""
    combined = context.common_tls_context.combined_validation_context
    trusted = combined.validation_context_sds_secret_config.name
    assert trusted == "file-root:/etc/ssl/certs/ca-certificates.crt"


def test_names_of_the_rule_beat_those_of_the_service_entry() -> None:
    named = {"tls": {"mode": "SIMPLE", "sni": "s", "subjectAltNames": ["rule.example.com"]}}
    for document, expected in ((named, "rule.example.com"), (TLS, "entry.example.com")):
        made = cluster(plan(document=document, subject_alt_names=("entry.example.com",)))
        common = upstream_tls(made).common_tls_context
        checks = common.combined_validation_context.default_validation_context
        (matcher,) = checks.match_typed_subject_alt_names
        assert matcher.matcher.exact == expected
        assert not http(made).upstream_http_protocol_options.auto_san_validation


def test_tls_begun_under_plain_tcp_names_the_service() -> None:
    key = ClusterKey(HostName("db.example.com"), 3306)
    made = cluster(plan(key, TLS, protocol=Protocol.TCP))
    assert upstream_tls(made).sni == "db.example.com"
    assert (
        HTTP_OPTIONS not in made.typed_extension_protocol_options
        or not http(made).upstream_http_protocol_options.auto_sni
    )


def test_plain_text_is_what_a_rule_may_ask_for() -> None:
    asked = plan(document={"tls": {"mode": "DISABLE"}}, identity=IDENTITY)
    assert not cluster(asked).HasField("transport_socket")
    assert not cluster(asked).transport_socket_matches


@pytest.mark.parametrize(
    ("protocol", "alpn"),
    [
        (Protocol.HTTP, ["istio", "http/1.1"]),
        (Protocol.GRPC, ["istio", "h2"]),
        (Protocol.AUTO, ["istio"]),
        (Protocol.TCP, ["istio"]),
    ],
)
def test_mutual_tls_of_the_mesh_names_the_destination_and_offers_istio(
    protocol: Protocol, alpn: list[str]
) -> None:
    document = {"tls": {"mode": "ISTIO_MUTUAL"}}
    made = cluster(plan(document=document, identity=IDENTITY, protocol=protocol))
    context = upstream_tls(made)
    assert context.sni == f"outbound_.9080_.v1_.{V1.host}"
    assert list(context.common_tls_context.alpn_protocols) == alpn
    named = cluster(plan(document={"tls": {"mode": "ISTIO_MUTUAL", "sni": "own"}}))
    assert upstream_tls(named).sni == "own"


class TestEachEndpointDecides:
    """Mutual TLS where no rule speaks of it (auto mTLS)."""

    def test_by_its_metadata_when_the_caller_has_an_identity(self) -> None:
        made = cluster(plan(identity=IDENTITY))
        secure, plain = made.transport_socket_matches
        assert dict(secure.match) == {"tlsMode": "istio"}
        assert secure.transport_socket.name == "envoy.transport_sockets.tls"
        assert not dict(plain.match)
        assert plain.transport_socket.name == "envoy.transport_sockets.raw_buffer"

    @pytest.mark.parametrize(
        "more",
        [
            {"identity": None},
            {"identity": replace(IDENTITY, is_held=False)},
            {"identity": IDENTITY, "external": True},
            {"identity": IDENTITY, "automatic_tls": False},
            {"identity": IDENTITY, "resolution": Resolution.NONE},
            {"identity": IDENTITY, "document": TLS},
            {"identity": IDENTITY, "key": V1._replace(sni_routed=True)},
        ],
        ids=["none", "not read", "external", "off", "no endpoints", "a rule", "passed on"],
    )
    def test_but_not_elsewhere(self, more: dict[str, Any]) -> None:
        assert not cluster(plan(**more)).transport_socket_matches

    def test_behind_a_proxy_header_where_a_rule_wants_one(self) -> None:
        made = cluster(plan(document={"proxyProtocol": {"version": "V1"}}, identity=IDENTITY))
        names = {one.transport_socket.name for one in made.transport_socket_matches}
        assert names == {"envoy.transport_sockets.upstream_proxy_protocol"}


def test_what_a_gateway_passes_on_by_server_name_is_not_wrapped_again() -> None:
    key = V1._replace(sni_routed=True)
    made = cluster(plan(key, {"tls": {"mode": "ISTIO_MUTUAL"}}, identity=IDENTITY))
    assert made.name == f"outbound_.9080_.v1_.{V1.host}"
    assert not made.HasField("transport_socket")


def test_a_forward_proxy_takes_fixed_names_only_when_the_rule_gives_them() -> None:
    def insecure(document: Mapping[str, object]) -> bool:
        made = cluster(plan(document=document, resolution=Resolution.NONE))
        config = pb.ForwardProxyCluster.FromString(made.cluster_type.typed_config.value)
        return bool(config.allow_insecure_cluster_options)

    assert not insecure({})
    assert not insecure(TLS)
    assert insecure({"tls": {"mode": "SIMPLE", "sni": "fixed"}})
    assert insecure({"tls": {"mode": "SIMPLE", "insecureSkipVerify": True}})


def test_the_proxy_header_comes_before_tls() -> None:
    made = cluster(plan(document={"proxyProtocol": {"version": "V2"}, **TLS}))
    assert made.transport_socket.name == "envoy.transport_sockets.upstream_proxy_protocol"
    outer = pb.ProxyProtocolUpstreamTransport.FromString(made.transport_socket.typed_config.value)
    assert outer.config.version == pb.ProxyProtocolConfig.V2
    assert outer.transport_socket.name == "envoy.transport_sockets.tls"


def test_passthrough_and_forward_proxy_filter_share_one_dns_cache() -> None:
    options = CompileOptions(outbound_ports=(1,))
    made = pb.Cluster.FromString(compile_passthrough(CONFIG, options).body)
    named = pb.Cluster.FromString(
        compile_cluster(plan(resolution=Resolution.NONE), CONFIG, options=options).body
    )
    caches = [
        pb.ForwardProxyCluster.FromString(c.cluster_type.typed_config.value).dns_cache_config
        for c in (made, named)
    ]
    assert caches[0] == caches[1]


def test_the_black_hole_has_no_endpoint() -> None:
    made = pb.Cluster.FromString(compile_black_hole().body)
    assert (made.name, made.type) == ("BlackHoleCluster", pb.Cluster.STATIC)
    assert not made.load_assignment.endpoints


def test_the_local_workload_is_reached_where_it_listens() -> None:
    made = compile_inbound_cluster(InboundKey(9080), "127.0.0.1", 8080, Protocol.GRPC, 1.0)
    message = pb.Cluster.FromString(made.body)
    assert made.name == "inbound|9080||"
    address = message.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
    assert (address.address, address.port_value) == ("127.0.0.1", 8080)
    assert http(message).explicit_http_config.HasField("http2_protocol_options")


def test_the_bytes_do_not_tell_a_generation() -> None:
    newer = replace(plan(), sources=(RULE._replace(generation=77),))
    assert compile_cluster(newer, CONFIG).version == compile_cluster(plan(), CONFIG).version
