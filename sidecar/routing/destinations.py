"""Destinations of rules as cluster keys, with what their policies ask of the route: hashing, and limits of connections.

Follows Istio's route.go GetDestinationCluster: the port is the destination's,
else the service's only one, else the one that the request came for; an unknown host still names a cluster,
which Envoy answers with 503, so that the table says what the object says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sidecar.balancing.hashing import hash_inputs
from sidecar.mesh.model import HostName, Resolution
from sidecar.routing.sight import Sight
from sidecar.routing.table import ClusterKey, Flow, HashPolicy, Tunnel
from store.objects.destination import Destination
from store.objects.destination_rule import TunnelSettings

_BY_NAME = (Resolution.NONE, Resolution.DYNAMIC_DNS)

__all__ = ["cluster_key", "doubt_about", "flow_of", "hash_policies", "have_endpoints", "key_for"]


def cluster_key(sight: Sight, destination: Destination, namespace: str, port: int) -> ClusterKey:
    """The cluster that a destination names.

    Args:
        sight: The mesh.
        destination: From a route or a mirror.
        namespace: Namespace of the VirtualService, which completes a short host.
        port: Port that the request came for: the last resort.
    """
    host = sight.resolve_host(destination.host, namespace)
    number = (destination.port.number or 0) if destination.port is not None else 0
    if not number:
        service = sight.destination(host)
        number = service.ports[0].number if service and len(service.ports) == 1 else port
    return key_for(sight, host, number, destination.subset or "")


def key_for(sight: Sight, host: HostName, port: int, subset: str = "") -> ClusterKey:
    """The cluster of a host's port, marked with the context where that makes a difference."""
    return ClusterKey(host, port, subset, sight.context_tag(host))


def doubt_about(sight: Sight, key: ClusterKey) -> str | None:
    """Why requests to this destination will be answered 503, as a sentence; None when nothing is wrong."""
    service = sight.destination(key.host)
    if service is None:
        return f"host {key.host} is not known here: requests to it get 503"
    if service.port(key.port) is None:
        ports = ", ".join(str(port.number) for port in service.ports) or "none"
        return f"service {key.host} has no port {key.port} (it has {ports}): requests to it get 503"
    if key.subset and sight.subset_labels(key.host, key.subset) is None:
        return f'no DestinationRule defines subset "{key.subset}" of {key.host}: requests to it get 503'
    return None


def hash_policies(sight: Sight, keys: Iterable[ClusterKey]) -> tuple[HashPolicy, ...]:
    """What requests are hashed by for these destinations, without repetition, in their order."""
    found: dict[HashPolicy, None] = {}
    for key in keys:
        policy = sight.policy(key.host, key.port, key.subset)
        found.update(dict.fromkeys(hash_inputs(policy.load_balancer)))
    return tuple(found)


def have_endpoints(sight: Sight, keys: Iterable[ClusterKey]) -> bool:
    """Whether all of these destinations are known to have endpoints of their own, whatever requests name."""
    return all(_has_endpoints(sight, key) for key in keys)


def _has_endpoints(sight: Sight, key: ClusterKey) -> bool:
    service = sight.destination(key.host)
    if service is None or service.resolution in _BY_NAME:
        return False
    balancer = sight.policy(key.host, key.port, key.subset).load_balancer
    return balancer is None or balancer.simple != "PASSTHROUGH"


def flow_of(sight: Sight, keys: Sequence[ClusterKey]) -> Flow:
    """How connections are treated that are not read, on a route to these destinations.

    The first destination decides; among several, its subset's own policy is not looked at, since the route is one
    (Istio's core/networkfilter.go, buildOutboundNetworkFiltersWithWeightedClusters).
    """
    if not keys:
        return Flow()
    first = keys[0]
    policy = sight.policy(first.host, first.port, first.subset if len(keys) == 1 else "")
    tcp = policy.connection_pool.tcp if policy.connection_pool is not None else None
    service = sight.destination(first.host)
    port = service.port(first.port) if service is not None else None
    named = service is not None and service.resolution in _BY_NAME
    return Flow(
        idle_timeout_s=tcp.idle_timeout if tcp is not None else None,
        life_s=tcp.max_connection_duration if tcp is not None else None,
        by_source_ip=any(one.kind == "source_ip" for one in hash_inputs(policy.load_balancer)),
        tunnel=_tunnel(policy.tunnel),
        by_server_name=first.port if named and port is not None and port.protocol.is_tls else 0,
    )


def _tunnel(settings: TunnelSettings | None) -> Tunnel | None:
    if settings is None:
        return None
    host = f"[{settings.target_host}]" if ":" in settings.target_host else settings.target_host
    by_post = (settings.protocol or "").upper() == "POST"
    return Tunnel(f"{host}:{settings.target_port}", by_post=by_post)
