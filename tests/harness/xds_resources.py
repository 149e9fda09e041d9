"""Tiny xDS resources for tests of the session against a real Envoy; nothing of our compiler is in them."""

from __future__ import annotations

import hashlib
from typing import Any

from envoy.extensions.network.dns_resolver.cares.v3 import (
    cares_dns_resolver_pb2,  # noqa: F401 - registers the message for `typed_config`
)
from google.protobuf import json_format

from sidecar.xds import protos
from sidecar.xds.resource import Resource, TypeUrl

ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
ON_DEMAND = "type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.OnDemand"
CARES = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
H2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _resource(type_url: TypeUrl, name: str, kind: Any, document: dict[str, Any]) -> Resource:
    body = json_format.ParseDict(document, kind()).SerializeToString(deterministic=True)
    return Resource(type_url, name, hashlib.blake2b(body, digest_size=8).hexdigest(), body)


def cluster(name: str, *, eds_timeout: str = "", **fields: Any) -> Resource:
    """An EDS cluster by default; `fields` override (give `type` and `load_assignment` for others)."""
    source = {"ads": {}, "resource_api_version": "V3"}
    if eds_timeout:
        source["initial_fetch_timeout"] = eds_timeout
    document = {
        "name": name,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {"eds_config": source},
        "common_lb_config": {"update_merge_window": "0s", "healthy_panic_threshold": {"value": 0}},
    }
    if fields.get("type", "EDS") != "EDS":
        del document["eds_cluster_config"]
    return _resource(TypeUrl.CLUSTER, name, protos.Cluster, document | fields)


def unresolvable(name: str, silent_port: int) -> Resource:
    """A cluster that warms for long: its DNS server never answers."""
    server = {
        "socket_address": {"protocol": "UDP", "address": "127.0.0.1", "port_value": silent_port}
    }
    resolver = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {"@type": CARES, "resolvers": [server], "use_resolvers_as_fallback": False},
    }
    host = {"endpoint": {"address": {"socket_address": {"address": "a.example", "port_value": 1}}}}
    return cluster(
        name,
        type="STRICT_DNS",
        load_assignment={"cluster_name": name, "endpoints": [{"lb_endpoints": [host]}]},
        typed_dns_resolver_config=resolver,
    )


def http2(**fields: Any) -> dict[str, Any]:
    """Fields that make a cluster speak HTTP/2."""
    options = {
        "@type": f"type.googleapis.com/{H2}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {"typed_extension_protocol_options": {H2: options}} | fields


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def endpoints(name: str, *ports: int, unhealthy: tuple[int, ...] = ()) -> Resource:
    """A CLA of loopback ports."""
    hosts: list[dict[str, Any]] = [
        {
            "endpoint": {"address": _address(port)},
            "health_status": "UNHEALTHY" if port in unhealthy else "HEALTHY",
        }
        for port in ports
    ]
    document: dict[str, Any] = {"cluster_name": name}
    if hosts:
        document["endpoints"] = [{"lb_endpoints": hosts}]
    return _resource(TypeUrl.ENDPOINTS, name, protos.ClusterLoadAssignment, document)


def listener(
    name: str, port: int, routes: str, *, on_demand: bool = False, **fields: Any
) -> Resource:
    """An HTTP listener that takes its routes by RDS; `fields` go into its HTTP connection manager."""
    filters = [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}]
    if on_demand:
        filters.insert(
            0, {"name": "envoy.filters.http.on_demand", "typed_config": {"@type": ON_DEMAND}}
        )
    source = dict(ADS) | {"initial_fetch_timeout": fields.pop("rds_timeout", "0s")}
    manager = {
        "@type": HTTP,
        "stat_prefix": name,
        "rds": {"route_config_name": routes, "config_source": source},
        "http_filters": filters,
    } | fields
    return _listener(name, port, [{"name": "http", "typed_config": manager}])


def tcp_listener(name: str, port: int, to: str, **fields: Any) -> Resource:
    """A TCP listener that proxies to cluster `to`."""
    proxy = {"@type": TCP, "stat_prefix": name, "cluster": to} | fields
    return _listener(name, port, [{"name": "tcp", "typed_config": proxy}])


def _listener(name: str, port: int, filters: list[dict[str, Any]]) -> Resource:
    document = {"name": name, "address": _address(port), "filter_chains": [{"filters": filters}]}
    return _resource(TypeUrl.LISTENER, name, protos.Listener, document)


def _virtual_host(name: str, domains: tuple[str, ...], **route: Any) -> dict[str, Any]:
    """`to=cluster`, or `status=` and `text=` for a direct response; other fields join the action."""
    if "to" in route:
        action = {"route": {"cluster": route.pop("to")} | route}
    else:
        status = route.pop("status", 200)
        action = {
            "direct_response": {"status": status, "body": {"inline_string": route.pop("text", "")}}
        }
    return {"name": name, "domains": domains, "routes": [{"match": {"prefix": "/"}} | action]}


def routes(name: str, *, vhds: bool = False, star: dict[str, Any] | None = None) -> Resource:
    """A route configuration with, perhaps, a base virtual host `*` and VHDS."""
    document: dict[str, Any] = {"name": name}
    if star is not None:
        document["virtual_hosts"] = [_virtual_host("base", ("*",), **dict(star))]
    if vhds:
        document["vhds"] = {"config_source": ADS}
    return _resource(TypeUrl.ROUTES, name, protos.RouteConfiguration, document)


def virtual_host(name: str, *domains: str, **route: Any) -> Resource:
    """A VHDS resource; its message carries the same name, or Envoy could not remove it."""
    document = _virtual_host(name, domains, **route)
    return _resource(TypeUrl.VIRTUAL_HOST, name, protos.VirtualHost, document)


def alias_only(name: str) -> Resource:
    """The answer "there is no such host"."""
    return Resource(TypeUrl.VIRTUAL_HOST, name, "none", b"")
