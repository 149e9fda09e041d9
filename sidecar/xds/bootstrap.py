"""Envoy's bootstrap: everything that Envoy must know before it can ask us for the rest.

A pure function of settings to JSON text with sorted keys, so that a restarted sidecar can tell by comparison
whether the running Envoy was started from the same. Source: Envoy configuration reference, Bootstrap and
management server; docs/xds.md (M10, M13, "Bootstrap").
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TypeAlias

from sidecar.mesh.model import Locality

__all__ = ["ADS_CLUSTER", "SIBLINGS_CLUSTER", "BootstrapSettings", "bootstrap_json"]

ADS_CLUSTER = "meshd_ads"
"""Static cluster under which Envoy finds its sidecar; no mesh object can have this name (it has no `|`)."""
SIBLINGS_CLUSTER = "meshd_siblings"
"""Static cluster of the endpoints that send as this host does: see `sidecar.xds.siblings`."""
ADMIN_MODE = 0o600
"""Only Envoy's own user may use the admin socket."""
RETRY_BASE = "0.1s"
RETRY_MAX = "1s"
"""Back-off between attempts to reach a sidecar that is away; Envoy's own default reached 9 s (M13)."""
KEEPALIVE = {"interval": "10s", "timeout": "10s"}
"""HTTP/2 pings to the sidecar: a frozen one is otherwise never noticed."""
REGEX_PROGRAM_SIZE_MAX = 32_768
"""Compiled size up to which Envoy takes regular expressions; Istio's value."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class BootstrapSettings:
    """What differs between hosts."""

    node_id: str
    """Stable over restarts; the host's node name."""
    ads_socket: str
    """Absolute path of the sidecar's ADS socket."""
    admin_socket: str
    """Absolute path on which Envoy opens its admin socket (at most 107 bytes, as for any unix socket)."""
    node_cluster: str = "meshd"
    """`node.cluster`: name of the mesh, shown in Envoy's own tools."""
    locality: Locality = field(default_factory=Locality)
    """Where the host is, for zone-aware load balancing."""
    siblings_file: str = ""
    """File of the endpoints of `SIBLINGS_CLUSTER`, which must exist when Envoy starts; empty: no zone-aware routing."""
    max_downstream_connections: int = 50_000
    """Connections from clients that Envoy accepts in all; more are closed at once. Some 4 kB each when idle."""
    outlier_log: str = ""
    """File to which Envoy writes ejections, one JSON object a line; empty for none. Envoy never shortens it."""
    stats_flush_s: float = 5.0
    """How often gauges and histograms are brought up to date for readers other than the admin socket."""


def bootstrap_json(settings: BootstrapSettings) -> str:
    """The bootstrap as JSON text, the same bytes for equal settings."""
    document: dict[str, Json] = {
        "node": _node(settings),
        "admin": {
            "address": {"pipe": {"path": settings.admin_socket, "mode": ADMIN_MODE}},
            "ignore_global_conn_limit": True,
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": _grpc_service()}],
            },
            "cds_config": _ads(),
            "lds_config": _ads(),
        },
        "static_resources": {"clusters": _clusters(settings)},
        "overload_manager": {"resource_monitors": [_connection_limit(settings)]},
        "layered_runtime": {
            "layers": [
                {
                    "name": "meshd",
                    "static_layer": {"re2.max_program_size.error_level": REGEX_PROGRAM_SIZE_MAX},
                }
            ]
        },
        "stats_flush_interval": f"{settings.stats_flush_s:g}s",
    }
    manager: dict[str, Json] = {"load_stats_config": _load_stats()}
    if settings.siblings_file:
        manager["local_cluster_name"] = SIBLINGS_CLUSTER
    if settings.outlier_log:
        manager["outlier_detection"] = {"event_log_path": settings.outlier_log}
    document["cluster_manager"] = manager
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _node(settings: BootstrapSettings) -> dict[str, Json]:
    node: dict[str, Json] = {"id": settings.node_id, "cluster": settings.node_cluster}
    region, zone, subzone = settings.locality
    if region:
        node["locality"] = {"region": region, "zone": zone, "sub_zone": subzone}
    return node


def _ads() -> dict[str, Json]:
    """Resources by ADS, waited for without end: starting with nothing would answer 404 (M10)."""
    return {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}


def _load_stats() -> Json:
    """Load reports over the sidecar's own socket; what is reported, and how often, the sidecar says there."""
    return {
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": _grpc_service()}],
    }


def _grpc_service() -> dict[str, Json]:
    return {
        "cluster_name": ADS_CLUSTER,
        "retry_policy": {
            "retry_back_off": {"base_interval": RETRY_BASE, "max_interval": RETRY_MAX}
        },
    }


def _clusters(settings: BootstrapSettings) -> list[Json]:
    clusters: list[Json] = [_ads_cluster(settings.ads_socket)]
    if settings.siblings_file:
        source: Json = {
            "resource_api_version": "V3",
            "path_config_source": {"path": settings.siblings_file},
        }
        clusters.append(
            {
                "name": SIBLINGS_CLUSTER,
                "type": "EDS",
                "connect_timeout": "1s",
                "eds_cluster_config": {"eds_config": source},
            }
        )
    return clusters


def _ads_cluster(ads_socket: str) -> dict[str, Json]:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    endpoint: Json = {"endpoint": {"address": {"pipe": {"path": ads_socket}}}}
    return {
        "name": ADS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": ADS_CLUSTER,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "typed_extension_protocol_options": {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": dict(KEEPALIVE)}
                },
            }
        },
    }


def _connection_limit(settings: BootstrapSettings) -> dict[str, Json]:
    name = "envoy.resource_monitors.global_downstream_max_connections"
    message = (
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    )
    return {
        "name": name,
        "typed_config": {
            "@type": f"type.googleapis.com/{message}",
            "max_active_downstream_connections": settings.max_downstream_connections,
        },
    }
