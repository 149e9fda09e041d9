from __future__ import annotations

from sidecar.mesh.model import Protocol
from sidecar.routing.gateways import GatewayServer
from sidecar.routing.table import TcpRoute
from sidecar.xds import protos as pb
from sidecar.xds.compile import CompileOptions
from sidecar.xds.compile.gateways import compile_gateway_listeners, is_http_server
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from store.objects.tls import ServerTLSSettings
from tests.harness.compiled import IDENTITY, SOURCE, V1, to

GATEWAY = ObjectRef(Kind.GATEWAY, "default", "gw")


def server(
    name: str,
    port: int = 443,
    *,
    mode: str = "",
    sni: tuple[str, ...] = (),
    protocol: Protocol = Protocol.HTTPS,
    routes: tuple[TcpRoute, ...] = (),
) -> GatewayServer:
    document = {"mode": mode, "serverCertificate": "/c", "privateKey": "/k", "caCertificates": "/a"}
    return GatewayServer(
        port=port,
        bind="0.0.0.0",
        protocol=protocol,
        tls=ServerTLSSettings.model_validate(document) if mode else None,
        https_redirect=False,
        route_config=name,
        sni_hosts=sni,
        virtual_hosts=(),
        gateways=(GATEWAY,),
        tcp_routes=routes,
        sources=(SOURCE,),
    )


def listeners(*servers: GatewayServer, suffix: str = "") -> dict[str, pb.Listener]:
    made = compile_gateway_listeners(servers, CompileOptions(), suffix=suffix)
    assert all(resource.sources for resource in made)
    return {resource.name: pb.Listener.FromString(resource.body) for resource in made}


def test_plain_http_is_one_chain_that_trusts_no_client() -> None:
    (made,) = listeners(server("http.80", 80, protocol=Protocol.HTTP)).values()
    (chain,) = made.filter_chains
    http = pb.HttpConnectionManager.FromString(chain.filters[0].typed_config.value)
    assert http.rds.route_config_name == "http.80"
    assert http.use_remote_address.value
    assert http.normalize_path.value
    assert not made.listener_filters


def test_https_servers_of_one_port_are_chains_told_apart_by_server_name() -> None:
    made = listeners(
        server("https.443.a", mode="SIMPLE", sni=("a.b",)),
        server("https.443.b", mode="MUTUAL", sni=("*.c.d",)),
    )
    assert list(made) == ["0.0.0.0_443"]
    one, other = made["0.0.0.0_443"].filter_chains
    assert list(one.filter_chain_match.server_names) == ["a.b"]
    assert list(other.filter_chain_match.server_names) == ["*.c.d"]
    assert made["0.0.0.0_443"].listener_filters[0].name == "envoy.filters.listener.tls_inspector"
    context = pb.DownstreamTlsContext.FromString(one.transport_socket.typed_config.value)
    assert list(context.common_tls_context.alpn_protocols) == ["h2", "http/1.1"]


def test_passed_through_tls_is_routed_by_server_name_and_never_opened() -> None:
    routes = (
        TcpRoute(to(V1), SOURCE, sni_hosts=("a.b",)),
        TcpRoute(to(V1), SOURCE, sni_hosts=("*",)),
    )
    given = server("tls", mode="PASSTHROUGH", protocol=Protocol.TLS, routes=routes)
    assert not is_http_server(given)
    named, rest = listeners(given)["0.0.0.0_443"].filter_chains
    assert list(named.filter_chain_match.server_names) == ["a.b"]
    assert not rest.filter_chain_match.server_names
    assert not named.HasField("transport_socket")


def test_terminated_tls_may_carry_bytes() -> None:
    given = server(
        "tls",
        mode="SIMPLE",
        protocol=Protocol.TLS,
        routes=(TcpRoute(to(V1), SOURCE),),
        sni=("a.b",),
    )
    (chain,) = listeners(given)["0.0.0.0_443"].filter_chains
    assert chain.HasField("transport_socket")
    assert chain.filters[0].name == "envoy.filters.network.tcp_proxy"
    assert list(chain.filter_chain_match.server_names) == ["a.b"]


def test_a_server_that_can_serve_nothing_opens_nothing() -> None:
    assert not listeners(server("tcp", 9000, protocol=Protocol.TCP))


def test_a_server_of_the_mesh_shows_the_gateways_own_certificate() -> None:
    (made,) = compile_gateway_listeners([server("mesh", mode="ISTIO_MUTUAL")], identity=IDENTITY)
    assert {secret.name for secret in made.secrets} == {"default", "ROOTCA"}
    (chain,) = pb.Listener.FromString(made.body).filter_chains
    http = pb.HttpConnectionManager.FromString(chain.filters[0].typed_config.value)
    assert http.forward_client_cert_details == pb.HttpConnectionManager.SANITIZE_SET


def test_tls_of_the_mesh_is_passed_on_by_server_name_and_alpn() -> None:
    key = V1._replace(sni_routed=True)
    routes = (TcpRoute(to(key), SOURCE, sni_hosts=(key.server_name,)),)
    given = server("auto", mode="AUTO_PASSTHROUGH", protocol=Protocol.TLS, routes=routes)
    (chain,) = listeners(given)["0.0.0.0_443"].filter_chains
    assert list(chain.filter_chain_match.server_names) == [key.server_name]
    assert "istio" in chain.filter_chain_match.application_protocols
    assert not chain.HasField("transport_socket")
    proxy = pb.TcpProxy.FromString(chain.filters[0].typed_config.value)
    assert proxy.cluster == key.name


def test_names_tell_contexts_apart() -> None:
    made = listeners(server("http.80", 80, protocol=Protocol.HTTP), suffix=".edge")
    (chain,) = made["0.0.0.0_80.edge"].filter_chains
    http = pb.HttpConnectionManager.FromString(chain.filters[0].typed_config.value)
    assert http.rds.route_config_name == "http.80.edge"


def test_a_server_listens_on_the_target_port_of_the_gateways_service() -> None:
    options = CompileOptions(gateway_ports=((443, 8443),))
    made = compile_gateway_listeners(
        [server("a", mode="SIMPLE"), server("b", 80, protocol=Protocol.HTTP)], options
    )
    ports = {pb.Listener.FromString(one.body).address.socket_address.port_value for one in made}
    assert ports == {8443, 80}
