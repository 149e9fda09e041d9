"""Clusters: one for each destination, and the few that stand for none.

Follows Istio's cluster_builder.go for types and policies. EDS clusters hold no endpoint: those come in the resource of
the same name. DNS clusters hold theirs, since Envoy resolves them itself, so there an endpoint change is a cluster
change. Clusters are to be byte-stable: a changed one loses its connections and ejections (docs/xds.md, M4, M5).
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.balancing.model import ClusterPlan, EndpointSet
from sidecar.balancing.transport import accepted_names
from sidecar.mesh.model import Protocol, Provenance, Resolution
from sidecar.routing.table import Cluster, InboundKey
from sidecar.xds import protos as pb
from sidecar.xds.compile import forward_proxy
from sidecar.xds.compile.cluster_policies import (
    add_balancing,
    add_breakers,
    add_connection,
    add_outlier_detection,
    forwards_to_requested,
)
from sidecar.xds.compile.encoding import ads, duration, packed, resource, socket_address
from sidecar.xds.compile.endpoints import load_assignment
from sidecar.xds.compile.options import CompileOptions, DnsFamily
from sidecar.xds.compile.sockets import add_sockets
from sidecar.xds.compile.tls import originates_tls
from sidecar.xds.compile.upstream_http import HTTP_OPTIONS, upstream_http_options
from sidecar.xds.resource import Resource, TypeUrl
from store.objects.connection_pool import ConnectionPoolSettings
from store.objects.mesh_config import MeshConfigSpec

__all__ = [
    "compile_black_hole",
    "compile_cluster",
    "compile_inbound_cluster",
    "compile_original_destination",
    "compile_passthrough",
    "is_dynamic",
    "needs_endpoints",
]

EDS_FETCH_TIMEOUT_S = 5.0
"""How long a cluster warms without endpoints before it goes on with those it had (we push them at once)."""

DNS_REFRESH_S = 60.0
"""How often names are resolved where the answer's TTL does not say (Istio's default)."""

_DEFAULT_OPTIONS = CompileOptions()
_BY_DNS = (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
_DNS_FAMILIES = {
    DnsFamily.V4_ONLY: pb.DnsLookupFamily.V4_ONLY,
    DnsFamily.V6_ONLY: pb.DnsLookupFamily.V6_ONLY,
    DnsFamily.V4_PREFERRED: pb.DnsLookupFamily.V4_PREFERRED,
    DnsFamily.ALL: pb.DnsLookupFamily.ALL,
}


def is_dynamic(plan: ClusterPlan) -> bool:
    """Whether requests go to the address that their own authority names (no endpoints of ours)."""
    return plan.resolution in (Resolution.NONE, Resolution.DYNAMIC_DNS) or forwards_to_requested(
        plan.policy.load_balancer
    )


def needs_endpoints(plan: ClusterPlan) -> bool:
    """Whether the cluster takes its endpoints from an EDS resource of its name."""
    return not is_dynamic(plan) and plan.resolution not in _BY_DNS


def compile_cluster(
    plan: ClusterPlan,
    mesh_config: MeshConfigSpec,
    *,
    endpoints: EndpointSet | None = None,
    options: CompileOptions = _DEFAULT_OPTIONS,
) -> Resource:
    """The cluster of one destination.

    Args:
        plan: Resolution, port and policy.
        mesh_config: Defaults of the mesh: connect timeout, locality.
        endpoints: Needed for DNS resolutions, whose endpoints are part of the cluster; else not looked at.
        options: Facts about this host.
    """
    policy = plan.policy
    cluster = pb.Cluster(name=plan.key.name, ignore_health_on_host_removal=True)
    add_connection(cluster, policy.connection_pool, mesh_config.connect_timeout)
    add_breakers(cluster, policy.connection_pool, policy.retry_budget)
    add_outlier_detection(cluster, policy.outlier_detection)
    sources = list(plan.sources)
    if plan.key.original:
        _make_original(cluster)
    elif is_dynamic(plan):
        _make_dynamic(cluster, plan, options)
    else:
        eds = needs_endpoints(plan)
        add_balancing(cluster, policy, mesh_config.locality_lb_setting, default_panic=not eds)
        if eds:
            cluster.type = pb.Cluster.EDS
            cluster.eds_cluster_config.eds_config.CopyFrom(ads(EDS_FETCH_TIMEOUT_S))
        else:
            _make_dns(cluster, plan, endpoints, options)
            sources += [endpoint.source for endpoint in endpoints.endpoints] if endpoints else []
    secrets = add_sockets(cluster, plan, options, has_endpoints=not is_dynamic(plan))
    _add_protocols(cluster, plan)
    return resource(
        TypeUrl.CLUSTER,
        cluster.name,
        cluster,
        sources=[*sources, policy.source],
        secrets=secrets,
    )


def _make_dynamic(cluster: pb.Cluster, plan: ClusterPlan, options: CompileOptions) -> None:
    # Names not taken from each request are the publisher's own decision, said in the rule.
    insecure = originates_tls(plan.policy.tls) and not all(_checks_by_request(plan))
    cluster.cluster_type.CopyFrom(forward_proxy.cluster_type(options, insecure=insecure))
    cluster.lb_policy = pb.Cluster.CLUSTER_PROVIDED


def _make_original(cluster: pb.Cluster) -> None:
    cluster.type = pb.Cluster.ORIGINAL_DST
    cluster.lb_policy = pb.Cluster.CLUSTER_PROVIDED


def _make_dns(
    cluster: pb.Cluster,
    plan: ClusterPlan,
    endpoints: EndpointSet | None,
    options: CompileOptions,
) -> None:
    one_address = plan.resolution is Resolution.DNS_ROUND_ROBIN
    config = pb.DnsCluster(
        dns_refresh_rate=duration(DNS_REFRESH_S),
        respect_dns_ttl=True,
        dns_lookup_family=_DNS_FAMILIES[options.dns_family],
        all_addresses_in_single_endpoint=one_address,
    )
    cluster.cluster_type.name = "envoy.cluster.dns"
    cluster.cluster_type.typed_config.CopyFrom(packed(config))
    if endpoints is None:
        cluster.load_assignment.cluster_name = cluster.name
        return
    if one_address:
        # Envoy takes exactly one name here; the others would make it refuse the cluster.
        endpoints = EndpointSet(key=endpoints.key, endpoints=endpoints.endpoints[:1])
    cluster.load_assignment.CopyFrom(load_assignment(cluster.name, endpoints))


def _add_protocols(cluster: pb.Cluster, plan: ClusterPlan) -> None:
    policy = plan.policy
    # A forward proxy must name both, though without TLS there is nothing to check.
    auto_sni = auto_san = is_dynamic(plan)
    if originates_tls(policy.tls):
        auto_sni, auto_san = _checks_by_request(plan)
    http = upstream_http_options(
        plan.port.protocol,
        policy.connection_pool,
        policy.outlier_detection,
        auto_sni=auto_sni,
        auto_san=auto_san,
    )
    if http is not None:
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(http)


def _checks_by_request(plan: ClusterPlan) -> tuple[bool, bool]:
    """Whether SNI, and whether the accepted certificate name, come from each request's own host."""
    tls = plan.policy.tls
    if tls is None or tls.mode == "ISTIO_MUTUAL" or not plan.port.protocol.is_http:
        return False, False
    return not tls.sni, not tls.insecure_skip_verify and not accepted_names(plan)


