"""HostRegistration: what one host tells the mesh about itself and its workloads.

Written by the host's own sidecar under its lease (key `hosts/<host>`), never by people, so it is not one of
the published kinds. Leaving is a step, not an absence: `draining`, then `withdrawn`, then deleted.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from store.keys import is_host_name, is_name, is_namespace
from store.objects.base import Model
from store.objects.scalars import Items, PortNumber, Word

__all__ = [
    "HOST_API_VERSION",
    "HOST_KIND",
    "HostNameText",
    "HostRegistration",
    "NamespaceText",
    "Workload",
    "WorkloadHealth",
    "WorkloadPort",
    "WorkloadState",
]

HOST_API_VERSION = "meshd.io/v1"
HOST_KIND = "HostRegistration"


def _checked_name(text: str) -> str:
    if not is_name(text):
        raise PydanticCustomError(
            "name", 'found "{found}", which is not a DNS-1123 subdomain', {"found": text[:80]}
        )
    return text


def _checked_service(text: str) -> str:
    return _checked_name(text) if text else text


def _checked_namespace(text: str) -> str:
    if not is_namespace(text):
        raise PydanticCustomError(
            "name", 'found "{found}", which is not a DNS-1123 label', {"found": text[:80]}
        )
    return text


def _checked_host(text: str) -> str:
    if not is_host_name(text):
        raise PydanticCustomError(
            "name", 'found "{found}", which cannot name a host', {"found": text[:80]}
        )
    return text


def _checked_address(text: str) -> str:
    if text:
        try:
            ip_address(text)
        except ValueError:
            raise PydanticCustomError(
                "address", 'found "{found}", which is not an IP address', {"found": text[:80]}
            ) from None
    return text


_Name = Annotated[str, AfterValidator(_checked_name)]
_ServiceName = Annotated[str, AfterValidator(_checked_service)]
NamespaceText = Annotated[str, AfterValidator(_checked_namespace)]
"""The name of a namespace."""
HostNameText = Annotated[str, AfterValidator(_checked_host)]
"""The name of a host."""
_Address = Annotated[str, AfterValidator(_checked_address)]
"""An IP address, or empty. Peers connect to it as it is: no name is looked up."""


class WorkloadState(Word):
    """Where a workload, or a whole host, stands in its life."""

    SERVING = "serving"
    """Takes requests."""
    DRAINING = "draining"
    """Finishes what it has; gets nothing new."""
    WITHDRAWN = "withdrawn"
    """Gone on purpose; the key is deleted next."""


class WorkloadHealth(Word):
    """Whether the workload's own probe succeeds."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class WorkloadPort(Model):
    """One port of a workload."""

    number: PortNumber
    """Port of the service, that clients name."""
    name: str = ""
    """Name of the port; the service's port is found by it, else by number."""
    protocol: str = ""
    """HTTP, HTTP2, GRPC, TCP, TLS, ...; empty: found out from the traffic."""
    target_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port that peers connect to on this host (the sidecar's inbound listener); 0: `number`."""


class Workload(Model):
    """One workload of a host: an endpoint of a service, or of ServiceEntries that select it."""

    name: _Name
    """Name, unique in its namespace on this host."""
    namespace: NamespaceText = "default"
    """Namespace that it belongs to."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that selectors and subsets go by."""
    service: _ServiceName = ""
    """Host name of the service that it is an endpoint of (a short name is completed with the
    namespace); empty: only ServiceEntries that select its labels."""
    ports: Items[WorkloadPort] = ()
    """Ports."""
    address: _Address = ""
    """IP address that peers connect to; empty: the host's."""
    locality: str = ""
    """`region/zone/subzone`; empty: the host's."""
    network: str = ""
    """Network of the address; empty: the host's."""
    weight: Annotated[int, Field(ge=0, le=65535)] = 1
    """Load-balancing weight, at most 65535 (Envoy sums them in 32 bits); 0 counts as 1."""
    service_account: str = ""
    """Service account, the last part of its SPIFFE id."""
    tls_mode: Literal["", "istio"] = ""
    """`istio` where the sidecar in front of it takes mutual TLS."""
    state: WorkloadState = WorkloadState.SERVING
    """Where it stands in its life."""
    health: WorkloadHealth = WorkloadHealth.HEALTHY
    """Whether its own probe succeeds."""


class HostRegistration(Model):
    """All that one host registers, in one key."""

    api_version: Literal["meshd.io/v1"]
    """Always `meshd.io/v1`."""
    kind: Literal["HostRegistration"]
    """Always `HostRegistration`."""
    host: HostNameText
    """Name of the host: its key, its gossip name."""
    state: WorkloadState = WorkloadState.SERVING
    """Where the host as a whole stands; a draining or withdrawn host overrules its workloads."""
    address: _Address = ""
    """IP address of workloads that name none."""
    locality: str = ""
    """`region/zone/subzone` of workloads that name none."""
    network: str = ""
    """Network of workloads that name none."""
    gossip_address: str = ""
    """`address:port` of its gossip; empty: it does not gossip."""
    workloads: Items[Workload] = ()
    """Its workloads, each name once in a namespace."""

    @field_validator("workloads")
    @classmethod
    def _each_name_once(cls, workloads: tuple[Workload, ...]) -> tuple[Workload, ...]:
        names = Counter(f"{workload.namespace}/{workload.name}" for workload in workloads)
        twice = sorted(name for name, count in names.items() if count > 1)
        if twice:
            raise PydanticCustomError(
                "duplicate", "workload {names} is given twice", {"names": ", ".join(twice)[:200]}
            )
        return workloads
