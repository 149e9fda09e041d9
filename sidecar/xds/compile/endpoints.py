"""Endpoints of one destination as one EDS resource, named as its cluster.

Health lives here and only here, so that a change of it never recreates a cluster (reference: xds.md M4, 12h). Equal
sets give equal bytes whatever order they came in.
"""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.balancing.model import EndpointSet
from sidecar.mesh.model import Endpoint, Health, Locality
from sidecar.xds import protos as pb
from sidecar.xds.compile.encoding import resource, socket_address
from sidecar.xds.resource import Resource, TypeUrl

__all__ = ["HealthOverrides", "compile_endpoints", "load_assignment"]


HealthOverrides = Mapping[tuple[str, int], Health]
"""(address, port) of an endpoint to what others say of its health."""

TRANSPORT_METADATA = "envoy.transport_socket_match"
"""Where Envoy looks for what chooses an endpoint's transport socket."""

_STATUS = {
    Health.HEALTHY: pb.HealthStatus.HEALTHY,
    Health.DRAINING: pb.HealthStatus.DRAINING,
    Health.UNHEALTHY: pb.HealthStatus.UNHEALTHY,
}
_WORST_LAST = (Health.HEALTHY, Health.DRAINING, Health.UNHEALTHY)


def compile_endpoints(endpoints: EndpointSet, health: HealthOverrides | None = None) -> Resource:
    """The CLA of one destination.

    Args:
        endpoints: The endpoints with their priorities and locality weights.
        health: Ejections to impose: the worse of an endpoint's own health and this one counts. An override for
            an endpoint that is not in the set is ignored.
    """
    name = endpoints.key.name
    return resource(
        TypeUrl.ENDPOINTS,
        name,
        load_assignment(name, endpoints, health),
        sources=[endpoint.source for endpoint in endpoints.endpoints],
    )


def load_assignment(
    name: str, endpoints: EndpointSet, health: HealthOverrides | None = None
) -> pb.ClusterLoadAssignment:
    """The endpoints as Envoy's message: groups by priority and locality, all in a fixed order."""
    overrides = health or {}
    shares = dict(endpoints.locality_weights)
    priorities = endpoints.priorities or (0,) * len(endpoints.endpoints)
    groups: dict[tuple[int, Locality], list[Endpoint]] = {}
    for priority, endpoint in zip(priorities, endpoints.endpoints, strict=True):
        groups.setdefault((priority, endpoint.locality), []).append(endpoint)
    return pb.ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            _group(priority, locality, groups[priority, locality], shares, overrides)
            for priority, locality in sorted(groups)
        ],
    )


def _group(
    priority: int,
    locality: Locality,
    members: list[Endpoint],
    shares: Mapping[str, int],
    overrides: HealthOverrides,
) -> pb.LocalityLbEndpoints:
    members.sort(key=lambda endpoint: (endpoint.address, endpoint.port, endpoint.weight))
    weight = shares.get(str(locality), 0) if shares else sum(max(1, e.weight) for e in members)
    group = pb.LocalityLbEndpoints(
        priority=priority, lb_endpoints=[_endpoint(endpoint, overrides) for endpoint in members]
    )
    if any(locality):
        group.locality.region, group.locality.zone, group.locality.sub_zone = locality
    if weight:
        group.load_balancing_weight.value = weight
    return group


def _endpoint(endpoint: Endpoint, overrides: HealthOverrides) -> pb.LbEndpoint:
    imposed = overrides.get((endpoint.address, endpoint.port), Health.HEALTHY)
    compiled = pb.LbEndpoint(
        endpoint=pb.Endpoint(address=socket_address(endpoint.address, endpoint.port)),
        health_status=_STATUS[max(endpoint.health, imposed, key=_WORST_LAST.index)],
        load_balancing_weight=pb.UInt32Value(value=max(1, endpoint.weight)),
    )
    if endpoint.tls_mode:
        compiled.metadata.filter_metadata[TRANSPORT_METADATA].update({"tlsMode": endpoint.tls_mode})
    return compiled
