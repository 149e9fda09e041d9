"""xDS resources as values, and the set of them that Envoy should have.

`Resource.version` is a hash of canonical bytes, so a restarted sidecar that compiles the same snapshot
changes nothing in a running Envoy (Envoy xDS protocol, "resource versioning").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.certificates.model import SecretSource
from sidecar.mesh.model import Provenance

__all__ = ["DesiredChange", "Resource", "TypeUrl"]


class TypeUrl(StrEnum):
    """The resource types we serve, in the order in which they are sent (make before break)."""

    CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
    ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    VIRTUAL_HOST = "type.googleapis.com/envoy.config.route.v3.VirtualHost"


@dataclass(frozen=True, slots=True)
class Resource:
    """One compiled resource."""

    type_url: TypeUrl
    name: str
    version: str
    """Hex hash of `body`."""
    body: bytes = field(repr=False)
    """Canonical (deterministically serialised) protobuf bytes of the message itself, not of an Any. May hold keys."""
    aliases: tuple[str, ...] = ()
    """VHDS only: names that Envoy asked under, `<route config>/<authority>`."""
    sources: tuple[Provenance, ...] = ()
    """Objects that it was made from: where a NACK is reported."""
    needs: frozenset[str] | None = None
    """Listeners, routes and virtual hosts: names of the clusters that it names, which must be warm before it is
    sent. None: not told; then it waits for every cluster changed up to then. Not part of the version."""
    domains: tuple[str, ...] = ()
    """Virtual hosts: their domains, which may move from one to another. Not part of the version."""
    secrets: frozenset[SecretSource] = frozenset()
    """Clusters and listeners: secrets that it names, with the files that they are made of. Not part of the version."""


@dataclass(frozen=True, slots=True)
class DesiredChange:
    """What must become different at Envoy to reach `revision`: only what changed."""

    label: str
    """`<epoch>@<revision>`, shown by Envoy as system_version_info; never part of a version."""
    upserts: Mapping[TypeUrl, Mapping[str, Resource]] = field(default_factory=dict)
    removals: Mapping[TypeUrl, frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.upserts.values()) or any(self.removals.values())

    def then(self, later: DesiredChange) -> DesiredChange:
        """Both as one: what comes after the one is followed by the other."""
        upserts: dict[TypeUrl, dict[str, Resource]] = {}
        removals: dict[TypeUrl, frozenset[str]] = {}
        for kind in TypeUrl:
            gone, made = later.removals.get(kind, frozenset()), later.upserts.get(kind, {})
            kept = {
                name: one for name, one in self.upserts.get(kind, {}).items() if name not in gone
            }
            if kept or made:
                upserts[kind] = {**kept, **made}
            if left := (self.removals.get(kind, frozenset()) | gone) - made.keys():
                removals[kind] = left
        return DesiredChange(later.label, upserts, removals)
