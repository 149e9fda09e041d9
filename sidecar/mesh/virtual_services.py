"""Index of VirtualServices: by gateway, audience and host, and by the roots that delegate to one.

Answers which virtual services a namespace may use for a host and in which order. For sidecars the most
specific host of any visible virtual service takes a name (Istio pilot/pkg/networking/core/route/route.go,
section "host to virtual service"); order is private, exported, public, each oldest first
(push_context.go virtualServiceIndex).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from immutables import Map

from sidecar.mesh.buckets import HostTables, age
from sidecar.mesh.facts import MESH_GATEWAY, VirtualServiceFacts
from sidecar.mesh.model import HostName
from sidecar.mesh.names import wildcards_over
from sidecar.mesh.visibility import Audience, audiences, audiences_seen_by
from store.objects.base import ObjectRef

__all__ = ["VirtualServiceIndex"]

_Members = Map[ObjectRef, VirtualServiceFacts]
_K = TypeVar("_K", bound=Hashable)


class _Shelf(NamedTuple):
    """Where a virtual service stands: for one gateway and one audience."""

    gateway: str
    audience: Audience


@dataclass(frozen=True, slots=True)
class VirtualServiceIndex:
    """Immutable; `add` and `remove` give the next one."""

    by_host: HostTables[_Shelf, VirtualServiceFacts] = field(default_factory=HostTables)
    """Virtual services of each shelf by their hosts."""
    bound: Map[_Shelf, _Members] = field(default_factory=Map)
    """Virtual services of each shelf of a real gateway (not `mesh`)."""
    delegates: _Members = field(default_factory=Map)
    """Virtual services without hosts."""
    roots: Map[ObjectRef, _Members] = field(default_factory=Map)
    """Delegate to the virtual services whose rules name it."""

    @classmethod
    def of(cls, all_facts: Iterable[VirtualServiceFacts]) -> VirtualServiceIndex:
        """All of them at once."""
        rows: list[tuple[_Shelf, HostName, VirtualServiceFacts]] = []
        bound: dict[_Shelf, dict[ObjectRef, VirtualServiceFacts]] = {}
        roots: dict[ObjectRef, dict[ObjectRef, VirtualServiceFacts]] = {}
        delegates: dict[ObjectRef, VirtualServiceFacts] = {}
        for facts in all_facts:
            for shelf in _shelves(facts):
                rows += [(shelf, host, facts) for host in facts.hosts]
                if shelf.gateway != MESH_GATEWAY:
                    bound.setdefault(shelf, {})[facts.ref] = facts
            for delegate in facts.delegates:
                roots.setdefault(delegate, {})[facts.ref] = facts
            if not facts.hosts:
                delegates[facts.ref] = facts
        return cls(HostTables.of(rows), _nested(bound), Map(delegates), _nested(roots))

    def add(self, facts: VirtualServiceFacts) -> VirtualServiceIndex:
        """With one more virtual service, which must not be in it yet."""
        by_host, bound, roots, delegates = self.by_host, self.bound, self.roots, self.delegates
        for shelf in _shelves(facts):
            for host in facts.hosts:
                by_host = by_host.add(shelf, host, facts)
            if shelf.gateway != MESH_GATEWAY:
                bound = bound.set(shelf, bound.get(shelf, _NONE).set(facts.ref, facts))
        for delegate in facts.delegates:
            roots = roots.set(delegate, roots.get(delegate, _NONE).set(facts.ref, facts))
        if not facts.hosts:
            delegates = delegates.set(facts.ref, facts)
        return VirtualServiceIndex(by_host, bound, delegates, roots)

    def remove(self, facts: VirtualServiceFacts) -> VirtualServiceIndex:
        """Without a virtual service that was added as `facts`."""
        by_host, bound, roots, delegates = self.by_host, self.bound, self.roots, self.delegates
        for shelf in _shelves(facts):
            for host in facts.hosts:
                by_host = by_host.remove(shelf, host, facts.ref)
            if shelf in bound:
                bound = _without(bound, shelf, facts.ref)
        for delegate in facts.delegates:
            roots = _without(roots, delegate, facts.ref)
        if facts.ref in delegates:
            delegates = delegates.delete(facts.ref)
        return VirtualServiceIndex(by_host, bound, delegates, roots)

    def roots_of(self, delegate: ObjectRef) -> tuple[VirtualServiceFacts, ...]:
        """The virtual services that delegate rules to `delegate`, oldest first."""
        return tuple(sorted(self.roots.get(delegate, _NONE).values(), key=age))

    def for_host(
        self,
        host: HostName,
        gateway: str,
        namespace: str,
        is_imported: Callable[[VirtualServiceFacts], bool],
    ) -> tuple[VirtualServiceFacts, ...]:
        """The virtual services of the most specific virtual service host that covers `host`, in order.

        Args:
            host: Full host name or wildcard.
            gateway: `mesh` or `<namespace>/<name>`.
            namespace: Namespace of the workload that asks.
            is_imported: Whether the workload's Sidecar scope takes a virtual service.
        """
        tables = [self.by_host.table(shelf) for shelf in _read_order(gateway, namespace)]
        tables = [table for table in tables if len(table)]
        if not tables:
            return ()
        for name in (host, *wildcards_over(host)):
            found = [f for table in tables for f in table.get(name) if is_imported(f)]
            if found:
                return tuple(dict.fromkeys(found))
        return ()

    def hosts(
        self, gateway: str, namespace: str, serves: Callable[[VirtualServiceFacts], bool]
    ) -> Iterator[HostName]:
        """Every host of a virtual service for `gateway` that serves and that `namespace` sees, each once."""
        seen: set[HostName] = set()
        for shelf in _read_order(gateway, namespace):
            table = self.by_host.table(shelf)
            for host in table:
                if host not in seen and any(serves(facts) for facts in table.get(host)):
                    seen.add(host)
                    yield host

    def bound_to(self, gateway: str, namespace: str) -> tuple[VirtualServiceFacts, ...]:
        """Every virtual service bound to a real gateway that `namespace` sees, in Istio's order."""
        found: dict[ObjectRef, VirtualServiceFacts] = {}
        for shelf in _read_order(gateway, namespace):
            for facts in sorted(self.bound.get(shelf, _NONE).values(), key=age):
                found.setdefault(facts.ref, facts)
        return tuple(found.values())


_NONE: _Members = Map()


def _shelves(facts: VirtualServiceFacts) -> list[_Shelf]:
    seen = audiences(facts.export_to, facts.ref.namespace)
    return [_Shelf(gateway, audience) for gateway in facts.gateways for audience in seen]


def _read_order(gateway: str, namespace: str) -> list[_Shelf]:
    return [_Shelf(gateway, audience) for audience in audiences_seen_by(namespace)]


def _nested(
    index: Mapping[_K, Mapping[ObjectRef, VirtualServiceFacts]],
) -> Map[_K, _Members]:
    return Map({key: Map(members) for key, members in index.items()})


def _without(index: Map[_K, _Members], key: _K, ref: ObjectRef) -> Map[_K, _Members]:
    members = index.get(key, _NONE)
    if ref not in members:
        return index
    rest = members.delete(ref)
    return index.set(key, rest) if len(rest) else index.delete(key)
