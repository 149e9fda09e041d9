"""The full set of resources that Envoy should have, and what of it was not told yet.

Putting a resource whose bytes are already there tells nothing; putting and taking back before the next telling
tells nothing either. So callers may rebuild as much as they like: only differences come out.
"""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.certificates.model import SecretSource
from sidecar.mesh.model import Provenance
from sidecar.xds.resource import DesiredChange, Resource, TypeUrl

__all__ = ["Holdings"]


class Holdings:
    """Resources by type and name: what was told, and what is wanted now."""

    def __init__(self) -> None:
        self._told: dict[TypeUrl, dict[str, Resource]] = {kind: {} for kind in TypeUrl}
        self._pending: dict[tuple[TypeUrl, str], Resource | None] = {}
        self._named: dict[tuple[TypeUrl, str], frozenset[SecretSource]] = {}
        self._naming: dict[SecretSource, dict[tuple[TypeUrl, str], tuple[Provenance, ...]]] = {}

    def put(self, resource: Resource) -> None:
        """Want this resource under its type and name."""
        place = (resource.type_url, resource.name)
        self._names_secrets(place, resource.secrets, resource.sources)
        told = self._told[resource.type_url].get(resource.name)
        if told is not None and (told.version, told.aliases) == (
            resource.version,
            resource.aliases,
        ):
            # Same bytes, newer provenance: nothing for Envoy, but a refusal must name today's objects.
            self._told[resource.type_url][resource.name] = resource
            self._pending.pop(place, None)
        else:
            self._pending[place] = resource

    def drop(self, kind: TypeUrl, name: str) -> None:
        """No longer want a resource; unknown names are ignored."""
        self._names_secrets((kind, name), frozenset(), ())
        if name in self._told[kind]:
            self._pending[kind, name] = None
        else:
            self._pending.pop((kind, name), None)

    def get(self, kind: TypeUrl, name: str) -> Resource | None:
        """The resource wanted now, or None."""
        if (kind, name) in self._pending:
            return self._pending[kind, name]
        return self._told[kind].get(name)

    @property
    def secrets(self) -> frozenset[SecretSource]:
        """Every secret that a resource names."""
        return frozenset(self._naming)

    def naming(self, secret: SecretSource) -> tuple[Provenance, ...]:
        """The objects whose resources name a secret, each once, sorted."""
        found = {source for sources in self._naming.get(secret, {}).values() for source in sources}
        return tuple(sorted(found, key=str))

    def names(self, kind: TypeUrl) -> frozenset[str]:
        """Names of one type wanted now."""
        pending = {name: wanted for (of, name), wanted in self._pending.items() if of is kind}
        kept = self._told[kind].keys() - pending.keys()
        return frozenset(kept | {name for name, wanted in pending.items() if wanted is not None})

    def _names_secrets(
        self,
        place: tuple[TypeUrl, str],
        secrets: frozenset[SecretSource],
        sources: tuple[Provenance, ...],
    ) -> None:
        for gone in self._named.pop(place, frozenset()) - secrets:
            del self._naming[gone][place]
            if not self._naming[gone]:
                del self._naming[gone]
        for secret in secrets:
            self._naming.setdefault(secret, {})[place] = sources
        if secrets:
            self._named[place] = secrets

    def all(self) -> Mapping[TypeUrl, Mapping[str, Resource]]:
        """Everything wanted now, types in sending order, names sorted."""
        return {
            kind: {
                name: found
                for name in sorted(self.names(kind))
                if (found := self.get(kind, name)) is not None
            }
            for kind in TypeUrl
        }

    def tell(self, label: str) -> DesiredChange:
        """The difference since the last telling, types in sending order, names sorted."""
        upserts: dict[TypeUrl, dict[str, Resource]] = {}
        removals: dict[TypeUrl, set[str]] = {}
        order = {kind: position for position, kind in enumerate(TypeUrl)}
        for kind, name in sorted(self._pending, key=lambda place: (order[place[0]], place[1])):
            wanted = self._pending[kind, name]
            if wanted is None:
                del self._told[kind][name]
                removals.setdefault(kind, set()).add(name)
            else:
                self._told[kind][name] = wanted
                upserts.setdefault(kind, {})[name] = wanted
        self._pending.clear()
        return DesiredChange(
            label, upserts, {kind: frozenset(names) for kind, names in removals.items()}
        )
