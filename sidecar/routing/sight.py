"""What the routing table needs to see of the mesh, declared by its consumer.

`sidecar.mesh.view.View` is the real thing; tests also use a small stand-in. Everything is as one workload
context sees it: visibility, Sidecar scope and order are already applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from sidecar.balancing.model import Policy
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, HostName, Service
from sidecar.mesh.scopes import EgressListener, SidecarScope
from store.objects.base import ObjectRef
from store.objects.gateway import Gateway
from store.objects.mesh_config import MeshConfigSpec
from store.objects.virtual_service import VirtualService

__all__ = ["GatewaySight", "GatewaySource", "RuleSource", "Sight"]


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


class GatewaySource(Protocol):
    """One Gateway that selects this workload."""

    @property
    def ref(self) -> ObjectRef:
        """Identity."""

    @property
    def generation(self) -> int:
        """Generation of the object that is in force."""

    @property
    def model(self) -> Gateway:
        """The parsed object."""


class Sight(Protocol):
    """The mesh as one workload context sees it."""

    @property
    def mesh(self) -> Mesh:
        """The mesh itself, for its index of service names alone."""

    @property
    def config(self) -> MeshConfigSpec:
        """Mesh-wide settings."""

    @property
    def context(self) -> Context:
        """The workload that sends."""

    @property
    def outbound_policy(self) -> str:
        """`ALLOW_ANY` or `REGISTRY_ONLY`."""

    @property
    def sidecar_scope(self) -> SidecarScope:
        """The Sidecar that applies, and what its egress listeners import."""

    def service(self, host: HostName) -> Service | None:
        """The service of exactly this full name (which may be a wildcard), or None."""

    def destination(self, host: HostName) -> Service | None:
        """The service of exactly this name that a route may name: not limited by Sidecar imports."""

    def services(self) -> Iterator[Service]:
        """Every service in sight, in order of creation."""

    def listener_services(self, listener: EgressListener) -> Iterator[Service]:
        """The services that one egress listener imports, in order of creation."""

    def service_for_authority(self, name: str) -> Service | None:
        """The service that a client means by a name, by full name or alias."""

    def services_at(self, address: str) -> tuple[Service, ...]:
        """The services that have a virtual address (without brackets), in order of creation."""

    def authority_hosts(self, name: str) -> tuple[HostName, ...]:
        """Every full host name that this client may mean by a name, in order of precedence."""

    def aliases(self, service: Service) -> tuple[str, ...]:
        """The usual names by which this client may address a service, the full one first; addresses too."""

    def resolve_host(self, name: str, namespace: str) -> HostName:
        """The full name of a host that an object of `namespace` mentions."""

    def virtual_services_for(self, host: HostName, gateway: str = ...) -> tuple[RuleSource, ...]:
        """The VirtualServices of the most specific host that covers `host`, in Istio's order."""

    def virtual_service_hosts(self, gateway: str = ...) -> Iterator[HostName]:
        """Every host, exact or wildcard, that a VirtualService of this gateway names."""

    def delegate(self, ref: ObjectRef, root_namespace: str) -> RuleSource | None:
        """The delegate that a VirtualService of a namespace names; None where it may not use one."""

    def context_tag(self, host: HostName) -> str:
        """Name of the context where the cluster of `host` may differ from other contexts', else empty."""

    def policy(self, host: HostName, port: int, subset: str) -> Policy:
        """The traffic policy in force for one destination."""

    def subset_labels(self, host: HostName, subset: str) -> Mapping[str, str] | None:
        """Labels of a subset; None when no DestinationRule defines it."""


class GatewaySight(Sight, Protocol):
    """The mesh as a gateway sees it."""

    def gateways(self) -> tuple[GatewaySource, ...]:
        """Gateways whose selector matches this workload, oldest first."""

    def subsets(self, host: HostName) -> tuple[str, ...]:
        """Names of the subsets that DestinationRules define for a host, sorted."""

    def virtual_services_of(self, gateway: str) -> tuple[RuleSource, ...]:
        """Every VirtualService bound to a gateway (`<namespace>/<name>`), in Istio's order."""
