"""Destination and PortSelector: where traffic is sent to, in the words of the service registry.

Source: istio/api networking/v1alpha3/virtual_service.proto, messages Destination and PortSelector.
"""

from __future__ import annotations

from store.objects.base import Model
from store.objects.scalars import Maybe, UInt32

__all__ = ["Destination", "PortSelector"]


class PortSelector(Model):
    """A port of a service, by number."""

    number: Maybe[UInt32] = None
    """Port number of the service."""


class Destination(Model):
    """A service, one of its subsets, and one of its ports."""

    host: str
    """Name of a service in the registry; a short name is completed with the object's own namespace."""
    subset: Maybe[str] = None
    """Name of a subset in the DestinationRule of that host; left out: all endpoints."""
    port: Maybe[PortSelector] = None
    """Port of the service; needed when it has several, else its only port or the port of the request."""
