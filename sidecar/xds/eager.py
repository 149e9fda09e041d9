"""All outbound virtual hosts of one context, kept up to date host by host.

Each host claims domains (its names, with and without port); a domain goes to the claim of the best rank, as
`sidecar.routing.claims.settle` gives them out for a whole mesh at once. Here only the claims of changed hosts are made
again, and only virtual hosts that changed or won or lost a domain come out. A property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from sidecar.mesh.model import HostName, MeshChange
from sidecar.mesh.names import is_wildcard
from sidecar.routing.claims import (
    Claim,
    claims_of_services,
    is_ruled,
    spellings,
    stands_for_services,
)
from sidecar.routing.hosts import DEFAULT_PORT, bare_port, host_without_service, service_host
from sidecar.routing.sight import Sight
from sidecar.routing.table import VirtualHost
from sidecar.xds.dependencies import Dependencies

__all__ = ["EagerHosts"]


class _ClaimId(NamedTuple):
    """One claim: the host that makes it, and which of its claims."""

    host: HostName
    number: int


_Rank = tuple[bool, bool, int, HostName, int]
"""Not the full name; from a rule alone; creation; host; number of the claim. The least wins."""


@dataclass(slots=True)
class _Claimed:
    """One claim as it stands."""

    virtual_host: VirtualHost
    """Its routes; domains are put in when it is told."""
    ranks: dict[str, _Rank]
    """Domains that it asks for, in order, each with its rank."""


class EagerHosts:
    """The outbound virtual hosts of one context when the mesh is loaded whole."""

    def __init__(self) -> None:
        self._claims: dict[HostName, tuple[_Claimed, ...]] = {}
        self._wanted: dict[str, dict[_ClaimId, _Rank]] = {}
        self._names: dict[_ClaimId, str] = {}
        self._dependencies: Dependencies[HostName] = Dependencies()

    def update(self, sight: Sight, change: MeshChange) -> dict[str, VirtualHost | None]:
        """Follow a change of the mesh.

        Returns:
            Virtual hosts that may differ, by name, with the domains that are theirs; None for those that are gone.
            The catch-all is not among them: it stands in the route configuration itself.
        """
        dirty: set[_ClaimId] = set()
        for host in self._touched(sight, change):
            dirty |= self._claim_again(host, tuple(_claims(sight, host)), sight)
        return self._told(dirty)

    def _touched(self, sight: Sight, change: MeshChange) -> Iterable[HostName]:
        if change.everything:
            now = {service.host for service in sight.services()}
            return sorted(now | set(sight.virtual_service_hosts()) | set(self._dependencies))
        return sorted(self._dependencies.touched(change) | change.hosts | change.patterns)

    def _claim_again(
        self, host: HostName, claims: tuple[Claim, ...], sight: Sight
    ) -> set[_ClaimId]:
        """Put the claims of one host in the place of those it had; return the claims that may tell something new."""
        old = self._claims.pop(host, ())
        dirty = {_ClaimId(host, number) for number in range(max(len(old), len(claims)))}
        for number, claimed in enumerate(old):
            dirty |= self._withdraw(_ClaimId(host, number), claimed)
        new = tuple(_claimed(sight, host, number, claim) for number, claim in enumerate(claims))
        for number, claimed in enumerate(new):
            dirty |= self._raise(_ClaimId(host, number), claimed)
        if new:
            self._claims[host] = new
        if new or (is_wildcard(host) and is_ruled(sight, host)):
            # A wildcard that stands back for services under it is heard again when those change.
            hosts = frozenset[HostName]().union(*(c.virtual_host.hosts for c in new))
            self._dependencies.file(host, hosts | {host})
        else:
            self._dependencies.forget(host)
        return dirty

    def _withdraw(self, claim: _ClaimId, claimed: _Claimed) -> set[_ClaimId]:
        touched: set[_ClaimId] = set()
        for domain in claimed.ranks:
            claims = self._wanted[domain]
            del claims[claim]
            touched.update(claims)
            if not claims:
                del self._wanted[domain]
        return touched

    def _raise(self, claim: _ClaimId, claimed: _Claimed) -> set[_ClaimId]:
        touched: set[_ClaimId] = set()
        for domain, rank in claimed.ranks.items():
            claims = self._wanted.setdefault(domain, {})
            touched.update(claims)
            claims[claim] = rank
        return touched

    def _told(self, dirty: set[_ClaimId]) -> dict[str, VirtualHost | None]:
        told: dict[str, VirtualHost | None] = {
            self._names.pop(claim): None for claim in sorted(dirty) if claim in self._names
        }
        for claim in sorted(dirty):
            claimed = self._standing(claim)
            if claimed is None:
                continue
            domains = tuple(d for d in claimed.ranks if self._owner(d) == claim)
            if domains:
                name = claimed.virtual_host.name
                told[name] = replace(claimed.virtual_host, domains=domains)
                self._names[claim] = name
        return told

    def _standing(self, claim: _ClaimId) -> _Claimed | None:
        claims = self._claims.get(claim.host, ())
        return claims[claim.number] if claim.number < len(claims) else None

    def _owner(self, domain: str) -> _ClaimId:
        claims = self._wanted[domain]
        return min(claims, key=lambda claim: claims[claim])


def _claims(sight: Sight, host: HostName) -> Iterable[Claim]:
    """The claims of one host: of the service of that name, and of VirtualServices on port 80 beside it."""
    service = sight.service(host)
    if service is not None:
        yield from claims_of_services(sight, [service])
        if service.port(DEFAULT_PORT) is not None:
            return
    if not is_ruled(sight, host):
        return
    if service is None and is_wildcard(host) and stands_for_services(sight, host):
        return
    built = host_without_service(sight, host)
    if built is not None:
        bare = service is None or bare_port(service) is None
        yield Claim(spellings(sight, host), DEFAULT_PORT, bare, built)


def _claimed(sight: Sight, host: HostName, number: int, claim: Claim) -> _Claimed:
    from_rule = isinstance(claim.host, VirtualHost) and claim.port is not None
    service = sight.service(host)
    created = 0 if from_rule or service is None else service.create_revision
    built = claim.host
    virtual_host = built if isinstance(built, VirtualHost) else service_host(sight, *built)
    full = set(claim.full_domains())
    ranks = {
        domain: (domain not in full, from_rule, created, host, number) for domain in claim.domains()
    }
    return _Claimed(virtual_host, ranks)
