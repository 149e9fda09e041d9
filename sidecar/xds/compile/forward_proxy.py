"""The dynamic forward proxy: requests to names that the mesh does not list, or lists without endpoints.

Without capture there is no original destination, so `PassthroughCluster` and services with resolution NONE resolve
the request's own authority. A request that would come back to one of our own outbound listeners is refused (403)
by a check on the resolved address, or it would go round for ever. Filter and clusters must agree on the DNS cache
to the letter, so it is made here once.

Source: Envoy, "Dynamic forward proxy"; RBAC `upstream_ip_port` matcher.
"""

from __future__ import annotations

from ipaddress import ip_network

from sidecar.routing.table import Flow
from sidecar.xds import protos as pb
from sidecar.xds.compile.encoding import duration, extension, packed
from sidecar.xds.compile.options import CompileOptions

__all__ = [
    "BY_NAME_FILTERS",
    "FORWARD_PROXY_FILTER",
    "cluster_type",
    "forward_proxy_filters",
    "look_up_server_name",
]

FORWARD_PROXY_FILTER = "envoy.filters.http.dynamic_forward_proxy"
SERVER_NAME_FILTER = "envoy.filters.network.sni_dynamic_forward_proxy"
LOOP_FILTER = "envoy.filters.http.rbac"
BY_NAME_FILTERS = (FORWARD_PROXY_FILTER, LOOP_FILTER)
"""Filters that have something to do only where a request's own name is looked up."""

_LOOPBACK = ("127.0.0.0/8", "::1/128", "0.0.0.0/32", "::/128")
_REFRESH_S = 60.0
_UNUSED_NAME_TTL_S = 300.0


def cluster_type(
    options: CompileOptions, *, insecure: bool = False
) -> pb.Cluster.CustomClusterType:
    """The cluster type that resolves each request's own authority.

    Args:
        options: DNS settings.
        insecure: Allow TLS without name checks taken from the request (explicit SNI or SANs, or none wanted).
    """
    config = pb.ForwardProxyCluster(
        dns_cache_config=_dns_cache(options), allow_insecure_cluster_options=insecure
    )
    return pb.Cluster.CustomClusterType(
        name="envoy.clusters.dynamic_forward_proxy", typed_config=packed(config)
    )


def forward_proxy_filters(options: CompileOptions) -> list[pb.HttpFilter]:
    """The HTTP filters that resolve, then refuse loops; they do nothing for other clusters."""
    resolve = pb.ForwardProxyFilter(
        dns_cache_config=_dns_cache(options), save_upstream_address=True
    )
    filters = [pb.HttpFilter(name=FORWARD_PROXY_FILTER, typed_config=packed(resolve))]
    if options.outbound_ports:
        filters.append(pb.HttpFilter(name=LOOP_FILTER, typed_config=packed(_refuse_loops(options))))
    return filters


def look_up_server_name(chain: pb.FilterChain, flow: Flow, options: CompileOptions) -> None:
    """Have a chain of TLS connections go to where their server name leads, if its destination has no endpoints."""
    if not flow.by_server_name:
        return
    config = pb.ServerNameForwardProxyFilter(
        dns_cache_config=_dns_cache(options), port_value=flow.by_server_name
    )
    chain.filters.insert(0, pb.Filter(name=SERVER_NAME_FILTER, typed_config=packed(config)))


def _refuse_loops(options: CompileOptions) -> pb.RbacFilter:
    own = [
        _own_listener(str(ip_network(address, strict=False)), port)
        for address in (*_LOOPBACK, *options.own_addresses)
        for port in options.outbound_ports
    ]
    policy = pb.Policy(
        permissions=[pb.Permission(or_rules=pb.Permission.Set(rules=own))],
        principals=[pb.Principal(any=True)],
    )
    return pb.RbacFilter(
        rules=pb.RBAC(action=pb.RBAC.DENY, policies={"own-outbound-listener": policy}),
        rules_stat_prefix="loops",
    )


def _own_listener(network: str, port: int) -> pb.Permission:
    address, length = network.split("/")
    matcher = pb.UpstreamIpPortMatcher(
        upstream_ip=pb.CidrRange(
            address_prefix=address, prefix_len=pb.UInt32Value(value=int(length))
        ),
        upstream_port_range=pb.Int64Range(start=port, end=port + 1),
    )
    return pb.Permission(matcher=extension("envoy.rbac.matchers.upstream_ip_port", matcher))


def _dns_cache(options: CompileOptions) -> pb.DnsCacheConfig:
    return pb.DnsCacheConfig(
        name="meshd",
        dns_lookup_family=options.dns_family.value,
        dns_refresh_rate=duration(_REFRESH_S),
        host_ttl=duration(_UNUSED_NAME_TTL_S),
        max_hosts=pb.UInt32Value(value=options.dns_hosts_max),
    )
