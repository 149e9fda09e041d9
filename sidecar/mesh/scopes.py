"""Which Sidecar applies to a workload, and what its egress listeners import.

The oldest Sidecar of the workload's namespace whose selector matches, else the oldest there without a
selector, else the oldest without one in the root namespace, else everything is imported. Sidecars are never
merged, and gateways have none (Istio pilot/pkg/model/push_context.go getSidecarScope, sidecar.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from sidecar.mesh.buckets import Buckets
from sidecar.mesh.facts import SidecarFacts
from sidecar.mesh.labels import includes
from sidecar.mesh.model import Context, HostName, Provenance
from sidecar.mesh.names import is_wildcard, matches, resolve, subset_of
from sidecar.mesh.services import ServiceIndex
from store.objects.sidecar import IstioEgressListener, SidecarSpec

__all__ = [
    "EVERYTHING",
    "EgressListener",
    "Import",
    "Imports",
    "SidecarScope",
    "scope_for",
    "scope_of",
]

ANY = "*"
NOBODY = "~"


class Import(NamedTuple):
    """One `namespace/host` of an egress listener."""

    namespace: str
    """A name, or `*` for every namespace."""
    host: HostName
    """A full name or a wildcard."""


@dataclass(frozen=True, slots=True)
class Imports:
    """The hosts that one egress listener imports."""

    exact: frozenset[Import] = frozenset()
    """Full names."""
    wildcards: tuple[Import, ...] = ()
    """Wildcards."""
    excluded: tuple[Import, ...] = ()
    """What is left out again; exclusion beats inclusion."""

    def has_service(self, host: HostName, namespace: str) -> bool:
        """Whether the service `host` of `namespace` is imported."""
        included = (
            Import(namespace, host) in self.exact
            or Import(ANY, host) in self.exact
            or any(_here(one, namespace) and subset_of(host, one.host) for one in self.wildcards)
        )
        return included and not any(
            _here(one, namespace) and subset_of(host, one.host) for one in self.excluded
        )

    def has_virtual_service(self, hosts: Iterable[HostName], namespace: str) -> bool:
        """Whether a virtual service of `namespace` is imported: one of its hosts overlaps an import."""
        return any(self._overlaps(host, namespace) for host in hosts)

    def _overlaps(self, host: HostName, namespace: str) -> bool:
        if any(_here(one, namespace) and subset_of(host, one.host) for one in self.excluded):
            return False
        if Import(namespace, host) in self.exact or Import(ANY, host) in self.exact:
            return True
        candidates = self.wildcards
        if is_wildcard(host):
            candidates = (*candidates, *self.exact)
        return any(_here(one, namespace) and matches(host, one.host) for one in candidates)


@dataclass(frozen=True, slots=True)
class EgressListener:
    """One egress listener of a Sidecar and what it imports."""

    position: int
    """Place in `spec.egress`."""
    imports: Imports
    """Hosts that it imports."""
    declared: IstioEgressListener | None = None
    """The listener as written; None for the one that stands in where a Sidecar has none."""


@dataclass(frozen=True, slots=True)
class SidecarScope:
    """What one workload imports."""

    listeners: tuple[EgressListener, ...]
    """Its egress listeners, in the order declared."""
    source: Provenance = field(default=Provenance(None))
    """The Sidecar; empty for the implicit one."""
    spec: SidecarSpec | None = None
    """What it says; None for the implicit one."""

    @property
    def is_everything(self) -> bool:
        """Whether no Sidecar limits what is imported."""
        return self is EVERYTHING

    def has_service(self, host: HostName, namespace: str) -> bool:
        """Whether any listener imports the service."""
        return self.is_everything or any(
            listener.imports.has_service(host, namespace) for listener in self.listeners
        )

    def has_virtual_service(self, hosts: Iterable[HostName], namespace: str) -> bool:
        """Whether any listener imports the virtual service."""
        named = tuple(hosts)
        return self.is_everything or any(
            one.imports.has_virtual_service(named, namespace) for one in self.listeners
        )

    def hosts(self, services: ServiceIndex) -> Iterator[HostName]:
        """Hosts that may be in scope, each once: from imports where those name them, else from all."""
        imports = [one for listener in self.listeners for one in listener.imports.exact]
        wild = [one for listener in self.listeners for one in listener.imports.wildcards]
        if any(one.namespace == ANY for one in wild):
            yield from services.hosts()
            return
        named = (one.host for one in imports)
        placed = (host for one in wild for host in services.definitions(one.namespace))
        yield from dict.fromkeys(chain(named, placed))


_ALL_IMPORTS = Imports(wildcards=(Import(ANY, HostName("*")),))
EVERYTHING = SidecarScope((EgressListener(0, _ALL_IMPORTS),))
"""The implicit scope: `*/*`."""


def scope_for(
    context: Context, sidecars: Buckets[str, SidecarFacts], root_namespace: str
) -> SidecarFacts | None:
    """The Sidecar that applies to `context`; None for none.

    Args:
        context: The workload.
        sidecars: Sidecars by namespace, oldest first.
        root_namespace: Namespace whose Sidecars without a selector are for the whole mesh.
    """
    if context.is_gateway:
        return None
    own = sidecars.get(context.namespace)
    for facts in own:
        if facts.selector is not None and includes(context.labels, facts.selector):
            return facts
    candidates = (*own, *sidecars.get(root_namespace))
    return next((facts for facts in candidates if facts.selector is None), None)


def scope_of(facts: SidecarFacts, spec: SidecarSpec, context: Context, domain: str) -> SidecarScope:
    """The scope that a Sidecar gives to `context`, which is what `.` in it means."""
    listeners = tuple(
        EgressListener(position, _imports(listener.hosts, context.namespace, domain), listener)
        for position, listener in enumerate(spec.egress)
    )
    return SidecarScope(
        listeners or EVERYTHING.listeners, Provenance(facts.ref, facts.generation), spec
    )


def _imports(entries: Iterable[str], namespace: str, domain: str) -> Imports:
    included: list[Import] = []
    excluded: list[Import] = []
    for entry in entries:
        place, slash, name = entry.partition("/")
        if not slash:
            place, name = ANY, entry
        target = included
        if place != NOBODY and place.startswith(NOBODY):
            place, target = place[1:], excluded
        if place == NOBODY:
            continue
        where = namespace if place == "." else place
        target.append(
            Import(where, resolve(name, where, domain) if where != ANY else HostName(name.lower()))
        )
    return Imports(
        exact=frozenset(one for one in included if not is_wildcard(one.host)),
        wildcards=tuple(one for one in included if is_wildcard(one.host)),
        excluded=tuple(excluded),
    )


def _here(one: Import, namespace: str) -> bool:
    return one.namespace in (ANY, namespace)
