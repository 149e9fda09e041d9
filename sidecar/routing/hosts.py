"""Virtual hosts of services, of hosts that only a VirtualService names, and of everything else.

Which routes a host has on a port; which domains it is known by is for `build`. Follows Istio's route.go
(buildSidecarVirtualHostForService and siblings) and httproute.go (buildCatchAllVirtualHost), with two
additions for a proxy that is spoken to explicitly: CONNECT, and an answer that says what is wrong where a
service cannot be reached over HTTP at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.mesh.model import HostName, Provenance, Service, ServicePort
from sidecar.routing.conditions import Place
from sidecar.routing.destinations import cluster_key, hash_policies, have_endpoints, key_for
from sidecar.routing.opaque import opaque_routes
from sidecar.routing.retries import retry_policy
from sidecar.routing.rules import RuleRoutes, routes_of
from sidecar.routing.sight import RuleSource, Sight
from sidecar.routing.table import (
    Cluster,
    ClusterKey,
    DirectResponse,
    Forward,
    HashPolicy,
    Route,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
)

__all__ = [
    "DEFAULT_PORT",
    "bare_port",
    "catch_all",
    "egress_proxy",
    "host_without_service",
    "refusal",
    "service_host",
]

DEFAULT_PORT = 80
"""Port of an authority that names none, where that port is served."""

NOT_FOUND = 404
BAD_GATEWAY = 502

Notes = tuple[tuple[Provenance, str], ...]


def bare_port(service: Service) -> int | None:
    """The port of a request that names none: 80, else the only HTTP port, else None."""
    numbers = [port.number for port in service.ports if port.protocol.is_http]
    if DEFAULT_PORT in numbers:
        return DEFAULT_PORT
    return numbers[0] if len(numbers) == 1 else None


def service_host(sight: Sight, service: Service, port: ServicePort) -> VirtualHost:
    """The virtual host of one port of a service, without domains.

    HTTP ports have the routes of the first VirtualService with any that can hold here, else one to the
    service. Other ports take CONNECT alone and answer anything else with 404 and the reason.
    """
    connect = _connect(sight, service, port)
    if not port.protocol.is_http:
        said = f"{service.host} port {port.number} speaks {port.protocol}, not HTTP"
        reason = f"{said}: use CONNECT, or a Sidecar egress listener for the port"
        return _host(service, port.number, (connect, _answer(NOT_FOUND, reason, service.source)))
    place = _place(sight, port.number)
    source, ruled, notes = _first_with_routes(sight, service.host, place)
    if source is None:
        routes: tuple[Route, ...] = (_default_route(sight, service, port),)
        sources: tuple[Provenance, ...] = (service.source,)
    else:
        routes = ruled.routes
        sources = (service.source, *ruled.sources)
    return VirtualHost(
        name=f"{service.host}:{port.number}",
        domains=(),
        routes=(*routes, connect),
        sources=sources,
        passed_over=(*((service.source, note) for note in service.notes), *notes),
        hosts=ruled.hosts | {service.host} | _tunnelled(connect),
    )


def host_without_service(sight: Sight, host: HostName) -> VirtualHost | None:
    """The virtual host of a name that only VirtualServices know, without domains; None when none routes it.

    Such a name is served on port 80 alone, as in Istio.
    """
    place = _place(sight, DEFAULT_PORT)
    source, ruled, notes = _first_with_routes(sight, host, place)
    if source is None:
        return None
    return VirtualHost(
        name=f"{host}:{DEFAULT_PORT}",
        domains=(),
        routes=ruled.routes,
        sources=ruled.sources,
        passed_over=notes,
        hosts=ruled.hosts | {host},
    )


def refusal(service: Service) -> VirtualHost:
    """The virtual host, without domains, for requests that name no port where no port can be guessed."""
    http = [str(port.number) for port in service.ports if port.protocol.is_http]
    if http:
        said = f"{service.host} has HTTP ports {', '.join(http)} and none is {DEFAULT_PORT}"
        reason = f"{said}: name one, for instance http://{service.host}:{http[0]}/"
    else:
        spoken = ", ".join(f"{p.number} {p.protocol}" for p in service.ports) or "none at all"
        reason = f"{service.host} has no HTTP port (its ports: {spoken})"
    return VirtualHost(
        name=service.host,
        domains=(),
        routes=(_answer(NOT_FOUND, reason, service.source),),
        sources=(service.source,),
        hosts=frozenset({service.host}),
    )


def catch_all(sight: Sight) -> VirtualHost:
    """The virtual host of what nothing names: passed through, or refused with 502 under REGISTRY_ONLY.

    A Sidecar's `egressProxy` takes all that is passed through, bytes of CONNECT too (Istio's httproute.go,
    buildCatchAllVirtualHost).
    """
    policy = Provenance(None, 0, f"outboundTrafficPolicy {sight.outbound_policy}")
    if sight.outbound_policy == "REGISTRY_ONLY":
        reason = "no service or VirtualService names this host, and outboundTrafficPolicy is REGISTRY_ONLY"
        return VirtualHost("block_all", ("*",), (_answer(BAD_GATEWAY, reason, policy),))
    proxy = egress_proxy(sight)
    if proxy is not None:
        policy = sight.sidecar_scope.source._replace(path="spec.outboundTrafficPolicy.egressProxy")
    target = (WeightedCluster(proxy or Cluster.PASSTHROUGH),)
    routes = (
        Route("allow_any", RouteMatch(), Forward(target), policy),
        Route(
            "allow_any", RouteMatch(connect=True), Forward(target, upgrades=("CONNECT",)), policy
        ),
    )
    hosts = frozenset() if proxy is None else frozenset({proxy.host})
    sources = () if proxy is None else (policy,)
    return VirtualHost("allow_any", ("*",), routes, sources=sources, hosts=hosts)


def egress_proxy(sight: Sight) -> ClusterKey | None:
    """The destination that this workload's Sidecar sends unknown traffic to; None for none."""
    spec = sight.sidecar_scope.spec
    told = spec.outbound_traffic_policy if spec is not None else None
    if told is None or told.egress_proxy is None:
        return None
    return cluster_key(sight, told.egress_proxy, sight.context.namespace, DEFAULT_PORT)


