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
from dataclasses import dataclass, replace

from sidecar.mesh.model import HostName, Provenance, Service, ServicePort
from sidecar.mesh.names import (
    aliases,
    is_address,
    is_wildcard,
    matches,
    meanings,
    most_specific,
    wildcards_over,
)
from sidecar.routing.authority import Authority, domains_for, parse_authority
from sidecar.routing.hosts import (
    DEFAULT_PORT,
    bare_port,
    catch_all,
    host_without_service,
    refusal,
    service_host,
)
from sidecar.routing.sight import Sight
from sidecar.routing.table import VirtualHost

__all__ = ["catch_all", "outbound_virtual_host", "outbound_virtual_hosts"]


def outbound_virtual_host(sight: Sight, authority: str) -> VirtualHost:
    """The virtual host that answers one authority, with that one domain.

    Costs the length of the name, not the size of the mesh.

    Args:
        sight: The mesh as the sending workload sees it.
        authority: Host header as sent: any case, with or without a port, short or full.
    """
    wanted = parse_authority(authority)
    names = meanings(wanted.host, sight.config.domain, sight.context.namespace)
    notes: list[tuple[Provenance, str]] = []
    found = (
        _of_exact_name(sight, wanted, names, notes)
        or _of_wildcard(sight, wanted, notes)
        or catch_all(sight)
    )
    return replace(
        found,
        domains=(authority.strip().lower(),),
        passed_over=(*found.passed_over, *notes),
        hosts=found.hosts | frozenset(names),
    )


def _of_exact_name(
    sight: Sight,
    wanted: Authority,
    names: Iterable[HostName],
    notes: list[tuple[Provenance, str]],
) -> VirtualHost | None:
    """What a service, or a VirtualService alone, of exactly one of these names answers."""
    if is_address(wanted.host):
        service = sight.service_for_authority(wanted.host)
        return _of_service(sight, service, wanted.port, notes) if service else None
    for name in names:
        service = sight.service(name)
        if service is not None and name != wanted.host:
            service = service if wanted.host in sight.aliases(service) else None
        if service is not None:
            found = _of_service(sight, service, wanted.port, notes)
            if found is not None:
                return found
        elif wanted.port in (None, DEFAULT_PORT) and _is_ruled(sight, name):
            found = host_without_service(sight, name)
            if found is not None and wanted.host in _spellings(sight, name):
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
    if number in (None, DEFAULT_PORT) and _is_ruled_beside(sight, service):
        found = host_without_service(sight, service.host)
        if found is not None:
            return found
    if number is None:
        return None if service.external else refusal(service)
    has = ", ".join(str(port.number) for port in service.ports) or "none"
    notes.append((service.source, f"service {service.host} has no port {number} (it has {has})"))
    return None


def _is_ruled(sight: Sight, host: HostName) -> bool:
    """Whether a VirtualService names exactly this host."""
    return any(host in source.hosts for source in sight.virtual_services_for(host))


def _is_ruled_beside(sight: Sight, service: Service) -> bool:
    """Whether VirtualServices may answer for a service on port 80, which it does not have itself."""
    return service.port(DEFAULT_PORT) is None and _is_ruled(sight, service.host)


def _of_wildcard(
    sight: Sight, wanted: Authority, notes: list[tuple[Provenance, str]]
) -> VirtualHost | None:
    """What the most specific wildcard service, or wildcard of a VirtualService, answers."""
    if is_address(wanted.host):
        return None
    ruled = _ruled_wildcards(sight, HostName(wanted.host))
    for pattern in wildcards_over(wanted.host):
        service = sight.service(pattern)
        found = _of_service(sight, service, wanted.port, notes) if service else None
        if found is None and service is None and pattern in ruled:
            found = _of_ruled_wildcard(sight, pattern, wanted.port)
        if found is not None:
            return replace(found, hosts=found.hosts | {pattern})
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
    if port not in (None, DEFAULT_PORT) or _covers_a_service(pattern, _on_default_port(sight)):
        return None
    return host_without_service(sight, pattern)