def compile_passthrough(
    mesh_config: MeshConfigSpec, options: CompileOptions = _DEFAULT_OPTIONS
) -> Resource:
    """`PassthroughCluster`: hosts that no object names, resolved as each request says (ALLOW_ANY)."""
    cluster = pb.Cluster(
        name=Cluster.PASSTHROUGH.value,
        connect_timeout=duration(mesh_config.connect_timeout),
        lb_policy=pb.Cluster.CLUSTER_PROVIDED,
        cluster_type=forward_proxy.cluster_type(options),
    )
    add_breakers(cluster, None, None)
    client_decides = upstream_http_options(Protocol.AUTO, None, None, auto_sni=True, auto_san=True)
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(client_decides)
    return resource(TypeUrl.CLUSTER, cluster.name, cluster)


def compile_original_destination(mesh_config: MeshConfigSpec) -> Resource:
    """`OriginalDestinationCluster`: captured connections go on to the address that the client named."""
    cluster = pb.Cluster(
        name=Cluster.ORIGINAL_DESTINATION.value,
        connect_timeout=duration(mesh_config.connect_timeout),
    )
    _make_original(cluster)
    add_breakers(cluster, None, None)
    client_decides = upstream_http_options(Protocol.AUTO, None, None)
    if client_decides is not None:
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(client_decides)
    return resource(TypeUrl.CLUSTER, cluster.name, cluster)


def compile_black_hole() -> Resource:
    """`BlackHoleCluster`: never has an endpoint; requests to it get 503."""
    name = Cluster.BLACK_HOLE.value
    cluster = pb.Cluster(
        name=name,
        type=pb.Cluster.STATIC,
        connect_timeout=duration(1),
        load_assignment=pb.ClusterLoadAssignment(cluster_name=name),
    )
    return resource(TypeUrl.CLUSTER, name, cluster)


def compile_inbound_cluster(
    key: InboundKey,
    app_address: str,
    app_port: int,
    protocol: Protocol,
    connect_timeout_s: float,
    *,
    pool: ConnectionPoolSettings | None = None,
    sources: Iterable[Provenance] = (),
) -> Resource:
    """The local workload behind one of its ports.

    Args:
        key: Port by which the mesh knows it.
        app_address: Where the application listens: an IP address (usually 127.0.0.1) or a unix socket's path.
        app_port: Port of the application; 0 for a unix socket.
        protocol: What the application speaks.
        connect_timeout_s: Seconds until a connection attempt fails, where `pool` does not say.
        pool: Limits towards the application (Sidecar, or the service's own DestinationRule).
        sources: The objects that it was made from.
    """
    name = key.name
    locality = pb.LocalityLbEndpoints()
    locality.lb_endpoints.add().endpoint.address.CopyFrom(socket_address(app_address, app_port))
    cluster = pb.Cluster(
        name=name,
        type=pb.Cluster.STATIC,
        load_assignment=pb.ClusterLoadAssignment(cluster_name=name, endpoints=[locality]),
    )
    add_connection(cluster, pool, connect_timeout_s)
    add_breakers(cluster, pool, None)
    http = upstream_http_options(protocol, _without_upgrade(pool), None)
    if http is not None:
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(http)
    return resource(TypeUrl.CLUSTER, name, cluster, sources=sources)


def _without_upgrade(pool: ConnectionPoolSettings | None) -> ConnectionPoolSettings | None:
    """The pool without `h2UpgradePolicy`, which is for clients: the application speaks what its port says."""
    if pool is None or pool.http is None or pool.http.h2_upgrade_policy is None:
        return pool
    return pool.model_copy(
        update={"http": pool.http.model_copy(update={"h2_upgrade_policy": None})}
    )