def _place(sight: Sight, port: int) -> Place:
    context = sight.context
    return Place(port=port, labels=context.labels, namespace=context.namespace)


def _first_with_routes(
    sight: Sight, host: HostName, place: Place
) -> tuple[RuleSource | None, RuleRoutes, Notes]:
    """The first VirtualService of the host that has a route here, its routes, and all notes."""
    chosen: RuleSource | None = None
    ruled = RuleRoutes()
    notes: list[tuple[Provenance, str]] = []
    for source in sight.virtual_services_for(host):
        if chosen is not None:
            notes.append((Provenance(source.ref, source.generation), _second(chosen, host)))
            continue
        found = routes_of(sight, source, place)
        notes += found.passed_over
        if found.routes:
            chosen, ruled = source, found
    return chosen, ruled, tuple(notes)


def _second(chosen: RuleSource, host: HostName) -> str:
    return (
        f"{chosen.ref} comes first for {host} (private before exported before public, then by age), "
        "and rules of several objects are not merged for sidecars"
    )


def _default_route(sight: Sight, service: Service, port: ServicePort) -> Route:
    """The route of a service that no VirtualService routes: everything to it, default retries."""
    key = key_for(sight, service.host, port.number)
    hashes = hash_policies(sight, (key,))
    retry = retry_policy(
        None, sight.config.default_http_retry_policy, one_hashed_destination=bool(hashes)
    )
    action = Forward(
        (WeightedCluster(key),),
        retry=retry,
        hash_policies=hashes,
        has_endpoints=have_endpoints(sight, (key,)),
    )
    return Route("default", RouteMatch(), action, service.source)


def _connect(sight: Sight, service: Service, port: ServicePort) -> Route:
    """CONNECT to a service port: bytes to it, by `tcp` or `tls` rules where the port takes them."""
    first = opaque_routes(sight, service, port).default
    action = Forward(
        first.clusters,
        hash_policies=(HashPolicy("source_ip"),) if first.flow.by_source_ip else (),
        upgrades=("CONNECT",),
        idle_timeout_s=first.flow.idle_timeout_s or 0.0,
        has_endpoints=have_endpoints(
            sight, (one.cluster for one in first.clusters if isinstance(one.cluster, ClusterKey))
        ),
    )
    return Route("connect", RouteMatch(connect=True), action, first.source)


def _tunnelled(connect: Route) -> frozenset[HostName]:
    action = connect.action
    assert isinstance(action, Forward)
    return _cluster_hosts(action.clusters)


def _cluster_hosts(clusters: Iterable[WeightedCluster]) -> frozenset[HostName]:
    return frozenset(c.cluster.host for c in clusters if isinstance(c.cluster, ClusterKey))


def _host(service: Service, port: int, routes: tuple[Route, Route]) -> VirtualHost:
    return VirtualHost(
        name=f"{service.host}:{port}",
        domains=(),
        routes=routes,
        sources=tuple(dict.fromkeys((service.source, routes[0].source))),
        hosts=_tunnelled(routes[0]) | {service.host},
    )


def _answer(status: int, reason: str, source: Provenance) -> Route:
    """A route that answers everything with a status and one line of text."""
    body = f"{reason}\n".encode()
    return Route("refused", RouteMatch(), DirectResponse(status, body), source)
