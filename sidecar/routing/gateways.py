"""What a gateway listens on: the servers of all its Gateways, merged port by port.

Follows Istio's pilot/pkg/model/gateway.go mergeGateways: plain HTTP servers of one port share a route
configuration, each TLS server is a chain of its own by server name, plain and TLS do not mix on one port
(the first, by creation of the Gateway, stays), and what cannot stand is left out with a reason. Routes of the
virtual hosts are in `gateway_hosts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sidecar.mesh.model import Protocol, Provenance
from sidecar.mesh.names import normal
from sidecar.mesh.protocols import declared_protocol
from sidecar.routing.conditions import Place
from sidecar.routing.gateway_hosts import Opening, gateway_virtual_hosts, rules_for
from sidecar.routing.opaque import tcp_routes, tls_routes
from sidecar.routing.sight import GatewaySight, GatewaySource
from sidecar.routing.sni_routes import sni_routes
from sidecar.routing.table import TcpRoute, VirtualHost
from store.objects.base import ObjectRef
from store.objects.gateway import Server, ServerTLSMode, ServerTLSSettings

__all__ = ["ANY_ADDRESS", "GatewayServer", "gateway_servers"]

ANY_ADDRESS = "0.0.0.0"
"""Where a server without `bind` listens."""

_TERMINATING = frozenset(
    {
        ServerTLSMode.SIMPLE,
        ServerTLSMode.MUTUAL,
        ServerTLSMode.OPTIONAL_MUTUAL,
        ServerTLSMode.ISTIO_MUTUAL,
    }
)

Notes = tuple[tuple[Provenance, str], ...]


@dataclass(frozen=True, slots=True)
class GatewayServer:
    """One listener's worth of plain HTTP, or one TLS chain of a listener."""

    port: int
    """Port to listen on; 0 for a unix socket."""
    bind: str
    """Address or `unix:///path`."""
    protocol: Protocol
    """As declared by the first server."""
    tls: ServerTLSSettings | None
    """TLS to terminate or pass through; None for plain."""
    https_redirect: bool
    """Whether all of it is turned away to https (a mixture is told by the virtual hosts)."""
    route_config: str
    """Name of the route configuration, Istio's: `http.8080`, `https.443.<port name>.<gateway>.<ns>`."""
    sni_hosts: tuple[str, ...]
    """Server names of a TLS chain, lower case; empty for any."""
    virtual_hosts: tuple[VirtualHost, ...]
    """For HTTP; domains are unique. Requests for other hosts get 404."""
    gateways: tuple[ObjectRef, ...]
    """Gateways that it comes from."""
    tcp_routes: tuple[TcpRoute, ...] = ()
    """For connections that are not read, instead of virtual hosts; empty for HTTP."""
    sources: tuple[Provenance, ...] = ()
    """The servers that it was made from (`spec.servers[i]`)."""
    name: str = ""
    """Name of a TLS server, prefix of its statistics; empty where it has none."""
    passed_over: Notes = ()
    """What does not hold here, and why: servers in conflict, VirtualServices whose hosts do not meet."""

    @property
    def is_tls_terminated(self) -> bool:
        """Whether the gateway holds the server's certificate."""
        return self.tls is not None and self.tls.mode in _TERMINATING

    @property
    def is_automatic(self) -> bool:
        """Whether mutual TLS of the mesh is passed on by server name, without any rule (AUTO_PASSTHROUGH)."""
        return self.tls is not None and self.tls.mode is ServerTLSMode.AUTO_PASSTHROUGH


def gateway_servers(sight: GatewaySight) -> tuple[GatewayServer, ...]:
    """Every server of the Gateways that select this workload, in order of creation."""
    merged: dict[str, list[Opening]] = {}
    notes: dict[str, list[tuple[Provenance, str]]] = {}
    holders: dict[tuple[str, int], Opening] = {}
    names_taken: dict[tuple[str, int, str], Opening] = {}
    for opening in _openings(sight.gateways()):
        place = (opening.bind, opening.port)
        holder = holders.setdefault(place, opening)
        reason = _conflict(holder, opening) or _repeated_name(opening, names_taken)
        if reason:
            notes.setdefault(_route_config(holder), []).append((opening.source, reason))
        else:
            merged.setdefault(_route_config(opening), []).append(opening)
    return tuple(
        _server(sight, name, openings, tuple(notes.get(name, ())))
        for name, openings in merged.items()
    )


