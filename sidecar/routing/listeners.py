"""Listeners that a Sidecar's egress declares with a port of their own.

How a workload reaches TCP services without capture, and how it gives one port of HTTP a listener to itself.
Follows Istio's sidecar.go and listener.go (buildSidecarOutboundListeners with explicit egress): such a
listener serves the services that it imports on its own port, or all of them when it is an HTTP proxy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sidecar.mesh.model import HostName, Protocol, Provenance, Service
from sidecar.mesh.protocols import declared_protocol
from sidecar.mesh.scopes import EgressListener
from sidecar.routing.claims import Claim, claims_of_rules, claims_of_services, names_of, settle
from sidecar.routing.hosts import DEFAULT_PORT, catch_all
from sidecar.routing.opaque import opaque_routes
from sidecar.routing.sight import Sight
from sidecar.routing.table import ClusterKey, TcpRoute, VirtualHost
from store.objects.sidecar import CaptureMode, IstioEgressListener

__all__ = [
    "LOOPBACK",
    "HttpListener",
    "TcpListener",
    "http_listeners",
    "is_captured",
    "tcp_listeners",
]

LOOPBACK = "127.0.0.1"
"""Where a declared listener without `bind` listens: nothing is captured, so only this host may use it."""

Notes = tuple[tuple[Provenance, str], ...]


@dataclass(frozen=True, slots=True)
class TcpListener:
    """One listener whose connections are not read."""

    bind: str
    """Address or `unix:///path`."""
    port: int
    """Port, 0 for a unix socket."""
    routes: tuple[TcpRoute, ...]
    """In order; the first whose server names and subnets fit takes a connection. Conditions are distinct."""
    source: Provenance
    """The Sidecar and the place in it."""
    passed_over: Notes = ()
    """Rules that do not hold here, and services that could not be told apart."""
    hosts: frozenset[HostName] = frozenset()
    """Host names that it was derived from, for invalidation."""

    @property
    def needs_server_names(self) -> bool:
        """Whether routes are told apart by the server name that a TLS client sends."""
        return any(route.sni_hosts for route in self.routes)


@dataclass(frozen=True, slots=True)
class HttpListener:
    """One HTTP listener with a route configuration of its own."""

    bind: str
    """Address or `unix:///path`."""
    port: int
    """Port, 0 for a unix socket."""
    route_config: str
    """Name of the route configuration, Istio's: the port, or the path of the socket."""
    virtual_hosts: tuple[VirtualHost, ...]
    """Domains are unique; the catch-all is last."""
    source: Provenance
    """The Sidecar and the place in it."""


@dataclass(frozen=True, slots=True)
class _Declared:
    """An egress listener that has a port or socket of its own."""

    listener: EgressListener
    bind: str
    port: int
    source: Provenance
    services: tuple[Service, ...]
    """What it imports, in order of creation; on its port, where it has one."""
    protocol: Protocol

    @property
    def is_http(self) -> bool:
        """As declared; without a declaration what its first service speaks."""
        if self.protocol is not Protocol.AUTO or not self.services:
            return self.protocol.is_http
        first = self.services[0]
        port = first.port(self.port) or (first.ports[0] if first.ports else None)
        return port is None or port.protocol.is_http


def is_captured(sight: Sight, listener: IstioEgressListener) -> bool:
    """Whether traffic comes to an egress listener by redirection: it then has no socket of its own."""
    mode = listener.capture_mode or CaptureMode.DEFAULT
    return mode is CaptureMode.IPTABLES or (
        mode is CaptureMode.DEFAULT and sight.context.is_captured
    )


def _declared(sight: Sight) -> Iterator[_Declared]:
    scope = sight.sidecar_scope
    for listener in scope.listeners:
        written = listener.declared
        if written is None:
            continue
        port = (written.port.number or 0) if written.port else 0
        bind = written.bind or LOOPBACK
        if not port and not bind.startswith("unix://"):
            continue
        protocol = declared_protocol(written.port.protocol if written.port else None)
        spoken_to = bind.startswith("unix://") or protocol is Protocol.HTTP_PROXY
        if not spoken_to and is_captured(sight, written):
            continue
        source = scope.source._replace(path=f"spec.egress[{listener.position}]")
        any_port = not port or protocol is Protocol.HTTP_PROXY
        services = tuple(
            service
            for service in sight.listener_services(listener)
            if any_port or service.port(port) is not None
        )
        yield _Declared(listener, bind, port, source, services, protocol)


