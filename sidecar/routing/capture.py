"""Where captured connections go, by the address and port that the client named.

Follows Istio's core/listener.go (buildSidecarOutboundListener): a service that is not HTTP is met at its addresses,
one without any at every address of its port; HTTP is met at every address of its port, since the host of a request
decides; where no protocol is declared the first bytes tell. What no place claims is for `sidecar.routing.originals`.
A port that a Sidecar declares for itself has the services of that listener alone. Two services that cannot be told
apart at one place: the older stays, and it is noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from sidecar.mesh.facts import ServiceEntryFacts
from sidecar.mesh.model import HostName, Protocol, Provenance, Service, ServicePort
from sidecar.mesh.scopes import EgressListener
from sidecar.mesh.virtual_addresses import is_virtual
from sidecar.routing.opaque import opaque_routes
from sidecar.routing.originals import with_original
from sidecar.routing.sight import Sight
from sidecar.routing.table import ClusterKey, TcpRoute
from store.objects.sidecar import CaptureMode

__all__ = [
    "ANY_ADDRESS",
    "CapturedPlace",
    "CapturedPort",
    "Share",
    "age_of_share",
    "captured_port",
    "captured_ports",
    "http_shares",
    "shares_of",
]

ANY_ADDRESS = ""
"""Address of the place that stands for all addresses of its port that have no place of their own."""

_SPEAKS_FIRST = frozenset({Protocol.MYSQL, Protocol.MONGO})
"""Protocols whose server speaks first: beside HTTP on one port they would wait for ever."""

Notes = tuple[tuple[Provenance, str], ...]


class CapturedPlace(NamedTuple):
    """Destination addresses that are treated alike."""

    address: str
    """One address, or `ANY_ADDRESS`."""
    port: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one service has at one place."""

    host: HostName
    created: int
    """Order of creation: of two that cannot be told apart the older stays."""
    source: Provenance = field(compare=False)
    """Not compared: a service that says the same in a newer generation has the same share."""
    routes: tuple[TcpRoute, ...] = ()
    """For bytes that are not read, in order."""
    http: bool = False
    """Whether HTTP, by its first bytes, is routed by the host of each request."""
    ranges: tuple[str, ...] = ()
    """Addresses (CIDR) that `http` is limited to; empty for all of the place."""
    speaks_first: bool = False
    """Whether the server speaks first."""
    also: tuple[str, ...] = ()
    """Further addresses of the place."""
    passed_over: Notes = ()
    """Rules that do not hold here."""

    @property
    def is_plain_http(self) -> bool:
        """Whether it says no more than that the port speaks HTTP, as most do: one of many stands for all."""
        return self.http and not (self.routes or self.ranges or self.passed_over)


@dataclass(frozen=True, slots=True)
class CapturedPort:
    """One place with everything that is to be met there."""

    place: CapturedPlace
    routes: tuple[TcpRoute, ...] = ()
    """For bytes that are not read; conditions (server names, subnets) are distinct."""
    http: tuple[tuple[str, ...], ...] = ()
    """Where HTTP by its first bytes is routed by host: one entry for each set of ranges, the empty one for all."""
    also: tuple[str, ...] = ()
    """Further addresses that are treated the same."""
    sources: tuple[Provenance, ...] = ()
    passed_over: Notes = ()
    """Rules that do not hold here, and services that could not be told apart."""

    @property
    def needs_server_names(self) -> bool:
        """Whether routes are told apart by the server name that a TLS client sends."""
        return any(route.sni_hosts for route in self.routes)

    @property
    def takes_all(self) -> bool:
        """Whether some route has no condition."""
        return any(not route.sni_hosts and not route.destination_subnets for route in self.routes)

    @property
    def cluster_keys(self) -> frozenset[ClusterKey]:
        """Every destination of its routes."""
        return frozenset(key for route in self.routes for key in route.clusters_named)


