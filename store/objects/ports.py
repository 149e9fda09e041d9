"""Ports as Gateway, Sidecar and ServiceEntry declare them.

Source: istio/api networking/v1alpha3, messages Port, SidecarPort and ServicePort.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from store.objects.base import Model
from store.objects.scalars import Maybe, UInt32

__all__ = ["Port", "ServicePort", "SidecarPort"]


class Port(Model):
    """The port that a Gateway's server listens on."""

    number: UInt32
    """Port number; 0 only where `bind` names a unix socket."""
    protocol: str
    """HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS."""
    name: str
    """Label of the port."""
    target_port: Maybe[UInt32] = None
    """Deprecated; has no effect."""


class SidecarPort(Model):
    """The port of a Sidecar's listener."""

    number: Maybe[UInt32] = None
    """Port number; 0 or left out where `bind` names a unix socket."""
    protocol: Maybe[str] = None
    """HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS."""
    name: Maybe[str] = None
    """Label of the port."""
    target_port: Maybe[UInt32] = None
    """Deprecated; has no effect."""


class ServicePort(Model):
    """One port of a ServiceEntry."""

    number: UInt32
    """Port that clients address."""
    protocol: Annotated[Maybe[str], Field(max_length=256)] = None
    """HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS, ...; left out: found out from the traffic."""
    name: Annotated[str, Field(max_length=256)]
    """Label of the port: the key into an endpoint's own `ports`."""
    target_port: Maybe[UInt32] = None
    """Port on the endpoints; default: the same as `number`."""
