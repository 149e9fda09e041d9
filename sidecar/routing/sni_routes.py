"""Where a gateway passes on mutual TLS of the mesh that it does not open (AUTO_PASSTHROUGH).

Each service inside the mesh, each of its ports and subsets, has a server name of its own that its peers send; no
VirtualService has a say. Follows Istio's core/gateway.go (buildGatewayNetworkFiltersFromTLSRoutes) and
the names of model/service.go (BuildDNSSrvSubsetKey).
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.mesh.model import Protocol, Service
from sidecar.mesh.names import is_wildcard, subset_of
from sidecar.routing.destinations import flow_of, key_for
from sidecar.routing.gateway_hosts import Opening
from sidecar.routing.sight import GatewaySight
from sidecar.routing.table import ClusterKey, TcpRoute, WeightedCluster

__all__ = ["sni_routes"]


def sni_routes(sight: GatewaySight, opening: Opening) -> tuple[TcpRoute, ...]:
    """One route for each port and subset of the services that a server's hosts cover, in order of creation."""
    return tuple(
        TcpRoute(
            (WeightedCluster(key),),
            service.source,
            sni_hosts=(key.server_name,),
            flow=flow_of(sight, [key]),
        )
        for service in sight.services()
        if _is_exposed(service, opening)
        for key in _keys(sight, service)
    )


def _is_exposed(service: Service, opening: Opening) -> bool:
    if service.external or is_wildcard(service.host):
        return False
    return any(subset_of(service.host, name) for name in opening.hosts_for(service.namespace))


def _keys(sight: GatewaySight, service: Service) -> Iterator[ClusterKey]:
    for port in service.ports:
        if port.protocol is Protocol.UDP:
            continue
        for subset in ("", *sight.subsets(service.host)):
            yield key_for(sight, service.host, port.number, subset)._replace(sni_routed=True)