def _openings(gateways: Iterable[GatewaySource]) -> Iterable[Opening]:
    for gateway in gateways:
        for index, server in enumerate(gateway.model.spec.servers):
            source = Provenance(gateway.ref, gateway.generation, f"spec.servers[{index}]")
            yield Opening(gateway, server, source, _bind(server))


def _bind(server: Server) -> str:
    return server.bind or ANY_ADDRESS


def _is_plain(server: Server) -> bool:
    return server.tls is None or server.tls.https_redirect


def _is_plain_http(opening: Opening) -> bool:
    return _is_plain(opening.server) and declared_protocol(opening.server.port.protocol).is_http


def _conflict(holder: Opening, opening: Opening) -> str | None:
    """Why a server cannot share port and address with the one that was there first."""
    if holder is opening:
        return None
    where = f"port {opening.port} of {opening.bind}"
    if _is_plain(holder.server) != _is_plain(opening.server):
        kinds = "plain text", "TLS"
        first, second = kinds if _is_plain(holder.server) else reversed(kinds)
        return f"{where} is {first} by {holder.source}, which was there first, and this is {second}"
    if _is_plain(opening.server) and not (_is_plain_http(holder) and _is_plain_http(opening)):
        return f"{where} is taken by {holder.source}, and only HTTP servers can share one"
    return None


def _repeated_name(opening: Opening, taken: dict[tuple[str, int, str], Opening]) -> str | None:
    """Why a TLS server cannot have its chain: a server name that another one has on the same port."""
    if _is_plain(opening.server):
        return None
    names = _sni_hosts(opening) or ("*",)
    for name in names:
        other = taken.get((opening.bind, opening.port, name))
        if other is not None:
            return f"server name {name} on port {opening.port} belongs to {other.source}"
    taken.update({(opening.bind, opening.port, name): opening for name in names})
    return None


def _sni_hosts(opening: Opening) -> tuple[str, ...]:
    names = dict.fromkeys(normal(entry.rpartition("/")[2]) for entry in opening.server.hosts)
    return () if "*" in names else tuple(names)


def _route_config(opening: Opening) -> str:
    """Istio's name of the route configuration (model/gateway.go GatewayRDSRouteName)."""
    suffix = f".{opening.bind}" if opening.server.bind else ""
    if _is_plain_http(opening):
        return f"http.{opening.port}{suffix}"
    port, ref = opening.server.port, opening.gateway.ref
    kind = "tcp" if _is_plain(opening.server) else "https"
    return f"{kind}.{opening.port}.{port.name}.{ref.name}.{ref.namespace}{suffix}"


def _server(sight: GatewaySight, name: str, openings: list[Opening], notes: Notes) -> GatewayServer:
    first = openings[0]
    protocol = declared_protocol(first.server.port.protocol)
    tls = None if _is_plain(first.server) else first.server.tls
    server = GatewayServer(
        port=first.port,
        bind=first.bind,
        protocol=protocol,
        tls=tls,
        https_redirect=all(_redirects(opening.server) for opening in openings),
        route_config=name,
        sni_hosts=() if tls is None else _sni_hosts(first),
        virtual_hosts=(),
        gateways=tuple(dict.fromkeys(opening.gateway.ref for opening in openings)),
        sources=tuple(opening.source for opening in openings),
        name=(first.server.name or "") if tls is not None else "",
        passed_over=notes,
    )
    if protocol.is_http or (protocol is Protocol.HTTPS and server.is_tls_terminated):
        hosts, missed = gateway_virtual_hosts(sight, openings)
        return replace(server, virtual_hosts=hosts, passed_over=(*notes, *missed))
    routes, missed = _unread(sight, first, server)
    return replace(server, tcp_routes=routes, passed_over=(*notes, *missed))


def _redirects(server: Server) -> bool:
    return server.tls is not None and server.tls.https_redirect


def _unread(
    sight: GatewaySight, opening: Opening, server: GatewayServer
) -> tuple[tuple[TcpRoute, ...], Notes]:
    """The routes of a server whose connections are not read as HTTP.

    Passed-through TLS has the `tls` rules of every VirtualService, or none (AUTO_PASSTHROUGH); anything else the
    `tcp` rules of the first that has one for this place.
    """
    notes: list[tuple[Provenance, str]] = []
    if server.is_automatic:
        return sni_routes(sight, opening), ()
    found = rules_for(sight, opening, notes)
    context = sight.context
    place = Place(opening.gateway_name, opening.port, context.labels, context.namespace)
    if server.tls is not None and not server.is_tls_terminated:
        return tls_routes(sight, [source for source, _ in found], place, notes), tuple(notes)
    return tcp_routes(sight, [source for source, _ in found], place, notes), tuple(notes)
