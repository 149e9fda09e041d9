"""What a change of objects and registrations may make different, in terms of host names and gateways.

Collected from the old and the new version of each object, so that a host that was given up is named as well as
one that was won. Nothing is left out; a name too many costs a compilation that finds nothing new.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sidecar.mesh.facts import (
    MESH_GATEWAY,
    DestinationRuleFacts,
    Facts,
    GatewayFacts,
    ServiceEntryFacts,
    SidecarFacts,
    VirtualServiceFacts,
    WorkloadEntryFacts,
)
from sidecar.mesh.model import HostName, MeshChange
from sidecar.mesh.names import is_wildcard
from sidecar.mesh.services import RegisteredWorkload, ServiceIndex
from sidecar.mesh.virtual_services import VirtualServiceIndex
from store.objects.base import ObjectRef
from store.objects.kinds import Kind

__all__ = ["Affected", "Indexed"]


class Indexed(Protocol):
    """The indexes that tell who depends on an object."""

    @property
    def services(self) -> ServiceIndex:
        """Services by host and selector."""

    @property
    def virtual_services(self) -> VirtualServiceIndex:
        """VirtualServices and their delegates."""


class Affected:
    """Gathers what a change touches; `change` says it."""

    def __init__(self) -> None:
        self._hosts: set[HostName] = set()
        self._routed: set[HostName] = set()
        self._gateways: set[ObjectRef] = set()
        self._everything = False

    def note(self, ref: ObjectRef, facts: Facts | None, indexes: Indexed) -> None:
        """One version of the object `ref`: the old or the new one, None for absent."""
        if ref.kind is Kind.VIRTUAL_SERVICE:
            for root in indexes.virtual_services.roots_of(ref):
                self._note_virtual_service(root)
        match facts:
            case VirtualServiceFacts():
                self._note_virtual_service(facts)
            case DestinationRuleFacts():
                self._note_hosts((facts.host,))
            case ServiceEntryFacts():
                self._note_hosts(facts.hosts)
            case WorkloadEntryFacts():
                namespace, labels = facts.ref.namespace, dict(facts.labels)
                self._note_hosts(indexes.services.hosts_selecting(namespace, labels))
            case SidecarFacts():
                self._everything = True
            case GatewayFacts():
                self._gateways.add(facts.ref)
            case None:
                pass

    def note_workload(self, one: RegisteredWorkload, services: ServiceIndex) -> None:
        """A registered workload came, went or changed."""
        if one.service is not None:
            self._note_hosts((one.service,))
        self._note_hosts(services.hosts_selecting(one.key.namespace, one.labels))

    def change(self) -> MeshChange:
        """All that was noted."""
        every = self._hosts | self._routed
        patterns = frozenset(filter(is_wildcard, every))
        return MeshChange(
            hosts=frozenset(every) - patterns,
            patterns=patterns,
            gateways=frozenset(self._gateways),
            everything=self._everything,
            routed=frozenset(self._routed - self._hosts),
        )

    def _note_virtual_service(self, facts: VirtualServiceFacts) -> None:
        self._routed.update(facts.hosts)
        for gateway in facts.gateways:
            if gateway != MESH_GATEWAY:
                namespace, _, name = gateway.partition("/")
                self._gateways.add(ObjectRef(Kind.GATEWAY, namespace, name))

    def _note_hosts(self, hosts: Iterable[HostName]) -> None:
        self._hosts.update(hosts)
