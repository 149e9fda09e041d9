"""The virtual hosts of one context that Envoy asked for, one for each authority.

What was given stays given while Envoy runs: a removed virtual host is never asked for again (docs/xds.md, 12e).
So an authority whose service goes away keeps a virtual host, which then says what the catch-all says. Authorities that
the mesh does not name (unknown ones, and those that only a wildcard covers) are capped, since anyone can make up a Host
header; beyond the cap they get no virtual host but 404, and are counted (12f). An authority with a `*` never gets one:
as a domain it would be a wildcard, and take in every host that was not asked for yet (12a). Nor does one that is longer
than any name: looking for wildcards over 60 kB, which Envoy lets through, took 9 s, and each would be kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.mesh.model import HostName, MeshChange
from sidecar.mesh.names import is_address
from sidecar.routing.authority import parse_authority
from sidecar.routing.build import outbound_virtual_host
from sidecar.routing.sight import Sight
from sidecar.routing.table import VirtualHost
from sidecar.xds.dependencies import Dependencies

__all__ = ["OnDemandHosts"]

_UNKNOWN = ("allow_any", "block_all")
"""Names of the catch-all's virtual hosts."""

AUTHORITY_MAX = 512
"""Characters of the longest authority that is looked up: twice what validation allows for a host, which a namespace and
the domain of the mesh may complete."""


class OnDemandHosts:
    """The outbound virtual hosts of one context when the mesh is too large to load whole.

    Args:
        unknown_max: How many authorities that nothing in the mesh names get a virtual host; as many again are
            remembered, to be given one should the mesh come to name them.
    """

    def __init__(self, unknown_max: int) -> None:
        self._unknown_max = unknown_max
        self._unknown: set[str] = set()
        self._refused: set[str] = set()
        self._addresses: set[str] = set()
        self._dependencies: Dependencies[str] = Dependencies()
        self.refusals = 0
        """Questions that were refused, ever: over the cap, or not a host's name."""

    @property
    def given(self) -> frozenset[str]:
        """Authorities that have a virtual host."""
        return frozenset(self._dependencies) - self._refused

    @property
    def unknown(self) -> int:
        """How many of them the mesh does not name."""
        return len(self._unknown)

    def ask(self, sight: Sight, authorities: Iterable[str]) -> dict[str, VirtualHost | None]:
        """The virtual hosts of authorities, by authority; None for those that get none."""
        return {authority: self._give(sight, authority) for authority in sorted(set(authorities))}

    def update(self, sight: Sight, change: MeshChange) -> dict[str, VirtualHost]:
        """Follow a change of the mesh: the virtual hosts that may differ, by authority."""
        given: dict[str, VirtualHost] = {}
        touched = self._dependencies.touched(change)
        if self._addresses and any(_has_address(sight, host) for host in change.hosts):
            # An address names no host that it could be filed under.
            touched |= self._addresses
        for authority in sorted(touched):
            found = self._give(sight, authority, is_question=False)
            if found is not None:
                given[authority] = found
        return given

    def _give(
        self, sight: Sight, authority: str, *, is_question: bool = True
    ) -> VirtualHost | None:
        if not authority or "*" in authority or len(authority) > AUTHORITY_MAX:
            self.refusals += is_question
            return None
        found = outbound_virtual_host(sight, authority)
        is_named = found.name not in _UNKNOWN and not found.name.startswith("*")
        if is_named:
            self._unknown.discard(authority)
        elif authority not in self._dependencies or authority in self._refused:
            if len(self._unknown) >= self._unknown_max:
                self._refuse(authority, found, is_question=is_question)
                return None
            self._unknown.add(authority)
        else:
            self._unknown.add(authority)
        self._refused.discard(authority)
        self._file(authority, found)
        return found

    def _refuse(self, authority: str, found: VirtualHost, *, is_question: bool) -> None:
        self.refusals += is_question
        if authority in self._refused or len(self._refused) < self._unknown_max:
            self._refused.add(authority)
            self._file(authority, found)

    def _file(self, authority: str, found: VirtualHost) -> None:
        self._dependencies.file(authority, found.hosts)
        if is_address(parse_authority(authority).host):
            self._addresses.add(authority)


def _has_address(sight: Sight, host: HostName) -> bool:
    service = sight.service(host)
    return service is not None and bool(service.addresses)
