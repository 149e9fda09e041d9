"""Listeners that objects declare: the servers of Gateways and the egress listeners of Sidecars.

They are few, and what they serve is looked through as a whole when something that they depend on changed. Their hosts
are pushed one by one under a base `*`, which answers 404 at a gateway; Envoy never asks for them.
"""

from __future__ import annotations

from sidecar.mesh.model import HostName, MeshChange
from sidecar.mesh.view import View
from sidecar.routing.gateways import GatewayServer, gateway_servers
from sidecar.routing.listeners import HttpListener, TcpListener, http_listeners, tcp_listeners
from sidecar.routing.table import ClusterKey, VirtualHost
from sidecar.xds.compile import Bind, CompileOptions, compile_http_egress, compile_tcp_egress
from sidecar.xds.compile.gateways import (
    compile_gateway_listeners,
    is_http_server,
    route_config_name,
)
from sidecar.xds.dependencies import Dependencies
from sidecar.xds.destinations import Destinations
from sidecar.xds.holdings import Holdings
from sidecar.xds.resource import Resource, TypeUrl
from sidecar.xds.route_tables import RouteTables

__all__ = ["Edges"]

_NOWHERE = VirtualHost(name="not_found", domains=("*",), routes=())
"""What a gateway answers where no rule speaks: 404."""


class Edges:
    """The declared listeners of one context and their routes.

    Args:
        context: Name of the context; names of its listeners end with it, unless it is empty.
        holdings: Where listeners are put.
        destinations: Where the destinations of TCP routes are kept.
        tables: Where the context's routes are kept.
    """

    def __init__(
        self,
        context: str,
        holdings: Holdings,
        destinations: Destinations,
        tables: RouteTables,
    ) -> None:
        self._context = context
        self._suffix = f".{context}" if context else ""
        self._holdings = holdings
        self._destinations = destinations
        self._tables = tables
        self._listeners: frozenset[str] = frozenset()
        self._route_configs: frozenset[str] = frozenset()
        self._servers: tuple[GatewayServer, ...] = ()
        self._depends: Dependencies[str] = Dependencies()
        self._had_declared = False

    def update(self, view: View, change: MeshChange, options: CompileOptions) -> None:
        """Follow a change of the mesh; `options` are facts about this host, with the telemetry in force."""
        http, tcp = http_listeners(view), tcp_listeners(view)
        declared = bool(http or tcp)
        if change.everything or change.gateways or self._depends.touched(change):
            self._servers = gateway_servers(view)
            self._depends.file("servers", (h for one in self._servers for h in _hosts_of(one)))
        elif not declared and not self._had_declared:
            return
        self._had_declared = declared
        self._put_routes(self._servers, http)
        self._put_listeners(view, self._servers, http, tcp, options)

    def _put_routes(
        self, servers: tuple[GatewayServer, ...], http: tuple[HttpListener, ...]
    ) -> None:
        made: dict[str, tuple[tuple[VirtualHost, ...], VirtualHost]] = {}
        for server in servers:
            if is_http_server(server):
                made[route_config_name(server, self._suffix)] = (server.virtual_hosts, _NOWHERE)
        for declared in http:
            hosts, everything = declared.virtual_hosts[:-1], declared.virtual_hosts[-1]
            made[f"{declared.route_config}{self._suffix}"] = (hosts, everything)
        for name in sorted(self._route_configs - made.keys()):
            self._tables.drop_all(name)
        for name in sorted(made):
            hosts, base = made[name]
            self._tables.replace(name, hosts, base=base)
        self._route_configs = frozenset(made)

    def _put_listeners(
        self,
        view: View,
        servers: tuple[GatewayServer, ...],
        http: tuple[HttpListener, ...],
        tcp: tuple[TcpListener, ...],
        options: CompileOptions,
    ) -> None:
        identity = view.context.identity
        listeners = list(
            compile_gateway_listeners(servers, options, suffix=self._suffix, identity=identity)
        )
        listeners += [self._http(declared, options) for declared in http]
        listeners += [self._tcp(declared, options) for declared in tcp if declared.routes]
        for listener in listeners:
            self._holdings.put(listener)
        names = frozenset(listener.name for listener in listeners)
        for name in self._listeners - names:
            self._holdings.drop(TypeUrl.LISTENER, name)
        self._listeners = names
        routes = [route for server in servers for route in server.tcp_routes]
        routes += [route for declared in tcp for route in declared.routes]
        named = [cluster.cluster for route in routes for cluster in route.clusters]
        keys = [key for key in named if isinstance(key, ClusterKey)]
        self._destinations.use((self._context, "tcp"), keys)

    def _http(self, declared: HttpListener, options: CompileOptions) -> Resource:
        bind = _bind(declared)
        name = f"egress_{bind}{self._suffix}"
        routes = f"{declared.route_config}{self._suffix}"
        return compile_http_egress(name, bind, routes, options)

    def _tcp(self, declared: TcpListener, options: CompileOptions) -> Resource:
        bind = _bind(declared)
        name = f"egress_{bind}{self._suffix}"
        return compile_tcp_egress(name, bind, declared.routes, options)


def _bind(declared: HttpListener | TcpListener) -> Bind:
    return Bind(declared.bind.removeprefix("unix://"), declared.port)


def _hosts_of(server: GatewayServer) -> set[HostName]:
    """Hosts that a gateway server was derived from."""
    routed = {host for vh in server.virtual_hosts for host in vh.hosts}
    keys = (cluster.cluster for route in server.tcp_routes for cluster in route.clusters)
    if server.is_automatic:  # services that come to be below its hosts have routes as well
        routed |= {HostName(host) for host in server.sni_hosts or ("*",)}
    return routed | {key.host for key in keys if isinstance(key, ClusterKey)}
