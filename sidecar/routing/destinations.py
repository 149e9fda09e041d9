"""Destinations of rules as cluster keys, with what consistent hashing needs from the request.

Follows Istio's route.go GetDestinationCluster and consistentHashToHashPolicy: the port is the destination's,
else the service's only one, else the one that the request came for; an unknown host still names a cluster,
which Envoy answers with 503, so that the table says what the object says.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.mesh.model import HostName
from sidecar.routing.sight import Sight
from sidecar.routing.table import ClusterKey, HashPolicy
from store.objects.destination import Destination
from store.objects.load_balancer import ConsistentHashLB

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
        balancer = sight.policy(key.host, key.port, key.subset).load_balancer
        if balancer is not None and balancer.consistent_hash is not None:
            found.update(dict.fromkeys(_inputs(balancer.consistent_hash)))
    return tuple(found)


def _inputs(settings: ConsistentHashLB) -> tuple[HashPolicy, ...]:
    """The one input that a consistentHash names (Istio allows no more than one)."""
    if settings.http_header_name:
        return (HashPolicy("header", settings.http_header_name),)
    cookie = settings.http_cookie
    if cookie is not None:
        attributes = tuple((item.name, item.value or "") for item in cookie.attributes)
        return (HashPolicy("cookie", cookie.name, cookie.ttl, cookie.path or "", attributes),)
    if settings.use_source_ip:
        return (HashPolicy("source_ip"),)
    if settings.http_query_parameter_name:
        return (HashPolicy("query", settings.http_query_parameter_name),)
    return ()
