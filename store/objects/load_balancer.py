"""Load balancing of a DestinationRule: algorithm, affinity, localities, warm-up.

Source: istio/api networking/v1alpha3/destination_rule.proto, message LoadBalancerSettings.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from store.objects.base import Choice, Model
from store.objects.durations import Duration, PositiveDuration
from store.objects.scalars import (
    Items,
    Maybe,
    Nullable,
    Percentage,
    UInt32,
    UInt64,
    Word,
)

__all__ = [
    "BackendUtilization",
    "ConsistentHashLB",
    "HTTPCookie",
    "HTTPCookieAttribute",
    "LoadBalancerSettings",
    "LocalityDistribute",
    "LocalityFailover",
    "LocalityLoadBalancerSetting",
    "MagLev",
    "RingHash",
    "SimpleLB",
    "WarmupConfiguration",
    "ZoneAwareLoadBalancerSetting",
]


class SimpleLB(Word):
    """Algorithms that need no settings."""

    UNSPECIFIED = "UNSPECIFIED"
    LEAST_CONN = "LEAST_CONN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"


class HTTPCookieAttribute(Model):
    """One attribute of a cookie that the sidecar makes."""

    name: str
    """Name, such as `SameSite`."""
    value: Maybe[str] = None
    """Value; default: none."""


class HTTPCookie(Model):
    """The cookie that is hashed, and how it is made where missing."""

    name: str
    """Name of the cookie."""
    path: Maybe[str] = None
    """Path of a cookie that is made."""
    ttl: Maybe[Duration] = None
    """Life of a cookie that is made; 0 is a session cookie; left out: none is made."""
    attributes: Items[HTTPCookieAttribute] = ()
    """Further attributes of a cookie that is made."""


class RingHash(Model):
    """Ketama-like ring of hashes."""

    minimum_ring_size: Maybe[UInt64] = None
    """Points on the ring at least; default 1024."""


class MagLev(Model):
    """Google's Maglev table."""

    table_size: Maybe[UInt64] = None
    """Size of the table, a prime below 5000011; default 65537."""


class ConsistentHashLB(Choice):
    """Affinity: requests with equal keys go to the same endpoint while the endpoints stay."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name"),
        ("ring_hash", "maglev"),
    )

    http_header_name: Maybe[str] = None
    """Header whose value is the key."""
    http_cookie: Maybe[HTTPCookie] = None
    """Cookie whose value is the key."""
    use_source_ip: Maybe[bool] = None
    """Whether the client's address is the key (TCP and HTTP)."""
    http_query_parameter_name: Maybe[str] = None
    """Query parameter whose value is the key."""
    ring_hash: Maybe[RingHash] = None
    """Use a ring of hashes (the default)."""
    maglev: Maybe[MagLev] = None
    """Use Maglev."""
    minimum_ring_size: Maybe[UInt64] = None
    """Deprecated: use `ringHash.minimumRingSize`."""


class BackendUtilization(Model):
    """Weights from the load that endpoints report (ORCA); in the CRD only, Istio does not read it yet."""

    error_utilization_penalty_percent: Maybe[UInt32] = None
    """Penalty for endpoints that return errors, in percent of their utilization."""
    metric_names_for_computing_utilization: Items[str] = ()
    """Reported metrics that make up the utilization."""
    weight_expiration_period: Maybe[Duration] = None
    """A weight is forgotten when nothing was reported for so long."""
    weight_stabilization_period: Maybe[Duration] = None
    """A weight is trusted once reports have come for so long."""
    weight_update_period: Maybe[Duration] = None
    """How often weights are worked out."""


class LocalityDistribute(Model):
    """How traffic from one locality is spread."""

    from_: Maybe[str] = Field(default=None, alias="from")
    """Locality of the client, `region/zone/subzone`; a final `*` stands for any."""
    to: dict[str, UInt32] = Field(default_factory=dict)
    """Localities and their share in percent; the sum is 100, others get nothing."""


class LocalityFailover(Model):
    """Where traffic of one region goes when its endpoints are sick."""

    from_: Maybe[str] = Field(default=None, alias="from")
    """Region of the client."""
    to: Maybe[str] = None
    """Region that takes over."""


class LocalityLoadBalancerSetting(Model):
    """Preference for near endpoints."""

    distribute: Items[LocalityDistribute] = ()
    """Fixed shares by locality of the client; exclusive with the two failover settings."""
    failover: Items[LocalityFailover] = ()
    """Order of regions on failure; needs outlierDetection."""
    failover_priority: Items[str] = ()
    """Labels, the most important first, that rank endpoints by likeness; needs outlierDetection."""
    enabled: Nullable[bool] = None
    """Whether locality counts at all for this rule; default: on."""


class ZoneAwareLoadBalancerSetting(Model):
    """Envoy's zone-aware routing: same zone first, without starving it."""

    enabled: Nullable[bool] = None
    """Whether it is on; default: on where this message is given."""
    failover: Items[LocalityFailover] = ()
    """Order of regions on failure."""
    failover_priority: Items[str] = ()
    """Labels that rank endpoints; not region, zone or sub-zone."""
    min_cluster_size: Annotated[Nullable[UInt32], Field(ge=1)] = None
    """Endpoints in the client's region below which it is off; default 6."""


class WarmupConfiguration(Model):
    """Slow start of new endpoints (ROUND_ROBIN and LEAST_REQUEST only)."""

    duration: PositiveDuration
    """How long an endpoint counts as new."""
    minimum_percent: Nullable[Percentage] = None
    """Share of its weight that a new endpoint starts with, in percent; default 10."""
    aggression: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    """Bend of the curve; 1 (default) is a straight line, above 1 rises later."""


class LoadBalancerSettings(Choice):
    """How an endpoint is chosen for each request or connection."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("simple", "consistent_hash", "backend_utilization"),
    )

    simple: Maybe[SimpleLB] = None
    """LEAST_REQUEST (default), ROUND_ROBIN, RANDOM, PASSTHROUGH (the address that the client asked
    for), LEAST_CONN (deprecated name of LEAST_REQUEST)."""
    consistent_hash: Maybe[ConsistentHashLB] = None
    """Affinity by a hash."""
    backend_utilization: Maybe[BackendUtilization] = None
    """Weights from reported load."""
    locality_lb_setting: Maybe[LocalityLoadBalancerSetting] = None
    """Preference for near endpoints; replaces MeshConfig's as a whole."""
    zone_aware_lb_setting: Maybe[ZoneAwareLoadBalancerSetting] = None
    """Zone-aware routing; exclusive with `localityLbSetting`."""
    warmup_duration_secs: Maybe[PositiveDuration] = None
    """Deprecated: use `warmup.duration`."""
    warmup: Maybe[WarmupConfiguration] = None
    """Slow start of new endpoints."""
