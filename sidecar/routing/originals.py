"""Where captured traffic goes by the address that the client itself named.

What no service claims, services with resolution NONE, and those whose rule asks for PASSTHROUGH: an explicit proxy must
resolve the name of the request for them; a captured connection still has its address. Follows Istio's core/listener.go
(buildOutboundCatchAllNetworkFilterChains) and cluster_builder.go (ORIGINAL_DST).
"""

from __future__ import annotations

from dataclasses import replace

from sidecar.balancing.model import Policy
from sidecar.mesh.model import Provenance, Resolution
from sidecar.routing.hosts import catch_all, egress_proxy
from sidecar.routing.sight import Sight
from sidecar.routing.table import (
    Action,
    Cluster,
    ClusterKey,
    Forward,
    TcpRoute,
    VirtualHost,
    WeightedCluster,
)

__all__ = ["captured_catch_all", "captured_host", "unclaimed", "with_original"]


def unclaimed(sight: Sight) -> TcpRoute:
    """Where captured bytes go that no place claims."""
    policy = Provenance(None, 0, f"outboundTrafficPolicy {sight.outbound_policy}")
    if sight.outbound_policy == "REGISTRY_ONLY":
        return TcpRoute((WeightedCluster(Cluster.BLACK_HOLE),), policy)
    proxy = egress_proxy(sight)
    if proxy is not None:
        where = sight.sidecar_scope.source._replace(path="spec.outboundTrafficPolicy.egressProxy")
        return TcpRoute((WeightedCluster(proxy),), where)
    return TcpRoute((WeightedCluster(Cluster.ORIGINAL_DESTINATION),), policy)


def captured_host(sight: Sight, host: VirtualHost) -> VirtualHost:
    """A virtual host as captured requests get it: no CONNECT, and to the client's own address where that is meant."""
    return replace(
        host,
        routes=tuple(
            replace(route, action=_captured_action(sight, route.action))
            for route in host.routes
            if not route.match.connect
        ),
    )


def captured_catch_all(sight: Sight) -> VirtualHost:
    """`catch_all` for captured requests."""
    return captured_host(sight, catch_all(sight))


def _captured_action(sight: Sight, action: Action) -> Action:
    if not isinstance(action, Forward):
        return action
    return replace(action, clusters=tuple(_original(sight, one) for one in action.clusters))


def with_original(sight: Sight, route: TcpRoute) -> TcpRoute:
    """A route to destinations, each by the client's own address where that is to be kept."""
    clusters = tuple(_original(sight, one) for one in route.clusters)
    first = clusters[0].cluster
    has_address = isinstance(first, ClusterKey) and first.original
    flow = replace(route.flow, by_server_name=0) if has_address else route.flow
    return replace(route, clusters=clusters, flow=flow)


def _original(sight: Sight, target: WeightedCluster) -> WeightedCluster:
    """The destination, by its own address where the client's is to be kept."""
    key = target.cluster
    if key is Cluster.PASSTHROUGH:
        return replace(target, cluster=Cluster.ORIGINAL_DESTINATION)
    if not isinstance(key, ClusterKey):
        return target
    service = sight.destination(key.host)
    if service is None:
        return target
    keeps = service.resolution is Resolution.NONE or _keeps_address(
        sight.policy(key.host, key.port, key.subset)
    )
    return replace(target, cluster=key._replace(original=True)) if keeps else target


def _keeps_address(policy: Policy) -> bool:
    return policy.load_balancer is not None and policy.load_balancer.simple == "PASSTHROUGH"
