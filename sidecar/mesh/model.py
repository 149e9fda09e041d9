"""The words of the mesh model: services, ports, endpoints, contexts.

Pure values that the routing table, the balancer and the xDS compiler share. Names follow Istio's service
registry (pilot/pkg/model/service.go) and Envoy's endpoint API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, NewType

from sidecar.certificates.model import Identity
from store.objects.base import ObjectRef

__all__ = [
    "FROM_DEFAULTS",
    "NOWHERE",
    "Context",
    "Endpoint",
    "Health",
    "HostName",
    "Locality",
    "MeshChange",
    "Protocol",
    "Provenance",
    "Resolution",
    "Service",
    "ServicePort",
]

HostName = NewType("HostName", str)
"""A fully qualified, lower-case host name of a service or virtual service; may start with `*.`."""


class Protocol(StrEnum):
    """Application protocol of a port, after Istio's pkg/config/protocol. AUTO means none was declared."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-WEB"
    HTTP_PROXY = "HTTP_PROXY"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    MONGO = "MONGO"
    REDIS = "REDIS"
    MYSQL = "MYSQL"
    UDP = "UDP"
    AUTO = ""

    @property
    def is_http(self) -> bool:
        """Whether `http` rules of a VirtualService apply (AUTO is treated as HTTP without capture)."""
        return self in _HTTP

    @property
    def is_http2(self) -> bool:
        """Whether the upstream speaks HTTP/2."""
        return self in (Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB)

    @property
    def is_tls(self) -> bool:
        """Whether `tls` rules of a VirtualService apply: bytes are TLS that the client began."""
        return self in (Protocol.HTTPS, Protocol.TLS)


_HTTP = frozenset(
    {
        Protocol.HTTP,
        Protocol.HTTP2,
        Protocol.GRPC,
        Protocol.GRPC_WEB,
        Protocol.HTTP_PROXY,
        Protocol.AUTO,
    }
)


class Resolution(StrEnum):
    """How a service's endpoints are found (ServiceEntry.resolution). Registered services are STATIC."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


class Health(StrEnum):
    """Health of an endpoint as merged from registration, local outlier events and peers' evidence."""

    HEALTHY = "HEALTHY"
    DRAINING = "DRAINING"
    UNHEALTHY = "UNHEALTHY"


class Locality(NamedTuple):
    """Region, zone and sub-zone; empty strings where not given."""

    region: str = ""
    zone: str = ""
    subzone: str = ""

    @classmethod
    def parse(cls, text: str) -> Locality:
        """Read Istio's `region/zone/subzone`; further parts join the sub-zone."""
        parts = text.split("/", 2)
        return cls(*parts, *[""] * (3 - len(parts)))

    def __str__(self) -> str:
        return "/".join(self).rstrip("/")


class Provenance(NamedTuple):
    """Which object, and which place in it, a piece of configuration comes from."""

    ref: ObjectRef | None
    """The object; None for what follows from defaults alone or from a host's registration."""
    generation: int = 0
    """The object's generation (etcd version of its key)."""
    path: str = ""
    """Place in the object, for instance `spec.http[2].match[0]`."""

    def __str__(self) -> str:
        if self.ref is None:
            return self.path or "default"
        return f"{self.ref}@{self.generation}" + (f" {self.path}" if self.path else "")


NOWHERE = Locality()
"""No locality given."""
FROM_DEFAULTS = Provenance(None)
"""What follows from defaults alone."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service."""

    number: int
    """The port that clients name."""
    name: str
    """Key for endpoints' own port maps."""
    protocol: Protocol
    """What is spoken on it."""
    target_port: int = 0
    """Port on the endpoints where they do not say otherwise; 0 means `number`."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of one service port."""

    address: str
    """IP address, DNS name (DNS resolutions only) or absolute path / `@name` of a unix socket."""
    port: int
    """Port on the endpoint; 0 for unix sockets."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that subsets select by."""
    locality: Locality = NOWHERE
    """Where it is."""
    weight: int = 1
    """Load-balancing weight, at least 1."""
    health: Health = Health.HEALTHY
    """Whether it may be given requests."""
    network: str = ""
    """Network that the address belongs to; empty for the common one."""
    service_account: str = ""
    """Service account, the last part of its SPIFFE id."""
    tls_mode: str = ""
    """`istio` where the endpoint's own sidecar takes mutual TLS, else empty."""
    host: str = ""
    """Mesh host that registered it; empty for endpoints from ServiceEntry or WorkloadEntry."""
    source: Provenance = FROM_DEFAULTS
    """Object or registration it comes from."""

    @property
    def carries_tls(self) -> bool:
        """Whether its own sidecar takes mutual TLS of the mesh."""
        return self.tls_mode == "istio"


