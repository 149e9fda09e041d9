"""Destinations of rules as cluster keys, with what consistent hashing needs from the request.

Follows Istio's route.go GetDestinationCluster: the port is the destination's,
else the service's only one, else the one that the request came for; an unknown host still names a cluster,
which Envoy answers with 503, so that the table says what the object says.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.balancing.hashing import hash_inputs
from sidecar.mesh.model import HostName
from sidecar.routing.sight import Sight
from sidecar.routing.table import ClusterKey, HashPolicy
from store.objects.destination import Destination

__all__ = ["cluster_key", "doubt_about", "hash_policies", "key_for"]


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