def captured_ports(sight: Sight) -> tuple[CapturedPort, ...]:
    """Every place of the mesh as this context sees it, sorted."""
    found: dict[CapturedPlace, list[Share]] = {}
    for service in sight.services():
        for place, share in shares_of(sight, service):
            found.setdefault(place, []).append(share)
    return tuple(captured_port(place, found[place]) for place in sorted(found))


def shares_of(sight: Sight, service: Service) -> Iterator[tuple[CapturedPlace, Share]]:
    """What one service has at each of its places."""
    exact = [address for address in service.addresses if "/" not in address]
    ranges = tuple(address for address in service.addresses if "/" in address)
    for port in service.ports:
        named = (service.host, service.namespace)
        if port.protocol is Protocol.UDP or not _is_served(sight, named, port.number):
            continue
        share = Share(service.host, service.create_revision, service.source)
        everywhere = CapturedPlace(ANY_ADDRESS, port.number)
        if port.protocol.is_http and port.protocol is not Protocol.AUTO:
            yield everywhere, replace(share, http=True)
            continue
        found = opaque_routes(sight, service, port, undeclared=True)
        share = replace(
            share,
            routes=tuple(with_original(sight, route) for route in found.routes),
            http=port.protocol is Protocol.AUTO,
            speaks_first=port.protocol in _SPEAKS_FIRST,
            passed_over=found.passed_over,
        )
        for address, also in _places(exact, share):
            here = replace(_at_address(share, address), also=also)
            yield CapturedPlace(_plain(address), port.number), here
        if ranges or not exact:
            told = _everywhere(share, service, port, ranges)
            if told.routes or told.http:
                yield everywhere, told


def http_shares(
    sight: Sight, host: HostName, facts: ServiceEntryFacts
) -> Iterator[tuple[CapturedPlace, Share]]:
    """`shares_of` a service that speaks nothing but HTTP, from what is known of it without building it."""
    source = Provenance(facts.ref, facts.generation)
    share = Share(host, facts.create_revision, source, http=True)
    for number in facts.http_ports or ():
        if _is_served(sight, (host, facts.ref.namespace), number):
            yield CapturedPlace(ANY_ADDRESS, number), share


def _places(exact: list[str], share: Share) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The addresses that have a place each, with others that share it: virtual ones are one service's alone."""
    if all(map(is_virtual, exact)) and not any(one.destination_subnets for one in share.routes):
        yield from [(exact[0], tuple(exact[1:]))] if exact else []
    else:
        yield from ((address, ()) for address in exact)


def _plain(address: str) -> str:
    return str(ip_address(address))


def _at_address(share: Share, address: str) -> Share:
    """The share at one address: subnets are settled, and what is for a subnet comes before what is for all."""
    here = ip_address(address)
    settled: dict[tuple[str, ...], TcpRoute] = {}
    for narrow in (True, False):
        for route in share.routes:
            if bool(route.destination_subnets) is narrow and _covers(route, str(here)):
                settled.setdefault(route.sni_hosts, replace(route, destination_subnets=()))
    return replace(share, routes=tuple(settled.values()))


def _covers(route: TcpRoute, address: str) -> bool:
    here = ip_address(address)
    return not route.destination_subnets or any(
        here in ip_network(subnet, strict=False) for subnet in route.destination_subnets
    )


def _everywhere(
    share: Share, service: Service, port: ServicePort, ranges: tuple[str, ...]
) -> Share:
    """The share at the place for all addresses: limited to the service's ranges, and TLS to its name."""
    routes = [_within(route, ranges) for route in share.routes] if ranges else list(share.routes)
    if port.protocol.is_tls and not ranges and service.host != "*":
        routes = [
            route if route is None or route.sni_hosts else replace(route, sni_hosts=(service.host,))
            for route in routes
        ]
    elif not ranges and service.source.ref is None:
        # A registered service without an address can only be met by name: it must not take its port everywhere.
        routes = []
    kept = tuple(route for route in routes if route is not None)
    return replace(share, routes=kept, ranges=ranges)


