"""Sidecar: what a workload's proxy listens on and which hosts it may reach.

Source: istio/api networking/v1alpha3/sidecar.proto.
"""

from __future__ import annotations

from typing import ClassVar

from store.objects.base import MeshObject, Model
from store.objects.connection_pool import ConnectionPoolSettings
from store.objects.destination import Destination
from store.objects.kinds import Kind
from store.objects.ports import SidecarPort
from store.objects.scalars import Items, Maybe, Word
from store.objects.selectors import WorkloadSelector
from store.objects.tls import ServerTLSSettings

__all__ = [
    "CaptureMode",
    "IstioEgressListener",
    "IstioIngressListener",
    "OutboundTrafficPolicy",
    "OutboundTrafficPolicyMode",
    "Sidecar",
    "SidecarPort",
    "SidecarSpec",
    "WorkloadSelector",
]


class CaptureMode(Word):
    """How traffic comes to a listener."""

    DEFAULT = "DEFAULT"
    IPTABLES = "IPTABLES"
    NONE = "NONE"


class OutboundTrafficPolicyMode(Word):
    """What happens to traffic to hosts that the mesh does not know."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"


class OutboundTrafficPolicy(Model):
    """Policy for traffic to hosts that the mesh does not know."""

    mode: Maybe[OutboundTrafficPolicyMode] = None
    """REGISTRY_ONLY (default, where this message is given) drops it; ALLOW_ANY lets it through."""
    egress_proxy: Maybe[Destination] = None
    """A destination that takes all of it (with ALLOW_ANY)."""


class IstioIngressListener(Model):
    """One inbound listener."""

    port: SidecarPort
    """Port to listen on."""
    bind: Maybe[str] = None
    """Address to listen on; default: every address. No unix socket."""
    capture_mode: Maybe[CaptureMode] = None
    """How traffic comes to the listener; default DEFAULT."""
    default_endpoint: Maybe[str] = None
    """Where the application listens: `127.0.0.1:PORT`, `[::1]:PORT`, `0.0.0.0:PORT`, `[::]:PORT` or
    `unix:///path`; default: 127.0.0.1 and the same port."""
    tls: Maybe[ServerTLSSettings] = None
    """TLS taken from outside the mesh (SIMPLE, MUTUAL, OPTIONAL_MUTUAL)."""
    connection_pool: Maybe[ConnectionPoolSettings] = None
    """Limits towards the application; wins over `inboundConnectionPool`."""


class IstioEgressListener(Model):
    """One outbound listener, or the scope of all others."""

    port: Maybe[SidecarPort] = None
    """Port to listen on; left out: the listener is for all ports that no other one names."""
    bind: Maybe[str] = None
    """Address or unix socket to listen on; default 127.0.0.1 without capture."""
    capture_mode: Maybe[CaptureMode] = None
    """How traffic comes to the listener; default DEFAULT."""
    hosts: Items[str]
    """Hosts that may be reached, `namespace/name`: namespace `*`, `.`, `~` (none) or a name; name
    `*`, `*.example.com` or full. `~namespace/name` excludes."""


class SidecarSpec(Model):
    """What a Sidecar says."""

    workload_selector: Maybe[WorkloadSelector] = None
    """Workloads that it is for; left out: the whole namespace (root namespace: the mesh)."""
    ingress: Items[IstioIngressListener] = ()
    """Inbound listeners; default: one for each registered port."""
    egress: Items[IstioEgressListener] = ()
    """Outbound listeners; default: one for all hosts that are exported to this namespace."""
    inbound_connection_pool: Maybe[ConnectionPoolSettings] = None
    """Limits towards the application, for all ports."""
    outbound_traffic_policy: Maybe[OutboundTrafficPolicy] = None
    """Traffic to unknown hosts; default: MeshConfig's."""


class Sidecar(MeshObject):
    """A Sidecar object."""

    expected_kind: ClassVar[Kind | None] = Kind.SIDECAR

    spec: SidecarSpec
    """Listeners and scope."""
