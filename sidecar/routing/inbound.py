"""The inbound virtual host of one port of a local workload: everything to the application.

Follows Istio's httproute.go buildSidecarInboundHTTPRouteConfig: one virtual host `inbound|http|<port>`, one
route, no timeout, and (new there) a retry of what never reached the application, but not for gRPC, whose
clients repeat by themselves.
"""

from __future__ import annotations

from sidecar.mesh.model import Protocol, Provenance
from sidecar.routing.retries import INBOUND_RETRY
from sidecar.routing.table import (
    Forward,
    InboundKey,
    Route,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
)

__all__ = ["inbound_virtual_host"]


def inbound_virtual_host(port: int, protocol: Protocol, source: Provenance) -> VirtualHost:
    """All requests to a port of the local workload.

    Args:
        port: Port that the workload is known by in the mesh.
        protocol: What it speaks; must be HTTP of some kind.
        source: The registration.
    """
    retry = None if protocol in (Protocol.GRPC, Protocol.GRPC_WEB) else INBOUND_RETRY
    action = Forward((WeightedCluster(InboundKey(port)),), retry=retry)
    return VirtualHost(
        name=f"inbound|http|{port}",
        domains=("*",),
        routes=(Route("default", RouteMatch(), action, source),),
        sources=(source,),
    )
