"""Gateways of the same workloads: servers that cannot share a port, rules that are never reached.

Asks `sidecar.routing.gateways` for the tables of a workload with the labels of each selector: what it passes over is
what is in conflict (Istio's analyzer conflicting gateways, IST0145).
"""

from __future__ import annotations

from collections.abc import Iterator

from meshd.analysis.world import World, path_of
from sidecar.mesh.facts import GatewayFacts
from sidecar.mesh.model import Context, Provenance
from sidecar.mesh.view import View
from sidecar.routing.gateways import GatewayServer, gateway_servers
from sidecar.routing.table import Route, RouteMatch, VirtualHost
from store.diagnostics import Diagnostic
from store.objects.kinds import Kind

__all__ = ["check"]


def check(world: World) -> Iterator[Diagnostic]:
    """Conflicts of servers, then rules that an earlier VirtualService hides."""
    selectors: dict[tuple[tuple[str, str], ...], str] = {}
    for facts in world.facts(GatewayFacts):
        selectors.setdefault(facts.selector, facts.ref.namespace)
    for selector, namespace in selectors.items():
        context = Context("", namespace, dict(selector), is_gateway=True)
        servers = gateway_servers(View(world.sound_mesh, context))
        yield from _shared_certificates(world, servers)
        for server in servers:
            yield from _conflicts(world, server)
            for host in server.virtual_hosts:
                yield from _hidden(world, server, host)


def _conflicts(world: World, server: GatewayServer) -> Iterator[Diagnostic]:
    for place, reason in server.passed_over:
        is_opened = place in server.sources
        if place.ref is not None and place.ref.kind is Kind.GATEWAY and not is_opened:
            message = f"this server is not opened: {reason}"
            hint = "give it another port or other hosts, or its Gateway another selector"
            yield world.problem(
                "MESH0213", place.ref, path_of(place.path), message, hint, at_key=True
            )


def _shared_certificates(world: World, servers: tuple[GatewayServer, ...]) -> Iterator[Diagnostic]:
    """Servers whose certificate another server of the port has as well (Istio's IST0138)."""
    first: dict[tuple[str, int, str], GatewayServer] = {}
    for server in servers:
        tls = server.tls
        certificate = tls and (tls.credential_name or tls.server_certificate)
        if not certificate or not server.is_tls_terminated:
            continue
        other = first.setdefault((server.bind, server.port, certificate), server)
        here, there = server.sources[0], other.sources[0]
        if other is server or here.ref is None or there.ref is None:
            continue
        field = "credentialName" if tls and tls.credential_name else "serverCertificate"
        at = (*path_of(here.path), "tls", field)
        message = (
            f"{world.named(there.ref, path_of(there.path))} has the same certificate for {_hosts(other)} on port "
            f"{server.port}; HTTP/2 clients of one may come to the other by one connection, and get 404"
        )
        hint = "make one server with all hosts of it, or use certificates of their own"
        yield world.problem("MESH0215", here.ref, at, message, hint)


def _hosts(server: GatewayServer) -> str:
    return ", ".join(server.sni_hosts) or "every host"


def _hidden(world: World, server: GatewayServer, host: VirtualHost) -> Iterator[Diagnostic]:
    """Routes whose conditions are those of an earlier route of another VirtualService."""
    first: dict[RouteMatch, Provenance] = {}
    for route in host.routes:
        earlier = first.setdefault(_conditions(route), route.source)
        if earlier.ref == route.source.ref or route.source.ref is None:
            continue
        name = host.name.rpartition(":")[0]
        message = (
            f"never reached for {name} at port {server.port} of {server.gateways[0]}: "
            f"{earlier} comes first and takes the same requests"
        )
        hint = "merge the two VirtualServices, or give this rule other conditions"
        yield world.problem(
            "MESH0214", route.source.ref, path_of(route.source.path), message, hint, at_key=True
        )


def _conditions(route: Route) -> RouteMatch:
    return RouteMatch() if route.match.is_catch_all else route.match
