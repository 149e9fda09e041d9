"""The routing table: virtual hosts and ordered routes, as values.

The table that explains (`meshd trace`, `sidecar.routing.explain`) is the table that serves (the xDS compiler
reads it): both take their answers from these values and from nothing else. Semantics follow Istio's
route.go and Envoy's route matching; names are Envoy's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from sidecar.mesh.model import HostName, Provenance

__all__ = [
    "Action",
    "Cluster",
    "ClusterKey",
    "CorsPolicy",
    "DirectResponse",
    "Fault",
    "Flow",
    "Forward",
    "HashPolicy",
    "HeaderEdits",
    "InboundKey",
    "MatcherKind",
    "Mirror",
    "Redirect",
    "RetryPolicy",
    "Rewrite",
    "Route",
    "RouteMatch",
    "TcpRoute",
    "Tunnel",
    "ValueMatch",
    "VirtualHost",
    "WeightedCluster",
]


class MatcherKind(StrEnum):
    """How a value is compared."""

    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"
    """RE2, the whole value must match."""
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """One condition on one string (Istio's StringMatch, resolved)."""

    kind: MatcherKind
    value: str = ""
    invert: bool = False
    """`withoutHeaders`: true when the value does not match; a missing header counts as empty."""
    ignore_case: bool = False
    """Only for the path (`ignoreUriCase`), exact and prefix."""


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """All conditions of one route; they are ANDed. Method, authority and scheme are the `:` headers."""

    path: ValueMatch = ValueMatch(MatcherKind.PREFIX, "/")
    headers: tuple[tuple[str, ValueMatch], ...] = ()
    """(lower-case name, condition), sorted; `:method`, `:authority`, `:scheme` among them."""
    query: tuple[tuple[str, ValueMatch], ...] = ()
    """(parameter, condition), sorted."""
    connect: bool = False
    """Match CONNECT requests and nothing else (Envoy's connect_matcher); `path` is then not looked at.
    Every other route never matches a CONNECT request, which has no path."""

    @property
    def is_catch_all(self) -> bool:
        """Whether every request with a path matches (prefix `/` or regex `.*`, nothing else)."""
        anything = (self.path.kind, self.path.value) in (
            (MatcherKind.PREFIX, "/"),
            (MatcherKind.PREFIX, ""),
            (MatcherKind.REGEX, ".*"),
        )
        return anything and not self.headers and not self.query and not self.connect


class ClusterKey(NamedTuple):
    """Identity of a destination: what is balanced over. `name` is the Envoy cluster and EDS name."""

    host: HostName
    port: int
    subset: str = ""
    context: str = ""
    """Workload context, only where policy differs between contexts; else empty."""
    sni_routed: bool = False
    """Whether its connections are TLS of the mesh that a gateway passes on by server name (AUTO_PASSTHROUGH)."""

    @property
    def server_name(self) -> str:
        """Server name (SNI) of mutual TLS to it, Istio's: `outbound_.9080_.v1_.reviews.default.svc.cluster.local`."""
        return f"outbound_.{self.port}_.{self.subset}_.{self.host}"

    original: bool = False
    """Whether captured connections go on to the very address that the client named (resolution NONE, PASSTHROUGH)."""

    @property
    def name(self) -> str:
        """Envoy's cluster name, Istio's spelling: `outbound|9080|v1|reviews.default.svc.cluster.local`."""
        if self.sni_routed:
            return f"{self.server_name}.{self.context}" if self.context else self.server_name
        kind = "original" if self.original else "outbound"
        direction = f"{kind}.{self.context}" if self.context else kind
        return f"{direction}|{self.port}|{self.subset}|{self.host}"


class Cluster(StrEnum):
    """Clusters that stand for no service."""

    PASSTHROUGH = "PassthroughCluster"
    """Unknown destinations under ALLOW_ANY, where applications speak to the sidecar as to a proxy: a dynamic forward
    proxy."""
    ORIGINAL_DESTINATION = "OriginalDestinationCluster"
    """The same for captured connections: the address that the client named."""
    BLACK_HOLE = "BlackHoleCluster"


class InboundKey(NamedTuple):
    """Identity of one port of the local workload, as its own sidecar reaches it."""

    port: int
    """Port that the workload is known by in the mesh (not the application's own, should they differ)."""

    @property
    def name(self) -> str:
        """Envoy's cluster name, Istio's spelling: `inbound|9080||`."""
        return f"inbound|{self.port}||"


@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """Edits of request and response headers, each in the order of application."""

    request_set: tuple[tuple[str, str], ...] = ()
    request_add: tuple[tuple[str, str], ...] = ()
    request_remove: tuple[str, ...] = ()
    response_set: tuple[tuple[str, str], ...] = ()
    response_add: tuple[tuple[str, str], ...] = ()
    response_remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != _NO_EDITS


_NO_EDITS = HeaderEdits()


@dataclass(frozen=True, slots=True)
class HashPolicy:
    """One input of consistent hashing on a route (from the destination's load-balancer policy)."""

    kind: str
    """`header`, `cookie`, `query` or `source_ip`."""
    name: str = ""
    ttl_s: float | None = None
    """Cookie only: life in seconds, 0 for a session cookie, None when it is never generated."""
    path: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    """One destination of a route with its share."""

    cluster: ClusterKey | Cluster | InboundKey
    weight: int = 1
    edits: HeaderEdits = _NO_EDITS
    authority: str = ""
    """Host header to send to this destination; empty leaves it."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """Copies of requests sent to another destination; their answers are thrown away."""

    cluster: ClusterKey
    parts_per_million: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Change of path or authority before forwarding."""

    prefix: str | None = None
    """Replaces the matched prefix (or the whole path, when `full_path`)."""
    full_path: bool = False
    regex: str = ""
    substitution: str = ""
    authority: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When and how often a failed attempt is repeated (Istio's defaults already applied)."""

    attempts: int = 2
    retry_on: tuple[str, ...] = (
        "connect-failure",
        "refused-stream",
        "unavailable",
        "cancelled",
        "retriable-status-codes",
    )
    status_codes: tuple[int, ...] = ()
    per_try_timeout_s: float | None = None
    backoff_s: float | None = None
    previous_hosts: bool = True
    """Choose another endpoint than those already tried."""
    remote_localities: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """Injected delay and abort; shares in parts per million, 0 for never."""

    delay_s: float = 0.0
    delay_ppm: int = 0
    abort_status: int = 0
    """HTTP status, 0 when the abort is a gRPC one or there is none."""
    abort_grpc_status: int | None = None
    abort_ppm: int = 0


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """Cross-origin answers."""

    allow_origins: tuple[ValueMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: int | None = None
    allow_credentials: bool | None = None
    forward_unmatched_preflights: bool = True


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the request on, split by weight."""

    clusters: tuple[WeightedCluster, ...]
    """At least one; weights are relative to their sum."""
    timeout_s: float = 0.0
    """0 for none."""
    retry: RetryPolicy | None = None
    rewrite: Rewrite | None = None
    mirrors: tuple[Mirror, ...] = ()
    hash_policies: tuple[HashPolicy, ...] = ()
    upgrades: tuple[str, ...] = ()
    """Upgrade types this route takes beyond the listener's (CONNECT on the explicit proxy)."""
    idle_timeout_s: float = 0.0
    """Seconds without a byte after which a request ends; 0 for never. For CONNECT, whose requests are connections."""
    has_endpoints: bool = False
    """Whether each destination is known to have endpoints of its own, so that no request's own name is looked up."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answer with another place."""

    code: int = 301
    path: str | None = None
    prefix: str | None = None
    authority: str = ""
    scheme: str = ""
    port: int = 0
    """0 leaves the port."""


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Answer at once."""

    status: int
    body: bytes = b""


Action = Forward | Redirect | DirectResponse


@dataclass(frozen=True, slots=True)
class Route:
    """One route: conditions, what is done, and the place in the object that says so."""

    name: str
    """Istio's `<rule>.<match>`, `default` for a service without VirtualService."""
    match: RouteMatch
    action: Action
    source: Provenance
    edits: HeaderEdits = _NO_EDITS
    fault: Fault | None = None
    cors: CorsPolicy | None = None
    stat_prefix: str = ""


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """The routes for a set of domains; first match wins."""

    name: str
    """Unique in its route configuration: `<host>:<port>`, `allow_any`, `block_all`."""
    domains: tuple[str, ...]
    """Lower case, with and without ports; `*.x` for wildcards, `*` for all."""
    routes: tuple[Route, ...]
    require_tls: bool = False
    """Gateway `httpsRedirect`: plain requests are redirected to https."""
    sources: tuple[Provenance, ...] = ()
    """Service and VirtualServices that it was made from."""
    passed_over: tuple[tuple[Provenance, str], ...] = ()
    """(place, reason) of each rule that applies to this host but not here: other gateway, labels, port."""
    hosts: frozenset[HostName] = field(default_factory=frozenset)
    """Every host name that this was derived from (its own and its destinations'), for invalidation."""

    @property
    def cluster_keys(self) -> frozenset[ClusterKey]:
        """Every destination that the routes can name: weighted, mirrors."""
        keys: set[ClusterKey] = set()
        for route in self.routes:
            if isinstance(route.action, Forward):
                keys.update(
                    c.cluster for c in route.action.clusters if isinstance(c.cluster, ClusterKey)
                )
                keys.update(mirror.cluster for mirror in route.action.mirrors)
        return frozenset(keys)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Bytes of a connection travel inside an HTTP request of their own (DestinationRule `trafficPolicy.tunnel`)."""

    authority: str
    """`host:port` that the proxy at the destination is asked for."""
    by_post: bool = False
    """POST instead of CONNECT."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What the DestinationRule of a TCP route's first destination says of connections that are not read."""

    idle_timeout_s: float | None = None
    """Seconds without a byte after which a connection is closed; 0 for never, None for Envoy's hour."""
    life_s: float | None = None
    """Seconds that a client's connection may live; None for no limit."""
    by_source_ip: bool = False
    """Whether the client's address chooses the endpoint (`consistentHash.useSourceIp`)."""
    tunnel: Tunnel | None = None
    """Where the bytes go through a proxy's tunnel."""
    by_server_name: int = 0
    """Port at which the server name that a TLS client sends is looked up and connected to; 0 where the destination
    has endpoints of its own."""


@dataclass(frozen=True, slots=True)
class TcpRoute:
    """Where the bytes of one TCP or TLS connection go."""

    clusters: tuple[WeightedCluster, ...]
    source: Provenance
    sni_hosts: tuple[str, ...] = ()
    destination_subnets: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    flow: Flow = Flow()

    @property
    def clusters_named(self) -> tuple[ClusterKey, ...]:
        """The destinations that stand for services, in order."""
        return tuple(c.cluster for c in self.clusters if isinstance(c.cluster, ClusterKey))
