"""Which transport a cluster's connections take: plain, TLS of a rule, mutual TLS of the mesh, or each endpoint its own.

What is decided is in `sidecar.balancing.transport`. Endpoints decide by `tlsMode: istio` in their metadata, so that a
host that gets an identity changes endpoints and never a cluster. Source: Istio cluster_tls.go.
"""

from __future__ import annotations

from sidecar.balancing.model import ClusterPlan
from sidecar.balancing.transport import accepted_names, is_automatic
from sidecar.certificates.model import SecretSource
from sidecar.xds import protos as pb
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.compile.tls import (
    PLAIN,
    TlsSocket,
    mesh_socket,
    originates_tls,
    upstream_socket,
    with_proxy_protocol,
)
from sidecar.xds.compile.upstream_http import client_decides, speaks_http2
from sidecar.xds.resource import Resource

__all__ = ["add_sockets", "is_always_secured"]


def add_sockets(
    cluster: pb.Cluster, plan: ClusterPlan, options: CompileOptions, *, has_endpoints: bool = True
) -> frozenset[SecretSource]:
    """Put the transport of a destination into its cluster; returns the secrets that it names.

    Args:
        cluster: The cluster.
        plan: What the destination is.
        options: Facts about this host.
        has_endpoints: Whether it has endpoints that could decide; those that a request names itself say nothing.
    """
    version = _proxy_version(plan)
    if has_endpoints and is_automatic(plan):
        secure, plain = _with(version, _mesh(plan)), _with(version, PLAIN)
        for name, socket in (("istio", secure), ("plain", plain)):
            made = cluster.transport_socket_matches.add(name=name, transport_socket=socket.socket)
            made.match.SetInParent()
            if socket is secure:
                made.match.update({"tlsMode": "istio"})
        return secure.secrets
    chosen = _with(version, _of_rule(plan, options))
    if chosen is not PLAIN:
        cluster.transport_socket.CopyFrom(chosen.socket)
    return chosen.secrets


def is_always_secured(cluster: Resource) -> bool:
    """Whether every connection of a compiled cluster is TLS, whatever its endpoints say."""
    return pb.Cluster.FromString(cluster.body).HasField("transport_socket") and bool(
        cluster.secrets
    )


def _of_rule(plan: ClusterPlan, options: CompileOptions) -> TlsSocket:
    tls = plan.policy.tls
    if tls is None or plan.key.sni_routed or not originates_tls(tls):
        return PLAIN
    if tls.mode == "ISTIO_MUTUAL":
        return _mesh(plan)
    return upstream_socket(
        tls,
        sni=tls.sni or _tcp_server_name(plan),
        subject_alt_names=accepted_names(plan),
        http2=speaks_http2(plan.port.protocol, plan.policy.connection_pool),
        options=options,
    )


def _mesh(plan: ClusterPlan) -> TlsSocket:
    tls = plan.policy.tls
    sni = (tls.sni if tls is not None else "") or plan.key.server_name
    names = accepted_names(plan)
    return mesh_socket(plan.identity, sni=sni, subject_alt_names=names, alpn=_mesh_alpn(plan))


def _mesh_alpn(plan: ClusterPlan) -> tuple[str, ...]:
    """`istio`, and the version of HTTP where it is certain: a server that knows it need not look at the first bytes."""
    protocol, pool = plan.port.protocol, plan.policy.connection_pool
    if not protocol.is_http or client_decides(protocol, pool):
        return ("istio",)
    return ("istio", "h2") if speaks_http2(protocol, pool) else ("istio", "http/1.1")


def _tcp_server_name(plan: ClusterPlan) -> str:
    """SNI for TLS begun here under plain TCP: no request names a host, so the service's own name is sent."""
    if plan.port.protocol.is_http or plan.key.host.startswith("*"):
        return ""
    return plan.key.host


def _proxy_version(plan: ClusterPlan) -> str:
    given = plan.policy.proxy_protocol
    return "" if given is None else str(given.version or "V1")


def _with(version: str, socket: TlsSocket) -> TlsSocket:
    return with_proxy_protocol(socket, version) if version else socket
