"""The words of the balancer: the resolved policy of one destination and its endpoints.

A `ClusterPlan` is what the xDS compiler turns into an Envoy cluster; an `EndpointSet` into one EDS resource.
Endpoint changes touch only the latter, so that pools and outlier state survive them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.certificates.model import Identity
from sidecar.mesh.model import (
    FROM_DEFAULTS,
    Endpoint,
    HostName,
    Provenance,
    Resolution,
    ServicePort,
)
from sidecar.routing.table import ClusterKey, HashPolicy
from store.objects.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    LoadBalancerSettings,
    OutlierDetection,
    ProxyProtocol,
    RetryBudget,
    TunnelSettings,
)

__all__ = ["ClusterPlan", "EndpointSet", "Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The traffic policy in force for one destination: top, port-level and subset policies combined.

    Combination follows Istio (networking/util MergeTrafficPolicy): whole fields replace, nothing merges
    inside a field.
    """

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None
    source: Provenance = FROM_DEFAULTS
    """The DestinationRule (and place in it) that won; empty without one."""


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """Everything about one destination but its endpoints."""

    key: ClusterKey
    resolution: Resolution
    port: ServicePort
    policy: Policy
    subset_labels: tuple[tuple[str, str], ...] = ()
    """Labels that the subset selects endpoints by, sorted."""
    external: bool = False
    identity: Identity | None = None
    """Of the workload that sends."""
    automatic_tls: bool = True
    """Whether endpoints whose sidecar has an identity get mutual TLS where no rule speaks of TLS."""
    subject_alt_names: tuple[str, ...] = ()
    """From the ServiceEntry, where the policy's TLS names none."""
    hash_policies: tuple[HashPolicy, ...] = ()
    """What routes to this destination hash by (consistentHash)."""
    sources: tuple[Provenance, ...] = ()
    """Service and DestinationRule that it was made from."""
    hosts: frozenset[HostName] = frozenset()
    """Host names that this was derived from, for invalidation."""


@dataclass(frozen=True, slots=True)
class EndpointSet:
    """The endpoints of one destination, sorted by (locality, address, port) so that equal sets compile equally."""

    key: ClusterKey
    endpoints: tuple[Endpoint, ...]
    priorities: tuple[int, ...] = ()
    """Priority of each endpoint, in step with `endpoints`; empty for all 0."""
    locality_weights: tuple[tuple[str, int], ...] = ()
    """Locality (`region/zone/subzone`) to weight where `distribute` applies; else empty."""
