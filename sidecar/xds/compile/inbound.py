"""The listener in front of one port of a local workload: plain text, mutual TLS of the mesh, TLS from outside it.

Follows Istio's listener_inbound.go. A port takes plain text, and mutual TLS beside it where the workload has an
identity (PERMISSIVE), told apart by the first bytes. Where a Sidecar's `ingress[].tls` says that TLS from outside the
mesh ends here, plain text is refused; peers are still known by what only they offer (`istio` by ALPN).
"""

from __future__ import annotations

from sidecar.certificates.model import SecretSource
from sidecar.mesh.model import Protocol, Provenance
from sidecar.routing.table import VirtualHost
from sidecar.xds import protos as pb
from sidecar.xds.compile.http_manager import inbound_filters, manager_filter
from sidecar.xds.compile.listeners import HTTP_ALPN, Bind, InboundPort, listener, tcp_chain
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.compile.routes import virtual_host
from sidecar.xds.compile.tls import MESH_ALPN, PLAIN, TlsSocket, downstream_socket, inbound_socket
from sidecar.xds.resource import Resource
from store.objects.tls import ServerTLSMode, ServerTLSSettings

__all__ = ["compile_inbound_listener", "ends_tls", "inbound_listener_name"]

SERVER_FIRST = frozenset({Protocol.MYSQL})
"""Protocols whose clients may be silent first: waiting for bytes to look at would hold them up."""
_ENDING = (ServerTLSMode.SIMPLE, ServerTLSMode.MUTUAL, ServerTLSMode.OPTIONAL_MUTUAL)
_DEFAULT_OPTIONS = CompileOptions()


def inbound_listener_name(bind: Bind) -> str:
    """Name of the listener in front of a local workload's port."""
    return f"inbound_{bind}"


def ends_tls(tls: ServerTLSSettings | None) -> bool:
    """Whether TLS from outside the mesh ends at the sidecar."""
    return tls is not None and tls.mode in _ENDING


def compile_inbound_listener(
    port: InboundPort,
    vh: VirtualHost | None,
    options: CompileOptions = _DEFAULT_OPTIONS,
    *,
    tls: ServerTLSSettings | None = None,
    sources: tuple[Provenance, ...] = (),
) -> Resource:
    """The listener in front of one port.

    TLS at a port that is not HTTP is a peer's only when it offers `istio`; other TLS is the application's own and is
    passed on. Where nothing is to be told apart, or the server speaks first, nobody looks at the bytes.

    Args:
        port: Addresses, protocol and identity.
        vh: Routes of an HTTP port, all to the local workload; not looked at for others.
        options: Facts about this host.
        tls: TLS from outside the mesh.
        sources: The objects that it was made from.
    """
    options = options.on_behalf(port.observer, port.party)
    is_http = vh is not None and port.protocol.is_http
    is_ended = tls is not None and ends_tls(tls)
    alpn = HTTP_ALPN if is_http else ()
    plain = _http(port, vh, options) if vh is not None and is_http else _tcp(port, options)
    looks = is_http or is_ended or (port.identity is not None and port.protocol not in SERVER_FIRST)
    chains: list[pb.FilterChain] = []
    secrets: set[SecretSource] = set()
    if port.identity is not None and looks:
        by_alpn = is_ended or not is_http
        socket = inbound_socket(port.identity, alpn=alpn)
        chains.append(_behind("mesh", plain, socket, MESH_ALPN if by_alpn else ()))
        secrets |= socket.secrets
        if not is_http and not is_ended:  # Envoy does not go on to chains without a transport
            chains.append(_behind("own", plain, PLAIN))
    if tls is not None and is_ended:
        socket = downstream_socket(tls, alpn=alpn, options=options)
        chains.append(_behind("tls", plain, socket))
        secrets |= socket.secrets
    else:
        if is_http:
            plain.filter_chain_match.transport_protocol = "raw_buffer"
        chains.append(plain)
    return listener(
        inbound_listener_name(port.bind),
        port.bind,
        chains,
        direction=pb.TrafficDirection.INBOUND,
        inspect_tls=looks,
        silent_clients=not is_http and not is_ended,
        sources=sources,
        secrets=frozenset(secrets),
    )


def _http(port: InboundPort, vh: VirtualHost, options: CompileOptions) -> pb.FilterChain:
    routes = pb.RouteConfiguration(
        name=f"inbound|http|{port.key.port}", virtual_hosts=[virtual_host(vh, vh.name)]
    )
    http = manager_filter(
        "inbound",
        routes,
        inbound_filters(port.protocol),
        options,
        client_certificates=True,
    )
    return pb.FilterChain(name="plain", filters=[http])


def _tcp(port: InboundPort, options: CompileOptions) -> pb.FilterChain:
    return tcp_chain("plain", "inbound", ((port.key.name, 1),), options)


def _behind(
    name: str, plain: pb.FilterChain, socket: TlsSocket, offered: tuple[str, ...] = ()
) -> pb.FilterChain:
    """The same chain for clients that begin TLS and offer one of these protocols; none given: for all."""
    made = pb.FilterChain(name=name, filters=plain.filters, transport_socket=socket.socket)
    made.filter_chain_match.transport_protocol = "tls"
    made.filter_chain_match.application_protocols.extend(offered)
    return made
