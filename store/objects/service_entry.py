"""ServiceEntry: a service that the mesh is told about.

Source: istio/api networking/v1alpha3/service_entry.proto; limits of number and length from the CRD.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from store.objects.base import MeshObject, Model
from store.objects.kinds import Kind
from store.objects.ports import ServicePort
from store.objects.scalars import Items, Maybe, Word
from store.objects.selectors import WorkloadSelector
from store.objects.workload_entry import WorkloadEntrySpec

__all__ = [
    "Location",
    "Resolution",
    "ServiceEntry",
    "ServiceEntrySpec",
    "ServicePort",
    "WorkloadEntrySpec",
    "WorkloadSelector",
]


class Location(Word):
    """Whether a service lies within the mesh."""

    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


class Resolution(Word):
    """How the addresses of a service's endpoints are found."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


_Address = Annotated[str, Field(max_length=64)]


class ServiceEntrySpec(Model):
    """What a ServiceEntry says."""

    hosts: Annotated[Items[str], Field(min_length=1, max_length=256)]
    """Names of the service; wildcards such as `*.example.com` with NONE, STATIC and DYNAMIC_DNS."""
    addresses: Annotated[Items[_Address], Field(max_length=256)] = ()
    """Virtual addresses that clients may use; CIDRs with NONE and STATIC only."""
    ports: Annotated[Items[ServicePort], Field(max_length=256)] = ()
    """Ports, each name and each number once."""
    location: Maybe[Location] = None
    """MESH_EXTERNAL (default) or MESH_INTERNAL."""
    resolution: Maybe[Resolution] = None
    """NONE (default): the address that the client asked for; STATIC: the endpoints given or
    selected; DNS: all addresses of the names; DNS_ROUND_ROBIN: the first one that DNS gives;
    DYNAMIC_DNS: the name that the client asked for."""
    endpoints: Annotated[Items[WorkloadEntrySpec], Field(max_length=4096)] = ()
    """Endpoints, inline; exclusive with `workloadSelector`."""
    workload_selector: Maybe[WorkloadSelector] = None
    """WorkloadEntries and registered workloads of the same namespace that are the endpoints."""
    export_to: Items[str] = ()
    """Namespaces that see the service: `*` (all), `.` (its own), `~` (none), or names.
    Default: MeshConfig's `defaultServiceExportTo`, else `*`."""
    subject_alt_names: Items[str] = ()
    """Names of which the server's certificate must bear one, where clients verify it."""


class ServiceEntry(MeshObject):
    """A ServiceEntry object."""

    expected_kind: ClassVar[Kind | None] = Kind.SERVICE_ENTRY

    spec: ServiceEntrySpec
    """The service."""