@dataclass(frozen=True, slots=True)
class Service:
    """One host name that clients can address, with its ports."""

    host: HostName
    """Fully qualified name; may be a wildcard for NONE, STATIC and DYNAMIC_DNS."""
    namespace: str
    """Namespace of the object or registration that defines it."""
    ports: tuple[ServicePort, ...]
    """Ports, in the order declared."""
    resolution: Resolution
    """How endpoints are found."""
    external: bool = False
    """Whether it lies outside the mesh (MESH_EXTERNAL)."""
    addresses: tuple[str, ...] = ()
    """Virtual addresses or CIDRs that clients may use."""
    subject_alt_names: tuple[str, ...] = ()
    """Names accepted in the server's certificate."""
    export_to: tuple[str, ...] = ("*",)
    """Namespaces that may see it, resolved: `*`, `~` or names."""
    create_revision: int = 0
    """Order of creation."""
    source: Provenance = FROM_DEFAULTS
    """Object or registration it comes from."""
    notes: tuple[str, ...] = ()
    """What was decided between definitions that disagree, one sentence each."""

    def port(self, number: int) -> ServicePort | None:
        """The port numbered `number`, or None."""
        return next((port for port in self.ports if port.number == number), None)


@dataclass(frozen=True, slots=True)
class Context:
    """One workload context: on whose behalf requests leave this host.

    `sourceLabels`, short names, `exportTo`, Sidecar selectors and client certificates all depend on it.
    """

    name: str
    """Name of the context in resource names; empty on a host with a single context."""
    namespace: str
    """Namespace of the workload: short host names are completed with it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the workload."""
    service_account: str = "default"
    """Service account of the workload."""
    identity: Identity | None = None
    """Certificate that it shows; None where this host has none for it."""
    locality: Locality = NOWHERE
    """Where this host is."""
    network: str = ""
    """Network of this host; empty for the common one."""
    is_gateway: bool = False
    """Whether it is in gateway role: Gateways whose selector matches `labels` open listeners here."""
    is_captured: bool = False
    """Whether what it sends is redirected to its sidecar (`captureMode: DEFAULT` then means IPTABLES, else NONE)."""


@dataclass(frozen=True, slots=True)
class MeshChange:
    """What differs between two meshes, in the terms that derived state is invalidated by."""

    hosts: frozenset[HostName] = frozenset()
    """Exact host names whose service, endpoints, routes or policy may differ."""
    patterns: frozenset[HostName] = frozenset()
    """Wildcard host names (`*.example.com`, `*`) under which anything may differ."""
    gateways: frozenset[ObjectRef] = frozenset()
    """Gateways that changed or whose virtual services changed."""
    everything: bool = False
    """Whether all derived state must be considered (MeshConfig or a Sidecar changed, first load)."""
    routed: frozenset[HostName] = frozenset()
    """Those of `hosts` and `patterns` of which only VirtualServices say something else: service, endpoints and policy
    are the same."""

    def __bool__(self) -> bool:
        return bool(self.hosts or self.patterns or self.gateways or self.everything)

    def of_destinations(self) -> MeshChange:
        """What of it services, endpoints and policies may depend on."""
        if not self.routed:
            return self
        return MeshChange(
            hosts=self.hosts - self.routed,
            patterns=self.patterns - self.routed,
            everything=self.everything,
        )

    def touches(self, host: HostName) -> bool:
        """Whether what was derived for `host` must be considered again (wildcards match both ways)."""
        if self.everything or host in self.hosts:
            return True
        return any(_overlap(pattern, host) for pattern in self.patterns) or (
            host.startswith("*") and any(_overlap(host, other) for other in self.hosts)
        )


def _overlap(pattern: str, host: str) -> bool:
    suffix = pattern.removeprefix("*")
    other = host.removeprefix("*")
    if host.startswith("*"):
        return other.endswith(suffix) or suffix.endswith(other)
    return host.endswith(suffix)
