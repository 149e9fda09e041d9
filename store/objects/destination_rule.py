"""DestinationRule: how requests reach a destination once it has been chosen.

Source: istio/api networking/v1alpha3/destination_rule.proto. Load balancing, connection pools and TLS have
modules of their own and can be imported from here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from store.objects.base import MeshObject, Model
from store.objects.connection_pool import (
    ConnectionKeepalive,
    ConnectionPoolSettings,
    H2UpgradePolicy,
    HTTPSettings,
    OutlierDetection,
    TcpKeepalive,
    TCPSettings,
)
from store.objects.destination import PortSelector
from store.objects.durations import Duration
from store.objects.kinds import Kind
from store.objects.load_balancer import (
    BackendUtilization,
    ConsistentHashLB,
    HTTPCookie,
    LoadBalancerSettings,
    LocalityLoadBalancerSetting,
    SimpleLB,
    WarmupConfiguration,
    ZoneAwareLoadBalancerSetting,
)
from store.objects.scalars import Items, Maybe, Nullable, Percentage, UInt32, Word
from store.objects.selectors import LabelSelector
from store.objects.tls import ClientTLSMode, ClientTLSSettings

__all__ = [
    "BackendUtilization",
    "ClientTLSMode",
    "ClientTLSSettings",
    "ConnectionKeepalive",
    "ConnectionPoolSettings",
    "ConsistentHashLB",
    "DestinationRule",
    "DestinationRuleSpec",
    "H2UpgradePolicy",
    "HTTPCookie",
    "HTTPSettings",
    "LabelSelector",
    "LoadBalancerSettings",
    "LocalityLoadBalancerSetting",
    "OutlierDetection",
    "PortTrafficPolicy",
    "ProxyProtocol",
    "ProxyProtocolVersion",
    "RetryBudget",
    "SimpleLB",
    "Subset",
    "TCPSettings",
    "TcpKeepalive",
    "TrafficPolicy",
    "TunnelSettings",
    "WarmupConfiguration",
    "ZoneAwareLoadBalancerSetting",
]


class PortTrafficPolicy(Model):
    """Policy of one port; it replaces the policy of the destination, nothing of which is inherited."""

    port: Maybe[PortSelector] = None
    """The port of the service."""
    load_balancer: Maybe[LoadBalancerSettings] = None
    """How an endpoint is chosen."""
    connection_pool: Maybe[ConnectionPoolSettings] = None
    """Limits of connections and requests."""
    outlier_detection: Maybe[OutlierDetection] = None
    """Passive health checks."""
    tls: Maybe[ClientTLSSettings] = None
    """TLS towards the endpoints."""


class TunnelSettings(Model):
    """Tunnel TCP and TLS routes through an HTTP proxy."""

    protocol: Maybe[str] = None
    """CONNECT (default) or POST."""
    target_host: str
    """Host that the proxy is asked for: a name or an address."""
    target_port: UInt32
    """Port that the proxy is asked for."""


class ProxyProtocolVersion(Word):
    """Versions of the PROXY protocol: text and binary."""

    V1 = "V1"
    V2 = "V2"


class ProxyProtocol(Model):
    """Send the client's address ahead of each connection."""

    version: Maybe[ProxyProtocolVersion] = None
    """V1 (default) is text, V2 binary."""


class RetryBudget(Model):
    """Limit of retries in proportion to requests, instead of `maxRetries`."""

    percent: Nullable[Percentage] = None
    """Retries at most, in percent of the requests under way and waiting; default 20."""
    min_retry_concurrency: Maybe[UInt32] = None
    """Retries that are always allowed; default 3."""
    budget_interval: Maybe[Duration] = None
    """Time over which requests are counted; default 0, only those of this moment."""


class TrafficPolicy(Model):
    """Policy for all ports of a destination."""

    load_balancer: Maybe[LoadBalancerSettings] = None
    """How an endpoint is chosen; default LEAST_REQUEST."""
    connection_pool: Maybe[ConnectionPoolSettings] = None
    """Limits of connections and requests; default: none."""
    outlier_detection: Maybe[OutlierDetection] = None
    """Passive health checks; default: none."""
    tls: Maybe[ClientTLSSettings] = None
    """TLS towards the endpoints; default: plain text, mesh TLS where endpoints offer it."""
    port_level_settings: Annotated[Items[PortTrafficPolicy], Field(max_length=4096)] = ()
    """Policies of single ports, which replace the four above."""
    tunnel: Maybe[TunnelSettings] = None
    """Tunnel through an HTTP proxy."""
    proxy_protocol: Maybe[ProxyProtocol] = None
    """Send the client's address ahead of each connection."""
    retry_budget: Maybe[RetryBudget] = None
    """Limit of retries in proportion to requests."""


class Subset(Model):
    """A named part of a destination's endpoints."""

    name: str
    """Name, used by VirtualServices."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that an endpoint of the subset bears, all of them; empty: every endpoint."""
    traffic_policy: Maybe[TrafficPolicy] = None
    """Policy of the subset; what it leaves out comes from the rule's own."""


class DestinationRuleSpec(Model):
    """What a DestinationRule says."""

    host: str
    """Service that it is for; a short name is completed with the object's own namespace; wildcards
    such as `*.example.com` allowed."""
    traffic_policy: Maybe[TrafficPolicy] = None
    """Policy for the destination as a whole."""
    subsets: Items[Subset] = ()
    """Named parts of the endpoints."""
    export_to: Items[str] = ()
    """Namespaces whose clients use the rule: `*` (all), `.` (its own), or names.
    Default: MeshConfig's `defaultDestinationRuleExportTo`, else `*`."""
    workload_selector: Maybe[LabelSelector] = None
    """Only for client workloads with these labels, in the rule's own namespace."""


class DestinationRule(MeshObject):
    """A DestinationRule object."""

    expected_kind: ClassVar[Kind | None] = Kind.DESTINATION_RULE

    spec: DestinationRuleSpec
    """How requests reach the destination."""
