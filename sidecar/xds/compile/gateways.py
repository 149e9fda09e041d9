"""Listeners of a gateway: the servers that share an address and port, plain or as TLS chains told apart by SNI.

Follows Istio's core/gateway.go buildGatewayListeners. Routes come over RDS and VHDS, so that rules may change without
touching a listener; certificates come as secrets, so that neither does a renewed one.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.certificates.model import Identity, SecretSource
from sidecar.mesh.model import Protocol
from sidecar.routing.gateways import GatewayServer
from sidecar.xds import protos as pb
from sidecar.xds.compile.actions import cluster_name
from sidecar.xds.compile.forward_proxy import look_up_server_name
from sidecar.xds.compile.http_manager import manager_filter, outbound_filters
from sidecar.xds.compile.listeners import HTTP_ALPN, Bind, add_addresses, listener, tcp_chain
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.compile.tls import MESH_ALPN, TlsSocket, downstream_socket
from sidecar.xds.resource import Resource

__all__ = ["compile_gateway_listeners", "is_http_server", "route_config_name"]

_DEFAULT_OPTIONS = CompileOptions()


def is_http_server(server: GatewayServer) -> bool:
    """Whether requests are read: plain HTTP, or HTTPS whose certificate the gateway holds."""
    return server.protocol.is_http or (
        server.protocol is Protocol.HTTPS and server.is_tls_terminated
    )


def route_config_name(server: GatewayServer, suffix: str = "") -> str:
    """Name of the server's route configuration; `suffix` tells contexts apart on a host that has several."""
    return f"{server.route_config}{suffix}"


def compile_gateway_listeners(
    servers: Iterable[GatewayServer],
    options: CompileOptions = _DEFAULT_OPTIONS,
    *,
    suffix: str = "",
    identity: Identity | None = None,
) -> tuple[Resource, ...]:
    """One listener for each address and port, with the chains of all servers there.

    A server without any route gets no chain (nothing could be done with its connections); an address without chains
    gets no listener.

    Args:
        servers: The servers.
        options: Facts about this host.
        suffix: Tells contexts apart on a host that has several.
        identity: Of the gateway, for ISTIO_MUTUAL.
    """
    places: dict[Bind, list[GatewayServer]] = {}
    for server in servers:
        address = server.bind.removeprefix("unix://")
        places.setdefault(Bind(address, options.gateway_port(server.port)), []).append(server)
    made = []
    for bind, sharing in sorted(places.items(), key=lambda place: str(place[0])):
        chains: list[pb.FilterChain] = []
        secrets: set[SecretSource] = set()
        for server in sharing:
            socket = _socket(server, options, identity)
            for chain in _chains(server, options, suffix):
                if socket is not None:
                    chain.transport_socket.CopyFrom(socket.socket)
                    secrets |= socket.secrets
                chains.append(chain)
        if not chains:
            continue
        made.append(
            listener(
                f"{bind}{suffix}",
                bind,
                chains,
                direction=pb.TrafficDirection.OUTBOUND,
                inspect_tls=any(server.tls is not None for server in sharing),
                sources=tuple(source for server in sharing for source in server.sources),
                secrets=frozenset(secrets),
            )
        )
    return tuple(made)


def _socket(
    server: GatewayServer, options: CompileOptions, identity: Identity | None
) -> TlsSocket | None:
    """How the server ends TLS; None where it does not."""
    if server.tls is None or not server.is_tls_terminated:
        return None
    alpn = HTTP_ALPN if is_http_server(server) else ()
    return downstream_socket(server.tls, alpn=alpn, options=options, identity=identity)


def _chains(
    server: GatewayServer, options: CompileOptions, suffix: str
) -> Iterable[pb.FilterChain]:
    if is_http_server(server):
        yield _http_chain(server, options, suffix)
        return
    for position, route in enumerate(server.tcp_routes):
        targets = tuple((cluster_name(c.cluster), c.weight) for c in route.clusters)
        name = f"{server.route_config}-{position}"
        chain = tcp_chain(name, "gateway", targets, options, route.flow)
        look_up_server_name(chain, route.flow, options)
        chain.filter_chain_match.server_names.extend(
            name for name in route.sni_hosts or server.sni_hosts if name != "*"
        )
        add_addresses(chain, route.destination_subnets)
        if server.is_automatic:
            chain.filter_chain_match.application_protocols.extend(MESH_ALPN)
        yield chain


def _http_chain(server: GatewayServer, options: CompileOptions, suffix: str) -> pb.FilterChain:
    prefix = server.name.lower() or "gateway"  # Istio's statPrefix of a server (core/gateway.go)
    http = manager_filter(
        prefix,
        route_config_name(server, suffix),
        outbound_filters(options, on_demand=False, protocol=server.protocol),
        options,
        edge=True,
        client_certificates=server.is_tls_terminated,
    )
    chain = pb.FilterChain(name=server.route_config, filters=[http])
    chain.filter_chain_match.server_names.extend(server.sni_hosts)
    return chain
