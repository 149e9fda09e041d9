"""Gateway: what a sidecar in gateway role listens on.

Source: istio/api networking/v1alpha3/gateway.proto.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from store.objects.base import MeshObject, Model
from store.objects.kinds import Kind
from store.objects.ports import Port
from store.objects.scalars import Items, Maybe
from store.objects.tls import ServerTLSMode, ServerTLSSettings, TLSCertificate, TLSProtocol

__all__ = [
    "Gateway",
    "GatewaySpec",
    "Port",
    "Server",
    "ServerTLSMode",
    "ServerTLSSettings",
    "TLSCertificate",
    "TLSProtocol",
]


class Server(Model):
    """One port that is opened, for some hosts."""

    port: Port
    """Port and protocol to listen on."""
    bind: Maybe[str] = None
    """Address or `unix:///path` to listen on; default: every address."""
    hosts: Items[str]
    """Hosts that are exposed, `[namespace/]name`: the namespace (`*` default, `.`, or a name) says
    whose VirtualServices may bind, the name may be `*`, `*.example.com` or full."""
    tls: Maybe[ServerTLSSettings] = None
    """TLS of the port; needed for HTTPS and TLS."""
    default_endpoint: Maybe[str] = None
    """Not supported, by Istio either."""
    name: Maybe[str] = None
    """Name of the server, unique in the object."""


class GatewaySpec(Model):
    """What a Gateway says."""

    servers: Items[Server] = ()
    """Ports to open."""
    selector: dict[str, str] = Field(default_factory=dict)
    """Labels of the gateway workloads that open them, in any namespace; empty: all gateways."""


class Gateway(MeshObject):
    """A Gateway object."""

    expected_kind: ClassVar[Kind | None] = Kind.GATEWAY

    spec: GatewaySpec
    """What is listened on."""
