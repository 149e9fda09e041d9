"""Endpoints of one destination as one EDS resource, named as its cluster.

Health lives here and only here, so that a change of it never recreates a cluster (docs/xds.md, M4, 12h). Equal
sets give equal bytes whatever order they came in. What shared ejection imposes is laid over what the endpoints say of
themselves: an ejected one stays in the list as unhealthy, one on trial keeps its weight while all others of the
resource are scaled up, so that it gets about a hundredth of its share. Source: Envoy, endpoint_components.proto.
"""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.balancing.model import EndpointSet
from sidecar.mesh.model import Endpoint, Health, Locality
from sidecar.outlier.events import Imposed
from sidecar.outlier.model import Place
from sidecar.xds import protos as pb
from sidecar.xds.compile.encoding import resource, socket_address
from sidecar.xds.resource import Resource, TypeUrl

__all__ = ["ImposedByPlace", "compile_endpoints", "load_assignment"]


ImposedByPlace = Mapping[Place, Imposed]
"""What shared ejection imposes on the endpoints of one destination."""

TRIAL_SHARE = 100
"""An endpoint on trial gets one part in so many of its usual share."""
WEIGHTS_MAX = 2**32 - 1
"""Envoy refuses a locality whose weights add up to more."""
TRANSPORT_METADATA = "envoy.transport_socket_match"
"""Where Envoy looks for what chooses an endpoint's transport socket."""

_STATUS = {
    Health.HEALTHY: pb.HealthStatus.HEALTHY,
    Health.DRAINING: pb.HealthStatus.DRAINING,
    Health.UNHEALTHY: pb.HealthStatus.UNHEALTHY,
}


def compile_endpoints(endpoints: EndpointSet, imposed: ImposedByPlace | None = None) -> Resource:
    """The CLA of one destination.

    Args:
        endpoints: The endpoints with their priorities and locality weights.
        imposed: What shared ejection imposes. It never makes an endpoint healthier than it says itself, and is
            ignored for endpoints that are not in the set.
    """
    name = endpoints.key.name
    return resource(
        TypeUrl.ENDPOINTS,
        name,
        load_assignment(name, endpoints, imposed),
        sources=[endpoint.source for endpoint in endpoints.endpoints],
    )


def load_assignment(
    name: str, endpoints: EndpointSet, imposed: ImposedByPlace | None = None
) -> pb.ClusterLoadAssignment:
    """The endpoints as Envoy's message: groups by priority and locality, all in a fixed order."""
    overlay = imposed or {}
    shares = dict(endpoints.locality_weights)
    priorities = endpoints.priorities or (0,) * len(endpoints.endpoints)
    groups: dict[tuple[int, Locality], list[Endpoint]] = {}
    for priority, endpoint in zip(priorities, endpoints.endpoints, strict=True):
        groups.setdefault((priority, endpoint.locality), []).append(endpoint)
    scale = _scale(endpoints, overlay)
    return pb.ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            _group(priority, locality, groups[priority, locality], shares, overlay, scale)
            for priority, locality in sorted(groups)
        ],
    )


def _scale(endpoints: EndpointSet, imposed: ImposedByPlace) -> int:
    """What weights are multiplied by, but for endpoints on trial; 1 while none is."""
    if not any(imposed.get(_place(one)) is Imposed.TRIAL for one in endpoints.endpoints):
        return 1
    total = sum(max(1, endpoint.weight) for endpoint in endpoints.endpoints)
    return max(1, min(TRIAL_SHARE, WEIGHTS_MAX // total))


def _group(
    priority: int,
    locality: Locality,
    members: list[Endpoint],
    shares: Mapping[str, int],
    imposed: ImposedByPlace,
    scale: int,
) -> pb.LocalityLbEndpoints:
    members.sort(key=lambda endpoint: (endpoint.address, endpoint.port, endpoint.weight))
    compiled = [_endpoint(endpoint, imposed.get(_place(endpoint)), scale) for endpoint in members]
    weights = sum(endpoint.load_balancing_weight.value for endpoint in compiled)
    weight = shares.get(str(locality), 0) if shares else weights
    group = pb.LocalityLbEndpoints(priority=priority, lb_endpoints=compiled)
    if any(locality):
        group.locality.region, group.locality.zone, group.locality.sub_zone = locality
    if weight:
        group.load_balancing_weight.value = weight
    return group


def _endpoint(endpoint: Endpoint, imposed: Imposed | None, scale: int) -> pb.LbEndpoint:
    health = Health.UNHEALTHY if imposed is Imposed.EJECTED else endpoint.health
    on_trial = imposed is Imposed.TRIAL
    compiled = pb.LbEndpoint(
        endpoint=pb.Endpoint(address=socket_address(endpoint.address, endpoint.port)),
        health_status=_STATUS[health],
        load_balancing_weight=pb.UInt32Value(
            value=max(1, endpoint.weight) * (1 if on_trial else scale)
        ),
    )
    if endpoint.tls_mode:
        compiled.metadata.filter_metadata[TRANSPORT_METADATA].update({"tlsMode": endpoint.tls_mode})
    return compiled


def _place(endpoint: Endpoint) -> Place:
    return Place(endpoint.address, endpoint.port)