def _on_default_port(sight: Sight) -> Iterator[HostName]:
    return (service.host for service in sight.services() if service.port(DEFAULT_PORT))


def _covers_a_service(pattern: HostName, hosts: Iterable[HostName]) -> bool:
    return any(matches(pattern, host) for host in hosts)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A virtual host to be, and the names that it asks for."""

    names: tuple[str, ...]
    """Spellings of the host, the full name first."""
    port: int | None
    """Port of its domains; None for those without a port alone."""
    bare: bool
    """Whether it also answers requests that name no port."""
    host: VirtualHost | tuple[Service, ServicePort]
    """The virtual host, or what to build it from."""

    def full_domains(self) -> tuple[str, ...]:
        return domains_for(self.names[:1], self.port, bare=self.bare)

    def domains(self) -> tuple[str, ...]:
        return domains_for(self.names, self.port, bare=self.bare)


def outbound_virtual_hosts(sight: Sight) -> Iterator[VirtualHost]:
    """Every outbound virtual host, the catch-all last; no domain stands twice.

    A full name beats another host's short form; among equals the service that was created first keeps the
    domain, and the loser says so in `passed_over`.
    """
    claims = [*_claims_of_services(sight), *_claims_of_rules(sight)]
    owners: dict[str, int] = {}
    for number, claim in enumerate(claims):
        for domain in claim.full_domains():
            owners.setdefault(domain, number)
    for number, claim in enumerate(claims):
        for domain in claim.domains():
            owners.setdefault(domain, number)
    for number, claim in enumerate(claims):
        domains = tuple(d for d in claim.domains() if owners[d] == number)
        if not domains:
            continue
        built = claim.host
        host = built if isinstance(built, VirtualHost) else service_host(sight, *built)
        lost = tuple(
            (host.sources[0], f"domain {domain} belongs to {claims[owners[domain]].names[0]}")
            for domain in claim.domains()
            if owners[domain] != number
        )
        yield replace(host, domains=domains, passed_over=(*host.passed_over, *lost))
    yield catch_all(sight)


def _claims_of_services(sight: Sight) -> Iterator[_Claim]:
    """Claims of every service port, in order of creation."""
    for service in sorted(sight.services(), key=lambda s: (s.create_revision, s.host)):
        names = _names_of(sight, service)
        bare = bare_port(service)
        for port in service.ports:
            yield _Claim(names, port.number, port.number == bare, (service, port))
        if bare is None and not service.external:
            ruled = _is_ruled_beside(sight, service)
            if not ruled or host_without_service(sight, service.host) is None:
                yield _Claim(names, None, True, refusal(service))


def _claims_of_rules(sight: Sight) -> Iterator[_Claim]:
    """Claims of the hosts, on port 80, that only VirtualServices know there."""
    taken: list[HostName] | None = None
    for name in sorted(sight.virtual_service_hosts()):
        service = sight.service(name)
        if service is not None and service.port(DEFAULT_PORT) is not None:
            continue
        if service is None and is_wildcard(name):
            taken = list(_on_default_port(sight)) if taken is None else taken
            if _covers_a_service(name, taken):
                continue
        host = host_without_service(sight, name)
        if host is not None:
            bare = service is None or bare_port(service) is None
            yield _Claim(_spellings(sight, name), DEFAULT_PORT, bare, host)


def _names_of(sight: Sight, service: Service) -> tuple[str, ...]:
    """The names of a service that become domains: full, short forms, single virtual addresses."""
    addresses = (address for address in service.addresses if is_address(address))
    return tuple(dict.fromkeys((service.host, *sight.aliases(service), *addresses)))


def _spellings(sight: Sight, host: HostName) -> tuple[str, ...]:
    """The names by which this client may mean a host that no service has."""
    domain = sight.config.domain
    name, _, _ = host.removesuffix(f".svc.{domain}").rpartition(".")
    namespace = host.removeprefix(f"{name}.").removesuffix(f".svc.{domain}") if name else ""
    return aliases(host, namespace, domain, sight.context.namespace)
