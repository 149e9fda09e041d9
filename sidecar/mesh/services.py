"""Index of services: what defines each host name, which workloads stand behind it.

A service is known by (namespace, host). It is defined by ServiceEntries, by workloads that hosts registered
under its name, or by both: then the ServiceEntry says the ports and the endpoints are united (Istio keys
endpoints by host name and namespace as well, pilot/pkg/model/push_context.go initServiceRegistry). Nothing is
converted here; `sidecar.mesh.definitions` reads what the index holds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from immutables import Map

from sidecar.mesh.buckets import Buckets, age
from sidecar.mesh.facts import ServiceEntryFacts, WorkloadEntryFacts
from sidecar.mesh.labels import LabelIndex, SelectorIndex
from sidecar.mesh.model import HostName
from store.objects.base import ObjectRef
from store.objects.host import Workload

_K = TypeVar("_K", bound=Hashable)
_I = TypeVar("_I", bound=Hashable)
_V = TypeVar("_V")

__all__ = ["Definition", "RegisteredWorkload", "ServiceIndex", "WorkloadKey"]


class WorkloadKey(NamedTuple):
    """Identity of a registered workload in the mesh."""

    host: str
    """Mesh host that registered it."""
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class RegisteredWorkload:
    """One workload of one host's registration, with what it takes from that host."""

    key: WorkloadKey
    service: HostName | None
    """Full name of the service that it belongs to; None when it names none."""
    workload: Workload
    """The registration itself."""
    address: str
    """Where its inbound listener is."""
    locality: str
    """`region/zone/subzone`."""
    network: str
    """Network of the address."""
    is_draining: bool
    """Whether it (or its whole host) is leaving."""
    create_revision: int = 0
    """Revision at which its host's registration was created."""

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the workload."""
        return self.workload.labels


@dataclass(frozen=True, slots=True)
class Definition:
    """All that defines one service; never empty while it is in the index."""

    entries: tuple[ServiceEntryFacts, ...] = ()
    """ServiceEntries of its namespace that name its host, oldest first."""
    workloads: Map[WorkloadKey, RegisteredWorkload] = field(default_factory=Map)
    """Workloads registered under its name."""

    def __bool__(self) -> bool:
        return bool(self.entries) or bool(len(self.workloads))


@dataclass(frozen=True, slots=True)
class ServiceIndex:
    """Immutable; the `with_` and `without_` methods give the next one."""

    by_namespace: Map[str, Map[HostName, Definition]] = field(default_factory=Map)
    """Definitions by namespace and host."""
    namespaces: Map[HostName, Map[str, None]] = field(default_factory=Map)
    """Namespaces in which a host is defined."""
    by_address: Buckets[str, ServiceEntryFacts] = field(default_factory=Buckets)
    """ServiceEntries by virtual address."""
    entries_with_selector: SelectorIndex[ObjectRef, ServiceEntryFacts] = field(
        default_factory=SelectorIndex
    )
    """ServiceEntries that select workloads."""
    workload_entries: LabelIndex[ObjectRef, WorkloadEntryFacts] = field(default_factory=LabelIndex)
    """WorkloadEntries by their labels."""
    registered: LabelIndex[WorkloadKey, RegisteredWorkload] = field(default_factory=LabelIndex)
    """Registered workloads by their labels."""

    @classmethod
    def of(cls, entries: Iterable[ServiceEntryFacts]) -> ServiceIndex:
        """All of these ServiceEntries at once."""
        defined: dict[str, dict[HostName, list[ServiceEntryFacts]]] = {}
        places: dict[HostName, dict[str, None]] = {}
        addresses: list[tuple[str, ServiceEntryFacts]] = []
        selectors: SelectorIndex[ObjectRef, ServiceEntryFacts] = SelectorIndex()
        for facts in entries:
            namespace = facts.ref.namespace
            for host in facts.hosts:
                defined.setdefault(namespace, {}).setdefault(host, []).append(facts)
                places.setdefault(host, {})[namespace] = None
            addresses += [(address, facts) for address in dict.fromkeys(facts.addresses)]
            if facts.selector is not None:
                selectors = selectors.add(namespace, facts.ref, facts, facts.selector)
        return cls(
            by_namespace=Map(
                {
                    namespace: Map(
                        {host: Definition(tuple(sorted(f, key=age))) for host, f in here.items()}
                    )
                    for namespace, here in defined.items()
                }
            ),
            namespaces=Map({host: Map(here) for host, here in places.items()}),
            by_address=Buckets.of(addresses),
            entries_with_selector=selectors,
        )

    def definition(self, namespace: str, host: HostName) -> Definition | None:
        """What defines `host` in `namespace`, or None."""
        return self.by_namespace.get(namespace, _NO_DEFINITIONS).get(host)

    def definitions(self, namespace: str) -> Map[HostName, Definition]:
        """Every definition of `namespace` by host."""
        return self.by_namespace.get(namespace, _NO_DEFINITIONS)

    def namespaces_of(self, host: HostName) -> Map[str, None]:
        """The namespaces in which exactly `host` is defined, in no order."""
        return self.namespaces.get(host, _NO_NAMESPACES)

    def hosts(self) -> Iterator[HostName]:
        """Every host that anything defines, in no order."""
        return iter(self.namespaces)

    def with_entry(self, facts: ServiceEntryFacts) -> ServiceIndex:
        """With one more ServiceEntry, which must not be in it yet."""
        index = self
        for host in facts.hosts:
            old = index.definition(facts.ref.namespace, host) or Definition()
            entries = tuple(sorted((*old.entries, facts), key=age))
            index = index._put(facts.ref.namespace, host, replace(old, entries=entries))
        by_address = index.by_address
        for address in facts.addresses:
            by_address = by_address.add(address, facts)
        selectors = index.entries_with_selector
        if facts.selector is not None:
            namespace = facts.ref.namespace
            selectors = selectors.add(namespace, facts.ref, facts, facts.selector)
        return replace(index, by_address=by_address, entries_with_selector=selectors)

    def without_entry(self, facts: ServiceEntryFacts) -> ServiceIndex:
        """Without a ServiceEntry that was added as `facts`."""
        index = self
        for host in facts.hosts:
            old = index.definition(facts.ref.namespace, host) or Definition()
            entries = tuple(other for other in old.entries if other.ref != facts.ref)
            index = index._put(facts.ref.namespace, host, replace(old, entries=entries))
        by_address = index.by_address
        for address in facts.addresses:
            by_address = by_address.remove(address, facts.ref)
        selectors = index.entries_with_selector
        if facts.selector is not None:
            selectors = selectors.remove(facts.ref.namespace, facts.ref, facts.selector)
        return replace(index, by_address=by_address, entries_with_selector=selectors)

    def with_workload_entry(self, facts: WorkloadEntryFacts) -> ServiceIndex:
        """With one more WorkloadEntry, which must not be in it yet."""
        entries = self.workload_entries.add(
            facts.ref.namespace, facts.ref, facts, dict(facts.labels)
        )
        return replace(self, workload_entries=entries)

    def without_workload_entry(self, facts: WorkloadEntryFacts) -> ServiceIndex:
        """Without a WorkloadEntry that was added as `facts`."""
        entries = self.workload_entries.remove(facts.ref.namespace, facts.ref)
        return replace(self, workload_entries=entries)

    def with_workload(self, one: RegisteredWorkload) -> ServiceIndex:
        """With one more registered workload, which must not be in it yet."""
        namespace = one.key.namespace
        index = replace(self, registered=self.registered.add(namespace, one.key, one, one.labels))
        if one.service is None:
            return index
        old = index.definition(namespace, one.service) or Definition()
        workloads = old.workloads.set(one.key, one)
        return index._put(namespace, one.service, replace(old, workloads=workloads))

    def without_workload(self, one: RegisteredWorkload) -> ServiceIndex:
        """Without a registered workload that was added as `one`."""
        namespace = one.key.namespace
        index = replace(self, registered=self.registered.remove(namespace, one.key))
        if one.service is None:
            return index
        old = index.definition(namespace, one.service)
        if old is None or one.key not in old.workloads:
            return index
        workloads = old.workloads.delete(one.key)
        return index._put(namespace, one.service, replace(old, workloads=workloads))

    def hosts_selecting(self, namespace: str, labels: dict[str, str]) -> set[HostName]:
        """Hosts of the ServiceEntries of `namespace` that select a workload with `labels`."""
        owners = self.entries_with_selector.owners(namespace, labels)
        return {host for facts in owners for host in facts.hosts}

    def _put(self, namespace: str, host: HostName, definition: Definition) -> ServiceIndex:
        """With `definition` for the service, or without the service when that is empty."""
        here = self.definitions(namespace)
        places = self.namespaces.get(host, _NO_NAMESPACES)
        if definition:
            here, places = here.set(host, definition), places.set(namespace, None)
        elif host in here:
            here, places = here.delete(host), places.delete(namespace)
        return replace(
            self,
            by_namespace=_kept(self.by_namespace, namespace, here),
            namespaces=_kept(self.namespaces, host, places),
        )


_NO_DEFINITIONS: Map[HostName, Definition] = Map()
_NO_NAMESPACES: Map[str, None] = Map()


def _kept(outer: Map[_K, Map[_I, _V]], key: _K, inner: Map[_I, _V]) -> Map[_K, Map[_I, _V]]:
    """`outer` with `inner` under `key`, or without `key` when `inner` is empty."""
    if len(inner):
        return outer.set(key, inner)
    return outer.delete(key) if key in outer else outer
