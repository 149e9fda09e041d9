"""WorkloadEntry: one endpoint that is not registered by a host of the mesh.

Source: istio/api networking/v1alpha3/workload_entry.proto; limits of length from the CRD.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from store.objects.base import MeshObject, Model
from store.objects.kinds import Kind
from store.objects.scalars import Maybe, UInt32

__all__ = ["WorkloadEntry", "WorkloadEntrySpec"]


class WorkloadEntrySpec(Model):
    """What a WorkloadEntry says; also each inline endpoint of a ServiceEntry."""

    address: Annotated[Maybe[str], Field(max_length=256)] = None
    """IP address, or DNS name (with DNS resolution only), or `unix:///path`; may be left out only
    where `network` is given."""
    ports: Annotated[dict[str, UInt32], Field(max_length=128)] = Field(default_factory=dict)
    """Port of this endpoint by name of the service's port; wins over `targetPort`."""
    labels: Annotated[dict[str, str], Field(max_length=256)] = Field(default_factory=dict)
    """Labels of the endpoint, which selectors and subsets go by."""
    network: Annotated[Maybe[str], Field(max_length=2048)] = None
    """Network that the address belongs to; left out: the common one."""
    locality: Annotated[Maybe[str], Field(max_length=2048)] = None
    """`region/zone/subzone`; left out: unknown."""
    weight: Maybe[UInt32] = None
    """Load-balancing weight; 0 and left out count as 1."""
    service_account: Annotated[Maybe[str], Field(max_length=253)] = None
    """Service account of the workload, the last part of its SPIFFE id."""


class WorkloadEntry(MeshObject):
    """A WorkloadEntry object."""

    expected_kind: ClassVar[Kind | None] = Kind.WORKLOAD_ENTRY

    spec: WorkloadEntrySpec
    """The endpoint."""