def _within(route: TcpRoute, ranges: tuple[str, ...]) -> TcpRoute | None:
    """A route limited to these ranges; None where it has no address in them."""
    if not route.destination_subnets:
        return replace(route, destination_subnets=ranges)
    found: dict[str, None] = {}
    for one in route.destination_subnets:
        for other in ranges:
            found.update(dict.fromkeys(_narrower(one, other)))
    return replace(route, destination_subnets=tuple(found)) if found else None


def _narrower(one: str, other: str) -> tuple[str, ...]:
    left, right = ip_network(one, strict=False), ip_network(other, strict=False)
    if left.version != right.version or not left.overlaps(right):
        return ()
    return (str(left if left.prefixlen >= right.prefixlen else right),)


def _is_served(sight: Sight, service: tuple[HostName, str], port: int) -> bool:
    """Whether captured traffic may reach a port of a service (host, namespace): what the port declares, it imports."""
    if sight.sidecar_scope.is_everything:
        return True
    declared = [one for one in sight.sidecar_scope.listeners if _port_of(one) == port]
    captured = [one for one in declared if not _is_bound(one)]
    if captured:
        return any(one.imports.has_service(*service) for one in captured)
    others = [one for one in sight.sidecar_scope.listeners if not _port_of(one)]
    return any(one.imports.has_service(*service) for one in others)


def _port_of(listener: EgressListener) -> int:
    written = listener.declared
    return (written.port.number or 0) if written is not None and written.port is not None else 0


def _is_bound(listener: EgressListener) -> bool:
    return listener.declared is not None and listener.declared.capture_mode is CaptureMode.NONE


def captured_port(place: CapturedPlace, shares: Iterable[Share]) -> CapturedPort:
    """Everything that is met at one place, the oldest first."""
    routes: dict[tuple[tuple[str, ...], tuple[str, ...]], TcpRoute] = {}
    owners: dict[tuple[tuple[str, ...], tuple[str, ...]], Share] = {}
    http: dict[tuple[str, ...], None] = {}
    notes: list[tuple[Provenance, str]] = []
    kept: list[Share] = []
    for share in sorted(shares, key=age_of_share):
        silent = next((one for one in kept if _cannot_meet(one, share)), None)
        if share.is_plain_http and silent is None and share.ranges in http:
            continue
        if silent is not None:
            notes.append((share.source, _silence(share, silent, place)))
            continue
        kept.append(share)
        notes += share.passed_over
        if share.http:
            http[share.ranges] = None
        for route in share.routes:
            condition = (route.sni_hosts, route.destination_subnets)
            if condition in routes:
                notes.append((route.source, _indistinct(share, owners[condition], place)))
            else:
                routes[condition], owners[condition] = route, share
    ordered = tuple(sorted(routes.values(), key=_generality))
    sources = dict.fromkeys(source for one in kept if one.routes for source in (one.source,))
    sources.update(dict.fromkeys(route.source for route in ordered))
    return CapturedPort(
        place,
        ordered,
        tuple(sorted(http)),
        tuple(sorted({address for one in kept for address in one.also})),
        tuple(sources),
        tuple(dict.fromkeys(notes)),
    )


def age_of_share(share: Share) -> tuple[int, HostName]:
    """Sort key that puts the older first."""
    return share.created, share.host


def _cannot_meet(one: Share, other: Share) -> bool:
    """Whether one waits for the client's bytes while the client of the other waits for the server's."""
    return (one.speaks_first and other.http) or (one.http and other.speaks_first)


def _silence(share: Share, other: Share, place: CapturedPlace) -> str:
    return f"{share.host} is not met at {_words(place)}: beside {other.host}, which came first, one would wait for ever"


def _indistinct(share: Share, other: Share, place: CapturedPlace) -> str:
    return (
        f"{share.host} at {_words(place)} cannot be told apart from {other.host}, which came first: "
        "give it an address of its own"
    )


def _words(place: CapturedPlace) -> str:
    return f"{place.address or 'any address'} port {place.port}"


def _generality(route: TcpRoute) -> bool:
    return not route.sni_hosts and not route.destination_subnets
