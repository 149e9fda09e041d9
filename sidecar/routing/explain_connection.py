"""Explain one connection whose bytes are not read: `tcp://db:5432`, `tls://api.example.com:443`.

Asks the table that serves: the captured places where this context's traffic is captured, else the egress listeners that
its Sidecar declares. A name means the first address of its service; where it has none, any address of the port. Every
service is looked at once, as when the listeners are made.

Source: Envoy, filter chain match: destination address by the longest prefix, then server name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address, ip_network

from sidecar.mesh.model import Provenance
from sidecar.mesh.names import is_address, subset_of
from sidecar.routing import wording
from sidecar.routing.authority import parse_authority
from sidecar.routing.capture import ANY_ADDRESS, CapturedPlace, captured_ports
from sidecar.routing.listeners import tcp_listeners
from sidecar.routing.match import Request
from sidecar.routing.originals import unclaimed
from sidecar.routing.sight import Sight
from sidecar.routing.stops import Destinations, split_steps
from sidecar.routing.table import Cluster, Forward, TcpRoute
from sidecar.routing.trace import (
    Note,
    Outcome,
    RequestStep,
    RouteStep,
    Setting,
    Trace,
    VirtualHostStep,
    origin,
)

__all__ = ["CONNECTION_SCHEMES", "choose_route", "explain_connection"]

CONNECTION_SCHEMES = ("tcp", "tls")
SERVER_NAME_HEADER = "server-name"
"""How a traced TLS connection says another server name than the host of its URL."""


def explain_connection(sight: Sight, request: Request, destinations: Destinations) -> Trace:
    """Trace a connection; the scheme of `request` is one of `CONNECTION_SCHEMES`."""
    wanted = parse_authority(request.authority)
    step = RequestStep(
        request.scheme.upper(), request.scheme, request.authority, "", request.headers
    )
    base = Trace(step, "none", Outcome.NO_ROUTE, context=sight.context.name)
    if not wanted.port:
        return replace(
            base, listener=f"a connection needs a port: {request.scheme}://{wanted.host}:443"
        )
    service = sight.service_for_authority(wanted.host)
    given = wanted.host if is_address(wanted.host) else ""
    exact = [one for one in service.addresses if "/" not in one] if service is not None else []
    address = given or next(iter(exact), "")
    told = next(iter(request.values(SERVER_NAME_HEADER)), "" if given else wanted.host)
    name = told.lower() if request.scheme == "tls" else ""
    if sight.context.is_captured:
        return _captured(sight, base, (address, wanted.port, name), destinations)
    return _declared(sight, base, (address, wanted.port, name), destinations)


def _captured(
    sight: Sight, base: Trace, target: tuple[str, int, str], destinations: Destinations
) -> Trace:
    address, port, name = target
    places = {
        CapturedPlace(one, captured.place.port): captured
        for captured in captured_ports(sight)
        for one in (*captured.also, captured.place.address)
    }
    found = places.get(CapturedPlace(address, port)) or places.get(CapturedPlace(ANY_ADDRESS, port))
    entry = replace(base, listener=f"captured, to {address or 'any address'} port {port}")
    if found is None:
        rule = "no service is met there: the outbound traffic policy decides"
        place = VirtualHostStep(f"{address or 'any'}:{port}", "", rule)
        return _routed(sight, replace(entry, virtual_host=place), unclaimed(sight), destinations)
    where = found.place.address or "any address"
    place = VirtualHostStep(
        f"{where}:{port}",
        where,
        "HTTP, by its first bytes, goes by host: trace http://"
        if found.http
        else "bytes are not read",
        tuple(origin(source) for source in found.sources),
        _notes(found.passed_over),
    )
    route = choose_route(found.routes, address, name)
    if route is None and found.place.address == ANY_ADDRESS:
        route = unclaimed(sight)
    return _routed(sight, replace(entry, virtual_host=place), route, destinations)


def _declared(
    sight: Sight, base: Trace, target: tuple[str, int, str], destinations: Destinations
) -> Trace:
    address, port, name = target
    found = next((one for one in tcp_listeners(sight) if one.port == port), None)
    if found is None:
        said = "nothing is captured here, and no Sidecar declares a TCP listener on this port"
        return replace(base, listener=said)
    place = VirtualHostStep(
        f"{found.bind}:{port}",
        found.bind,
        "declared",
        (origin(found.source),),
        _notes(found.passed_over),
    )
    entry = replace(base, listener=f"egress {found.bind}:{port}", virtual_host=place)
    return _routed(sight, entry, choose_route(found.routes, address, name), destinations)


def choose_route(routes: Iterable[TcpRoute], address: str, name: str) -> TcpRoute | None:
    """The route that Envoy chooses: by the longest prefix of the address, then by the most specific server name."""
    kept = list(routes)
    lengths = {id(route): _prefix(route, address) for route in kept}
    longest = max((length for length in lengths.values() if length is not None), default=None)
    nearest = [route for route in kept if longest is not None and lengths[id(route)] == longest]
    names = [(_specificity(route, name), position) for position, route in enumerate(nearest)]
    fitting = [(rank, -position) for rank, position in names if rank is not None]
    return nearest[-max(fitting)[1]] if fitting else None


def _prefix(route: TcpRoute, address: str) -> int | None:
    """Length of the longest subnet of a route with the address; -1 where it has none; None where it does not fit."""
    if not route.destination_subnets:
        return -1
    if not address:
        return None
    here = ip_address(address)
    networks = (ip_network(subnet, strict=False) for subnet in route.destination_subnets)
    return max((network.prefixlen for network in networks if here in network), default=None)


def _specificity(route: TcpRoute, name: str) -> int | None:
    """How specific the server name of a route is that fits; -1 where it asks for none; None where none fits."""
    if not route.sni_hosts:
        return -1
    fitting = [len(host) for host in route.sni_hosts if name and subset_of(name, host)]
    exact = 1_000 if name in route.sni_hosts else 0
    return max(fitting) + exact if fitting else None


def _routed(
    sight: Sight, trace: Trace, route: TcpRoute | None, destinations: Destinations
) -> Trace:
    if route is None or route.clusters[0].cluster is Cluster.BLACK_HOLE:
        source = None if route is None else RouteStep("", origin(route.source), ("any connection",))
        return replace(trace, route=source)
    said = [f"server name is {' or '.join(route.sni_hosts)}"] if route.sni_hosts else []
    if route.destination_subnets:
        said.append(f"address is in {' or '.join(route.destination_subnets)}")
    step = RouteStep(
        "",
        origin(route.source),
        tuple(said) or ("any connection",),
        tuple(Setting("connection", word) for word in wording.flow(route.flow)),
    )
    split = split_steps(sight, Forward(route.clusters), destinations)
    return replace(trace, outcome=Outcome.FORWARD, route=step, destinations=split)


def _notes(pairs: Iterable[tuple[Provenance, str]]) -> tuple[Note, ...]:
    return tuple(Note(origin(source), reason) for source, reason in dict.fromkeys(pairs))
