"""What is inside the resources that a model of Envoy is given; each version is decoded once in a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sidecar.outlier.model import Place
from sidecar.xds import protos as pb

__all__ = ["Answer", "Spot", "answer_of", "has_endpoints_from_us", "spots_of"]

KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What a virtual host does with a request for `/`."""

    cluster: str
    """Where it is sent; empty when it is answered at once."""
    generation: str
    """Header `generation` of the answer."""
    body: str
    """What is answered at once."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One endpoint."""

    place: Place
    is_healthy: bool


@lru_cache(KEPT)
def answer_of(body: bytes) -> Answer:
    """Of the first route of a virtual host."""
    host = pb.VirtualHost.FromString(body)
    if not host.routes:
        return Answer("", "", "")
    route = host.routes[0]
    added = {row.header.key: row.header.value for row in route.response_headers_to_add}
    cluster = route.route.cluster
    if not cluster and route.route.weighted_clusters.clusters:
        cluster = route.route.weighted_clusters.clusters[0].name
        rows = route.route.weighted_clusters.clusters[0].response_headers_to_add
        added |= {row.header.key: row.header.value for row in rows}
    said = route.direct_response.body
    told = said.inline_string or said.inline_bytes.decode()
    return Answer(cluster, added.get("generation", ""), told)


@lru_cache(KEPT)
def has_endpoints_from_us(body: bytes) -> bool:
    """Whether a cluster waits for endpoints by ADS."""
    return bool(pb.Cluster.FromString(body).type == pb.Cluster.EDS)


@lru_cache(KEPT)
def spots_of(body: bytes) -> tuple[Spot, ...]:
    """The endpoints of a load assignment."""
    healthy = (pb.HealthStatus.HEALTHY, pb.HealthStatus.UNKNOWN)
    return tuple(
        Spot(
            Place(
                one.endpoint.address.socket_address.address,
                one.endpoint.address.socket_address.port_value,
            ),
            one.health_status in healthy,
        )
        for group in pb.ClusterLoadAssignment.FromString(body).endpoints
        for one in group.lb_endpoints
    )
