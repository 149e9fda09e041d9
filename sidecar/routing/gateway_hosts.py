"""Virtual hosts of gateways: the rules of several VirtualServices for one host, merged.

Follows Istio's pilot/pkg/networking/core/gateway.go buildGatewayHTTPRouteConfig: a VirtualService counts for
the hosts that it and the server have in common, the narrower of each pair; rules for one host are appended
in the order of the VirtualServices, then those that take every request go last. Between an exact host and a
wildcard there is no falling through.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.mesh.model import HostName, Provenance
from sidecar.mesh.names import intersection, normal
from sidecar.routing.authority import domains_for
from sidecar.routing.conditions import Place
from sidecar.routing.rules import routes_of
from sidecar.routing.sight import GatewaySight, GatewaySource, RuleSource
from sidecar.routing.table import Route, VirtualHost
from store.objects.base import ObjectRef
from store.objects.gateway import Server

__all__ = ["Opening", "gateway_virtual_hosts", "rules_for"]

Notes = tuple[tuple[Provenance, str], ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """One server of one Gateway."""

    gateway: GatewaySource
    server: Server
    source: Provenance
    """The server's place in the Gateway."""
    bind: str
    """Address or unix socket to listen on."""

    @property
    def port(self) -> int:
        """Port to listen on, 0 for a unix socket."""
        return self.server.port.number

    @property
    def gateway_name(self) -> str:
        """`<namespace>/<name>`, as VirtualServices bind to it."""
        return f"{self.gateway.ref.namespace}/{self.gateway.ref.name}"

    def hosts_for(self, namespace: str) -> tuple[HostName, ...]:
        """The hosts that VirtualServices of a namespace may bind to."""
        found: dict[HostName, None] = {}
        for entry in self.server.hosts:
            place, slash, name = entry.rpartition("/")
            owner = self.gateway.ref.namespace if place == "." else place
            if not slash or owner in ("*", namespace):
                found[normal(name)] = None
        return tuple(found)


@dataclass
class _Growing:
    """A virtual host being merged."""

    routes: list[Route] = field(default_factory=list)
    sources: dict[Provenance, None] = field(default_factory=dict)
    notes: list[tuple[Provenance, str]] = field(default_factory=list)
    hosts: set[HostName] = field(default_factory=set)
    read: set[tuple[str, ObjectRef]] = field(default_factory=set)
    require_tls: bool = False


def rules_for(
    sight: GatewaySight, opening: Opening, notes: list[tuple[Provenance, str]]
) -> list[tuple[RuleSource, tuple[HostName, ...]]]:
    """VirtualServices bound to a server's Gateway and the hosts that they share with it, in order."""
    found = []
    for source in sight.virtual_services_of(opening.gateway_name):
        offered = opening.hosts_for(source.ref.namespace)
        shared = intersection(offered, source.hosts)
        if shared:
            found.append((source, shared))
        else:
            notes.append(
                (Provenance(source.ref, source.generation, "spec.hosts"), _apart(source, opening))
            )
    return found


def _apart(source: RuleSource, opening: Opening) -> str:
    wanted = ", ".join(source.hosts) or "none"
    has = ", ".join(opening.server.hosts)
    return f"its hosts ({wanted}) and those of {opening.source} ({has}) have none in common"


def gateway_virtual_hosts(
    sight: GatewaySight, openings: list[Opening]
) -> tuple[tuple[VirtualHost, ...], Notes]:
    """The virtual hosts of servers that share a route configuration, and what found no place in it.

    Without any there is one, `blackhole:<port>`, that answers every host with 404.
    """
    growing: dict[HostName, _Growing] = {}
    missed: list[tuple[Provenance, str]] = []
    port = openings[0].port
    for opening in openings:
        for source, shared in rules_for(sight, opening, missed):
            missed += _append(sight, opening, source, shared, growing)
        if opening.server.tls is not None and opening.server.tls.https_redirect:
            for entry in opening.server.hosts:
                grown = growing.setdefault(normal(entry.rpartition("/")[2]), _Growing())
                grown.require_tls = True
                grown.sources[opening.source] = None
    if not growing:
        nothing = VirtualHost(f"blackhole:{port}", ("*",), (), sources=(openings[0].source,))
        return (nothing,), tuple(missed)
    return tuple(_grown(host, port, g) for host, g in growing.items()), tuple(missed)


def _append(
    sight: GatewaySight,
    opening: Opening,
    source: RuleSource,
    shared: tuple[HostName, ...],
    growing: dict[HostName, _Growing],
) -> Notes:
    """Append a VirtualService's routes to each host that it shares with a server, once for a Gateway.

    Returns why, where it has no routes here at all.
    """
    context = sight.context
    place = Place(
        opening.gateway_name,
        opening.port,
        context.labels,
        context.namespace,
        is_tls=opening.server.tls is not None and not opening.server.tls.https_redirect,
    )
    ruled = routes_of(sight, source, place)
    if not ruled.routes:
        return ruled.passed_over
    for host in shared:
        grown = growing.setdefault(host, _Growing())
        if opening.server.tls is not None and opening.server.tls.https_redirect:
            grown.require_tls = True
        if (opening.gateway_name, source.ref) in grown.read:
            continue
        grown.read.add((opening.gateway_name, source.ref))
        grown.routes += ruled.routes
        grown.notes += ruled.passed_over
        grown.hosts |= ruled.hosts
        grown.sources[opening.source] = None
        grown.sources.update(dict.fromkeys(ruled.sources))
    return ()


def _grown(host: HostName, port: int, grown: _Growing) -> VirtualHost:
    in_order = sorted(grown.routes, key=lambda route: route.match.is_catch_all)
    bare_only = host == "*"
    return VirtualHost(
        name=f"{host}:{port}",
        domains=domains_for((host,), None if bare_only else port or None, bare=True),
        routes=tuple(in_order),
        require_tls=grown.require_tls,
        sources=tuple(grown.sources),
        passed_over=tuple(grown.notes),
        hosts=frozenset(grown.hosts | {host}),
    )