def http_listeners(sight: Sight) -> tuple[HttpListener, ...]:
    """The declared HTTP listeners, in the order of the Sidecar."""
    return tuple(
        HttpListener(
            bind=one.bind,
            port=one.port,
            route_config=str(one.port or one.bind.removeprefix("unix://")),
            virtual_hosts=(*settle(sight, list(_claims(sight, one))), catch_all(sight)),
            source=one.source,
        )
        for one in _declared(sight)
        if one.is_http
    )


def _claims(sight: Sight, one: _Declared) -> Iterator[Claim]:
    """Claims on a declared listener: on its port a name needs no port to be understood."""
    if not one.port or one.protocol is Protocol.HTTP_PROXY:
        yield from claims_of_services(sight, one.services)
        yield from _imported_rules(sight, one)
        return
    for service in one.services:
        port = service.port(one.port)
        if port is not None and port.protocol.is_http:
            yield Claim(names_of(sight, service), port.number, True, (service, port))
    if one.port == DEFAULT_PORT:
        yield from _imported_rules(sight, one)


def _imported_rules(sight: Sight, one: _Declared) -> Iterator[Claim]:
    for claim in claims_of_rules(sight):
        namespaces = [s.ref.namespace for s in _owners(claim) if s.ref is not None]
        host = HostName(claim.names[0])
        if any(one.listener.imports.has_virtual_service((host,), owner) for owner in namespaces):
            yield claim


def _owners(claim: Claim) -> tuple[Provenance, ...]:
    return claim.host.sources if isinstance(claim.host, VirtualHost) else ()


def tcp_listeners(sight: Sight) -> tuple[TcpListener, ...]:
    """The declared listeners that are not HTTP, in the order of the Sidecar."""
    return tuple(_tcp_listener(sight, one) for one in _declared(sight) if not one.is_http)


def _tcp_listener(sight: Sight, one: _Declared) -> TcpListener:
    """One listener for all services that it imports.

    Services behind one address can only be told apart by server name, so TLS services without rules get
    theirs as a condition. Of two that cannot be told apart, the older stays.
    """
    routes: dict[tuple[tuple[str, ...], tuple[str, ...]], TcpRoute] = {}
    notes: list[tuple[Provenance, str]] = []
    for service in one.services:
        port = service.port(one.port) if one.port else next(iter(service.ports), None)
        if port is None:
            continue
        found = opaque_routes(sight, service, port)
        notes += found.passed_over
        for route in found.routes:
            if port.protocol.is_tls and not route.sni_hosts:
                route = replace(route, sni_hosts=(service.host,))
            condition = (route.sni_hosts, route.destination_subnets)
            if condition in routes:
                notes.append((route.source, _indistinct(service, one, routes[condition])))
            else:
                routes[condition] = route
    ordered = tuple(sorted(routes.values(), key=_generality))
    return TcpListener(one.bind, one.port, ordered, one.source, tuple(notes), _hosts(one, ordered))


def _indistinct(service: Service, one: _Declared, other: TcpRoute) -> str:
    where = f"{one.bind} port {one.port}" if one.port else one.bind
    return (
        f"{service.host} on {where} cannot be told apart from {other.source}, which came first: "
        "give it a listener of its own in the Sidecar"
    )


def _generality(route: TcpRoute) -> bool:
    """Sort key that puts routes with conditions before the one without; stable otherwise."""
    return not route.sni_hosts and not route.destination_subnets


def _hosts(one: _Declared, routes: Iterable[TcpRoute]) -> frozenset[HostName]:
    keys = (cluster.cluster for route in routes for cluster in route.clusters)
    targets = {key.host for key in keys if isinstance(key, ClusterKey)}
    return frozenset(targets | {service.host for service in one.services})
