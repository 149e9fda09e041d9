"""Which domain belongs to which virtual host, when all of them stand in one route configuration.

Envoy refuses a configuration in which a domain stands twice, so each is given to one claim. Follows Istio's
httproute.go dedupeDomains and route.go separateVSHostsAndServices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sidecar.mesh.model import HostName, Service, ServicePort
from sidecar.mesh.names import aliases, is_wildcard, matches
from sidecar.routing.authority import domains_for
from sidecar.routing.hosts import (
    DEFAULT_PORT,
    bare_port,
    host_without_service,
    refusal,
    service_host,
)
from sidecar.routing.sight import Sight
from sidecar.routing.table import VirtualHost

__all__ = [
    "Claim",
    "claims_of_rules",
    "claims_of_services",
    "is_ruled",
    "is_ruled_beside",
    "names_of",
    "settle",
    "spellings",
    "stands_for_services",
]


@dataclass(frozen=True, slots=True)
class Claim:
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
        """Its domains under the full name alone."""
        return domains_for(self.names[:1], self.port, bare=self.bare)

    def domains(self) -> tuple[str, ...]:
        """Every domain that it asks for."""
        return domains_for(self.names, self.port, bare=self.bare)


def settle(sight: Sight, claims: Sequence[Claim]) -> Iterator[VirtualHost]:
    """The claimed virtual hosts with the domains that are theirs; no domain stands twice.

    A full name beats another host's short form; among equals the service that was created first keeps the
    domain, and the loser says so in `passed_over`.
    """
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


def claims_of_services(sight: Sight, services: Iterable[Service]) -> Iterator[Claim]:
    """Claims of every port of these services, in order of creation."""
    for service in sorted(services, key=lambda s: (s.create_revision, s.host)):
        names = names_of(sight, service)
        bare = bare_port(service)
        for port in service.ports:
            yield Claim(names, port.number, port.number == bare, (service, port))
        if bare is None and not service.external:
            ruled = is_ruled_beside(sight, service)
            if not ruled or host_without_service(sight, service.host) is None:
                yield Claim(names, None, True, refusal(service))


def claims_of_rules(sight: Sight) -> Iterator[Claim]:
    """Claims of the hosts, on port 80, that only VirtualServices know there."""
    for name in sorted(sight.virtual_service_hosts()):
        service = sight.service(name)
        if service is not None and service.port(DEFAULT_PORT) is not None:
            continue
        if service is None and is_wildcard(name) and stands_for_services(sight, name):
            continue
        host = host_without_service(sight, name)
        if host is not None:
            bare = service is None or bare_port(service) is None
            yield Claim(spellings(sight, name), DEFAULT_PORT, bare, host)


def names_of(sight: Sight, service: Service) -> tuple[str, ...]:
    """The names of a service that become domains: full, short forms, single virtual addresses."""
    return tuple(dict.fromkeys((service.host, *sight.aliases(service))))


def is_ruled(sight: Sight, host: HostName) -> bool:
    """Whether a VirtualService names exactly this host."""
    return any(host in source.hosts for source in sight.virtual_services_for(host))


def is_ruled_beside(sight: Sight, service: Service) -> bool:
    """Whether VirtualServices may answer for a service on port 80, which it does not have itself."""
    return service.port(DEFAULT_PORT) is None and is_ruled(sight, service.host)


def stands_for_services(sight: Sight, pattern: HostName) -> bool:
    """Whether a VirtualService's wildcard covers a service with port 80.

    It then stands for those services, and names that no service has are not its business (Istio). Only
    names are looked through; a service is built when its name fits.
    """
    return any(
        (service := sight.service(host)) is not None and service.port(DEFAULT_PORT) is not None
        for host in sight.mesh.services.hosts()
        if matches(pattern, host)
    )


def spellings(sight: Sight, host: HostName) -> tuple[str, ...]:
    """The names by which this client may mean a host that no service has."""
    domain = sight.config.domain
    name, _, _ = host.removesuffix(f".svc.{domain}").rpartition(".")
    namespace = host.removeprefix(f"{name}.").removesuffix(f".svc.{domain}") if name else ""
    return aliases(host, namespace, domain, sight.context.namespace)
