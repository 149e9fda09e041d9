"""TCP and TLS rules: where the bytes of a connection go that nobody reads.

Follows Istio's pilot/pkg/networking/core/tls.go: `tls` rules, by server name, for ports that speak TLS or
HTTPS; `tcp` rules for ports that are neither that nor HTTP. Unlike in HTTP rules, all static conditions of a
block are ANDed, gateways with the rest. Knows nothing of listeners.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sidecar.mesh.facts import MESH_GATEWAY, gateway_name
from sidecar.mesh.model import HostName, Protocol, Provenance, Service, ServicePort
from sidecar.mesh.names import subset_of
from sidecar.routing.conditions import Place, why_not_from
from sidecar.routing.destinations import cluster_key, doubt_about, flow_of, key_for
from sidecar.routing.sight import RuleSource, Sight
from sidecar.routing.table import ClusterKey, Flow, TcpRoute, WeightedCluster
from store.objects.virtual_service import L4MatchAttributes, RouteDestination, TLSMatchAttributes

__all__ = ["OpaqueRoutes", "opaque_routes", "tcp_routes", "tls_routes"]


@dataclass(frozen=True, slots=True)
class OpaqueRoutes:
    """The routes of one port for connections that are not read."""

    routes: tuple[TcpRoute, ...]
    """In order; the first whose server names and subnets fit decides."""
    default: TcpRoute
    """Where a connection to the service by its own name goes."""
    passed_over: tuple[tuple[Provenance, str], ...] = ()
    """(place, reason) of each rule or block that cannot hold here."""


def opaque_routes(
    sight: Sight, service: Service, port: ServicePort, *, undeclared: bool = False
) -> OpaqueRoutes:
    """The routes of one service port for a sidecar, as if it did not speak HTTP.

    Args:
        sight: The mesh.
        service: The service.
        port: One of its ports.
        undeclared: Whether `tcp` rules hold for a port that declares no protocol: where first bytes tell HTTP apart.
    """
    own = (WeightedCluster(key_for(sight, service.host, port.number)),)
    fallback = TcpRoute(own, service.source, flow=_flow(sight, own))
    if port.protocol.is_http and not (undeclared and port.protocol is Protocol.AUTO):
        return OpaqueRoutes((fallback,), fallback)
    context = sight.context
    place = Place(MESH_GATEWAY, port.number, context.labels, context.namespace)
    sources = sight.virtual_services_for(service.host)
    notes: list[tuple[Provenance, str]] = []
    if port.protocol.is_tls:
        routes = tls_routes(sight, sources, place, notes) or (fallback,)
    else:
        routes = tcp_routes(sight, sources, place, notes)
        if not routes or routes[-1].destination_subnets:
            routes = (*routes, fallback)
    default = next((route for route in routes if _takes_name(route, service.host)), fallback)
    return OpaqueRoutes(routes, default, tuple(notes))


def _takes_name(route: TcpRoute, host: HostName) -> bool:
    """Whether a connection by the service's own name, to no address in particular, fits a route."""
    named = not route.sni_hosts or any(subset_of(host, name) for name in route.sni_hosts)
    return named and not route.destination_subnets


def tls_routes(
    sight: Sight,
    sources: Iterable[RuleSource],
    place: Place,
    notes: list[tuple[Provenance, str]],
) -> tuple[TcpRoute, ...]:
    """The routes of `tls` rules: one for each match block; of equal conditions the first stays."""
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], TcpRoute] = {}
    for source in sources:
        for index, rule in enumerate(source.model.spec.tls):
            for number, block in enumerate(rule.match):
                where = _at(source, f"spec.tls[{index}].match[{number}]")
                reason = _why_not_here(block, place, source.ref.namespace)
                clusters = () if reason else _split(sight, source, rule.route, place, notes, where)
                if not clusters:
                    notes.append((where, reason or "no destination in its route has a weight"))
                    continue
                condition = (_lowered(block.sni_hosts), tuple(block.destination_subnets))
                if condition in found:
                    notes.append((where, f"{found[condition].source} has the same conditions"))
                    continue
                flow = _flow(sight, clusters)
                found[condition] = TcpRoute(clusters, where, *condition, flow=flow)
    return tuple(found.values())


def tcp_routes(
    sight: Sight,
    sources: Iterable[RuleSource],
    place: Place,
    notes: list[tuple[Provenance, str]],
) -> tuple[TcpRoute, ...]:
    """The routes of `tcp` rules: those for subnets, then, last, the first that takes every connection."""
    found: list[TcpRoute] = []
    for source in sources:
        for index, rule in enumerate(source.model.spec.tcp):
            path = f"spec.tcp[{index}]"
            blocks = [(f"{path}.match[{n}]", block) for n, block in enumerate(rule.match)]
            for under, block in blocks or [(path, L4MatchAttributes())]:
                where = _at(source, under)
                reason = _why_not_here(block, place, source.ref.namespace)
                clusters = () if reason else _split(sight, source, rule.route, place, notes, where)
                if not clusters:
                    notes.append((where, reason or "no destination in its route has a weight"))
                    continue
                subnets = tuple(block.destination_subnets)
                flow = _flow(sight, clusters)
                found.append(TcpRoute(clusters, where, destination_subnets=subnets, flow=flow))
                if not subnets:
                    return tuple(found)
    return tuple(found)


def _why_not_here(
    block: L4MatchAttributes | TLSMatchAttributes, place: Place, namespace: str
) -> str | None:
    if block.port and block.port != place.port:
        return f"its port is {block.port} and this is port {place.port}"
    if block.gateways:
        wanted = [gateway_name(name, namespace) for name in block.gateways]
        if place.gateway not in wanted:
            return f"it is for {', '.join(wanted)} and this is {place.gateway}"
    return why_not_from(block.source_labels, block.source_namespace, place)


def _split(
    sight: Sight,
    source: RuleSource,
    route: tuple[RouteDestination, ...],
    place: Place,
    notes: list[tuple[Provenance, str]],
    where: Provenance,
) -> tuple[WeightedCluster, ...]:
    """The weighted clusters of a rule; a single destination takes all, 0 among several none."""
    alone = len(route) == 1
    clusters = tuple(
        WeightedCluster(
            cluster_key(sight, target.destination, source.ref.namespace, place.port),
            1 if alone else target.weight or 0,
        )
        for target in route
        if alone or target.weight
    )
    for cluster in clusters:
        key = cluster.cluster
        doubt = doubt_about(sight, key) if isinstance(key, ClusterKey) else None
        if doubt is not None:
            notes.append((where, doubt))
    return clusters


def _flow(sight: Sight, clusters: tuple[WeightedCluster, ...]) -> Flow:
    return flow_of(sight, [c.cluster for c in clusters if isinstance(c.cluster, ClusterKey)])


def _lowered(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def _at(source: RuleSource, path: str) -> Provenance:
    return Provenance(source.ref, source.generation, path)
