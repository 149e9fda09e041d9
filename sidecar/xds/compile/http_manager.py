"""The HTTP connection manager that all our HTTP listeners share.

Its bytes must not depend on any VirtualService: a changed listener drains its connections, a changed route does not
(docs/xds.md, M11). So faults and CORS are filters that do nothing until a route gives them a configuration.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.mesh.model import Protocol
from sidecar.xds import protos as pb
from sidecar.xds.compile.access_logs import http_access_logs
from sidecar.xds.compile.encoding import ads, duration, packed
from sidecar.xds.compile.forward_proxy import forward_proxy_filters
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.compile.routes import CORS_FILTER, FAULT_FILTER
from sidecar.xds.compile.tracing import add_tracing
from sidecar.xds.compile.upstream_http import HEADERS_MAX

__all__ = ["HTTP_MANAGER", "inbound_filters", "manager_filter", "outbound_filters"]

HTTP_MANAGER = "envoy.filters.network.http_connection_manager"

COLD_HOST_TIMEOUT_S = 2.0
"""How long a request waits for a host that is not loaded yet before it gets 504 (docs/xds.md, 12g)."""

_ROUTER = pb.HttpFilter(name="envoy.filters.http.router", typed_config=packed(pb.Router()))
_FAULT = pb.HttpFilter(name=FAULT_FILTER, typed_config=packed(pb.HTTPFault()))
_CORS = pb.HttpFilter(name=CORS_FILTER, typed_config=packed(pb.Cors()))
_GRPC_WEB = pb.HttpFilter(name="envoy.filters.http.grpc_web", typed_config=packed(pb.GrpcWeb()))
_ON_DEMAND = pb.HttpFilter(name="envoy.filters.http.on_demand", typed_config=packed(pb.OnDemand()))


def outbound_filters(
    options: CompileOptions, *, on_demand: bool, protocol: Protocol = Protocol.HTTP
) -> list[pb.HttpFilter]:
    """Filters of a listener that forwards to the mesh, in order; the router is last.

    Args:
        options: Facts about this host.
        on_demand: Hosts are loaded when first asked for.
        protocol: What the listener's port declares; a gateway's GRPC-WEB makes gRPC of what browsers send (Istio's
            createGatewayHTTPFilterChainOpts).
    """
    first = [_ON_DEMAND] if on_demand else []
    return [
        *first,
        *_translators(protocol),
        _CORS,
        _FAULT,
        *forward_proxy_filters(options),
        _ROUTER,
    ]


def inbound_filters(protocol: Protocol) -> list[pb.HttpFilter]:
    """Filters of a listener that only hands on to the local application: gRPC-Web becomes gRPC where declared."""
    return [*_translators(protocol), _ROUTER]


def _translators(protocol: Protocol) -> list[pb.HttpFilter]:
    return [_GRPC_WEB] if protocol is Protocol.GRPC_WEB else []


def manager_filter(
    stat_prefix: str,
    routes: str | pb.RouteConfiguration,
    filters: Iterable[pb.HttpFilter],
    options: CompileOptions,
    *,
    connect: bool = False,
    cold_hosts: bool = False,
    edge: bool = False,
    client_certificates: bool = False,
) -> pb.Filter:
    """The network filter.

    Args:
        stat_prefix: Prefix of its statistics.
        routes: Name of a route configuration to take over ADS, or one to hold in place.
        filters: HTTP filters, the router last.
        options: Facts about this host.
        connect: Take CONNECT requests (explicit proxy).
        cold_hosts: Hosts are loaded when first asked for, so a wait for one must end.
        edge: Clients are strangers: their address is the connection's, their paths are normalised.
        client_certificates: The server may read who the client is (`x-forwarded-client-cert`); what clients write there
            themselves counts for nothing.
    """
    manager = pb.HttpConnectionManager(
        stat_prefix=stat_prefix,
        codec_type=pb.HttpConnectionManager.AUTO,
        http_filters=filters,
        stream_idle_timeout=duration(COLD_HOST_TIMEOUT_S if cold_hosts else 0),
        server_header_transformation=pb.HttpConnectionManager.PASS_THROUGH,
        # Whether a body is wanted is for the application to say (Istio: ENABLE_100_CONTINUE_HEADERS).
        proxy_100_continue=True,
        access_log=http_access_logs(options),
        use_remote_address=pb.BoolValue(value=edge),
    )
    add_tracing(manager, options)
    if isinstance(routes, str):
        manager.rds.route_config_name = routes
        # For ever: the listener that was there goes on serving until its routes are (docs/xds.md, M10).
        manager.rds.config_source.CopyFrom(ads(0))
    else:
        manager.route_config.CopyFrom(routes)
    if edge:
        manager.normalize_path.value = True
    else:
        # What applications of the mesh may say to each other; strangers are held to Envoy's own limits.
        manager.common_http_protocol_options.max_headers_count.value = HEADERS_MAX
        manager.http_protocol_options.accept_http_10 = True
    manager.http_protocol_options.enable_trailers = True
    if client_certificates:
        _tell_client_certificate(manager, edge=edge)
    manager.upgrade_configs.add(upgrade_type="websocket")
    if connect:
        manager.upgrade_configs.add(upgrade_type="CONNECT")
        manager.http2_protocol_options.allow_connect = True
    return pb.Filter(name=HTTP_MANAGER, typed_config=packed(manager))


def _tell_client_certificate(manager: pb.HttpConnectionManager, *, edge: bool) -> None:
    """As Istio: a sidecar adds the peer to those before it, a gateway begins anew and adds the certificate itself."""
    manager.forward_client_cert_details = (
        pb.HttpConnectionManager.SANITIZE_SET if edge else pb.HttpConnectionManager.APPEND_FORWARD
    )
    details = manager.set_current_client_cert_details
    details.subject.value = details.uri = details.dns = True
    details.cert = edge
