"""What the routing table needs to see of the mesh, declared by its consumer.

`sidecar.mesh.view.View` is the real thing; tests also use a small stand-in. Everything is as one workload
context sees it: visibility, Sidecar scope and order are already applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from sidecar.balancing.model import Policy
from sidecar.mesh.model import Context, HostName, Service
from store.objects.base import ObjectRef
from store.objects.mesh_config import MeshConfigSpec
from store.objects.virtual_service import VirtualService

__all__ = ["RuleSource", "Sight"]


class RuleSource(Protocol):
    """One VirtualService with what its names mean."""

    @property
    def ref(self) -> ObjectRef:
        """Identity; its namespace completes short names."""

    @property
    def generation(self) -> int:
        """Generation of the object that is in force."""

    @property
    def hosts(self) -> tuple[HostName, ...]:
        """Completed hosts."""

    @property
    def model(self) -> VirtualService:
        """The parsed object."""


class Sight(Protocol):
    """The mesh as one workload context sees it."""

    @property
    def config(self) -> MeshConfigSpec:
        """Mesh-wide settings."""

    @property
    def context(self) -> Context:
        """The workload that sends."""

    @property
    def outbound_policy(self) -> str:
        """`ALLOW_ANY` or `REGISTRY_ONLY`."""

    def service(self, host: HostName) -> Service | None:
        """The service of exactly this full name (which may be a wildcard), or None."""

    def services(self) -> Iterator[Service]:
        """Every service in sight."""

    def service_for_authority(self, name: str) -> Service | None:
        """The service that a client means by a name, by full name or alias."""

    def aliases(self, service: Service) -> tuple[str, ...]:
        """The usual names by which this client may address a service, the full one first."""

    def resolve_host(self, name: str, namespace: str) -> HostName:
        """The full name of a host that an object of `namespace` mentions."""

    def virtual_services_for(self, host: HostName, gateway: str = ...) -> tuple[RuleSource, ...]:
        """The VirtualServices whose hosts name `host`, in Istio's order."""

    def virtual_service_hosts(self, gateway: str = ...) -> Iterator[HostName]:
        """Every host, exact or wildcard, that a VirtualService of this gateway names."""

    def policy(self, host: HostName, port: int, subset: str) -> Policy:
        """The traffic policy in force for one destination."""

    def subset_labels(self, host: HostName, subset: str) -> Mapping[str, str] | None:
        """Labels of a subset; None when no DestinationRule defines it."""
