"""WorkloadGroup: what workloads of one kind have in common, and how their readiness is probed.

Source: istio/api networking/v1alpha3/workload_group.proto; limits from the CRD.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from store.objects.base import Choice, MeshObject, Model
from store.objects.kinds import Kind
from store.objects.scalars import Items, Maybe, NaturalInt32, UInt32
from store.objects.workload_entry import WorkloadEntrySpec

__all__ = [
    "ExecHealthCheckConfig",
    "GrpcHealthCheckConfig",
    "HTTPHeader",
    "HTTPHealthCheckConfig",
    "ReadinessProbe",
    "TCPHealthCheckConfig",
    "WorkloadGroup",
    "WorkloadGroupMetadata",
    "WorkloadGroupSpec",
]


class WorkloadGroupMetadata(Model):
    """Labels and annotations that every workload of the group gets."""

    labels: Annotated[dict[str, str], Field(max_length=256)] = Field(default_factory=dict)
    """Labels to attach."""
    annotations: Annotated[dict[str, str], Field(max_length=256)] = Field(default_factory=dict)
    """Annotations to attach."""


class HTTPHeader(Model):
    """One header of a probe."""

    name: Annotated[Maybe[str], Field(pattern=r"^[-_A-Za-z0-9]+$")] = None
    """Name of the header."""
    value: Maybe[str] = None
    """Value of the header."""


class HTTPHealthCheckConfig(Model):
    """Ready when an HTTP request is answered with 200 to 399."""

    path: Maybe[str] = None
    """Path of the request; default `/`."""
    port: UInt32
    """Port of the application."""
    host: Maybe[str] = None
    """Host to connect to; default: the workload's own address."""
    scheme: Maybe[str] = None
    """HTTP (default) or HTTPS."""
    http_headers: Items[HTTPHeader] = ()
    """Headers of the request."""


class TCPHealthCheckConfig(Model):
    """Ready when a TCP connection is accepted."""

    host: Maybe[str] = None
    """Host to connect to; default localhost."""
    port: UInt32
    """Port of the application."""


class ExecHealthCheckConfig(Model):
    """Ready when a command ends with status 0."""

    command: Items[Annotated[str, Field(min_length=1)]]
    """Program and arguments; no shell."""


class GrpcHealthCheckConfig(Model):
    """Ready when the gRPC health service says SERVING."""

    port: Maybe[UInt32] = None
    """Port of the application."""
    service: Maybe[str] = None
    """Service to ask for; default: the server as a whole."""


class ReadinessProbe(Choice):
    """How a workload is found to be ready."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("http_get", "tcp_socket", "exec", "grpc"),)

    initial_delay_seconds: Maybe[NaturalInt32] = None
    """Seconds before the first probe; default 0."""
    timeout_seconds: Maybe[NaturalInt32] = None
    """Seconds for one probe; default 1."""
    period_seconds: Maybe[NaturalInt32] = None
    """Seconds between probes; default 10."""
    success_threshold: Maybe[NaturalInt32] = None
    """Successes in a row until ready; default 1."""
    failure_threshold: Maybe[NaturalInt32] = None
    """Failures in a row until not ready; default 1."""
    http_get: Maybe[HTTPHealthCheckConfig] = None
    """Probe by HTTP."""
    tcp_socket: Maybe[TCPHealthCheckConfig] = None
    """Probe by connecting."""
    exec: Maybe[ExecHealthCheckConfig] = None
    """Probe by a command."""
    grpc: Maybe[GrpcHealthCheckConfig] = None
    """Probe by gRPC."""


class WorkloadGroupSpec(Model):
    """What a WorkloadGroup says."""

    metadata: Maybe[WorkloadGroupMetadata] = None
    """Labels and annotations of the workloads."""
    template: WorkloadEntrySpec
    """What the workloads' entries have in common; no address, no labels."""
    probe: Maybe[ReadinessProbe] = None
    """How readiness is probed; default: not at all."""


class WorkloadGroup(MeshObject):
    """A WorkloadGroup object."""

    expected_kind: ClassVar[Kind | None] = Kind.WORKLOAD_GROUP

    spec: WorkloadGroupSpec
    """The group."""
