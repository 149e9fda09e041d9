"""Build the outbound virtual hosts: of one authority on demand, or all of them.

Both ways give the same answer to the same request; a property test holds them together. The port rule (host
without a port: 80, else the service's only HTTP port, else 404) stands in docs/architecture.md; the rest
follows Istio's httproute.go buildSidecarOutboundVirtualHosts and dedupeDomains: one route configuration here
holds what Istio spreads over one for each port.

Precedence for an authority: a service or VirtualService of exactly that name, then one of which it is a short
form, then the most specific wildcard, then the catch-all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sidecar.mesh.model import HostName, Provenance, Service
from sidecar.mesh.names import is_address, is_wildcard, most_specific, wildcards_over
from sidecar.routing.authority import Authority, parse_authority
from sidecar.routing.claims import (
    claims_of_rules,
    claims_of_services,
    is_ruled,
    is_ruled_beside,
    settle,
    spellings,
    stands_for_services,
)
from sidecar.routing.gateways import gateway_servers
from sidecar.routing.hosts import (
    DEFAULT_PORT,
    bare_port,
    catch_all,
    host_without_service,
    refusal,
    service_host,
)
from sidecar.routing.listeners import http_listeners, tcp_listeners
from sidecar.routing.sight import Sight
from sidecar.routing.table import VirtualHost

__all__ = [
    "catch_all",
    "gateway_servers",
    "http_listeners",
    "outbound_virtual_host",
    "outbound_virtual_hosts",
    "tcp_listeners",
]


def outbound_virtual_host(sight: Sight, authority: str) -> VirtualHost:
    """The virtual host that answers one authority, with that one domain.

    Costs the length of the name, not the size of the mesh.

    Args:
        sight: The mesh as the sending workload sees it.
        authority: Host header as sent: any case, with or without a port, short or full.
    """
    wanted = parse_authority(authority)
    names = sight.authority_hosts(wanted.host)
    notes: list[tuple[Provenance, str]] = []
    asked = frozenset(names)
    found = _of_exact_name(sight, wanted, names, notes)
    if found is None and not is_address(wanted.host):
        ruled = _ruled_wildcards(sight, HostName(wanted.host))
        asked |= frozenset(ruled)
        found = _of_wildcard(sight, wanted, ruled, notes)
    if found is None:
        found = catch_all(sight)
    return replace(
        found,
        domains=(authority.strip().lower(),),
        passed_over=(*found.passed_over, *notes),
        hosts=found.hosts | asked,
    )


def _of_exact_name(
    sight: Sight,
    wanted: Authority,
    names: Iterable[HostName],
    notes: list[tuple[Provenance, str]],
) -> VirtualHost | None:
    """What a service, or a VirtualService alone, of exactly one of these names answers."""
    if is_address(wanted.host):
        return _of_address(sight, wanted, notes)
    for name in names:
        service = sight.service(name)
        if service is not None and (name == wanted.host or wanted.host in sight.aliases(service)):
            found = _of_service(sight, service, wanted.port, notes)
        else:
            found = _of_rules_alone(sight, name, wanted, service)
        if found is not None:
            return found
    return None


def _of_rules_alone(
    sight: Sight, name: HostName, wanted: Authority, service: Service | None
) -> VirtualHost | None:
    """What VirtualServices answer for a name that the client spells in a way that is no service's.

    There may be a service of the full name all the same, defined in another namespace than its name says.
    """
    if wanted.port not in (None, DEFAULT_PORT) or not is_ruled(sight, name):
        return None
    if service is not None:
        is_bare = wanted.port is None and bare_port(service) is not None
        if is_bare or service.port(DEFAULT_PORT) is not None:
            return None
    if wanted.host not in spellings(sight, name):
        return None
    return host_without_service(sight, name)


def _of_address(
    sight: Sight, wanted: Authority, notes: list[tuple[Provenance, str]]
) -> VirtualHost | None:
    """What the oldest service at a virtual address that has an answer for the port answers.

    Rules alone answer for names, never for addresses.
    """
    for service in sight.services_at(wanted.host):
        found = _of_service(sight, service, wanted.port, notes)
        if found is not None and found.name != f"{service.host}:{DEFAULT_PORT}":
            return found
        if found is not None and service.port(DEFAULT_PORT) is not None:
            return found
    return None


def _of_service(
    sight: Sight, service: Service, number: int | None, notes: list[tuple[Provenance, str]]
) -> VirtualHost | None:
    """What a service answers on a port, or without one; None where that is for the less specific to say."""
    chosen = bare_port(service) if number is None else number
    port = service.port(chosen) if chosen is not None else None
    if port is not None:
        return service_host(sight, service, port)
    if number in (None, DEFAULT_PORT) and is_ruled_beside(sight, service):
        found = host_without_service(sight, service.host)
        if found is not None:
            return found
    if number is None:
        return None if service.external else refusal(service)
    has = ", ".join(str(port.number) for port in service.ports) or "none"
    notes.append((service.source, f"service {service.host} has no port {number} (it has {has})"))
    return None


def _of_wildcard(
    sight: Sight,
    wanted: Authority,
    ruled: tuple[HostName, ...],
    notes: list[tuple[Provenance, str]],
) -> VirtualHost | None:
    """What the most specific wildcard service, or wildcard of a VirtualService, answers."""
    for pattern in wildcards_over(wanted.host):
        service = sight.service(pattern)
        found = _of_service(sight, service, wanted.port, notes) if service else None
        if found is None and service is None and pattern in ruled:
            found = _of_ruled_wildcard(sight, pattern, wanted.port)
        if found is not None:
            return found
    return None


def _ruled_wildcards(sight: Sight, host: HostName) -> tuple[HostName, ...]:
    """Every wildcard of a VirtualService that covers the host, the most specific first."""
    found: list[HostName] = []
    current: HostName | None = host
    while current is not None:
        sources = sight.virtual_services_for(current)
        covering = most_specific(current, sources[0].hosts) if sources else None
        if covering is None:
            break
        if is_wildcard(covering):
            found.append(covering)
        current = next(iter(wildcards_over(covering)), None)
    return tuple(found)


def _of_ruled_wildcard(sight: Sight, pattern: HostName, port: int | None) -> VirtualHost | None:
    """What a wildcard of a VirtualService answers for names that no service has.

    As in Istio it does so on port 80 alone, and only where no service under it has that port: else the
    wildcard stands for those services.
    """
    if port not in (None, DEFAULT_PORT) or stands_for_services(sight, pattern):
        return None
    return host_without_service(sight, pattern)


def outbound_virtual_hosts(sight: Sight) -> Iterator[VirtualHost]:
    """Every outbound virtual host, the catch-all last; no domain stands twice."""
    services = list(sight.services())
    yield from settle(sight, [*claims_of_services(sight, services), *claims_of_rules(sight)])
    yield catch_all(sight)
