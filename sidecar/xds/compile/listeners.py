"""Listeners: outbound (explicit proxy and plain requests by Host), inbound, TCP and HTTP egress.

Each variant is one function over the same few pieces. Gateways have their own module. A listener's bytes depend on
settings and, for TCP, on the destinations; never on HTTP routes (docs/xds.md, M11).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.certificates.model import Identity, SecretSource
from sidecar.mesh.model import Protocol, Provenance
from sidecar.routing.table import Flow, InboundKey, TcpRoute
from sidecar.telemetry.packing import Observer, Reporter
from sidecar.telemetry.party import Party
from sidecar.xds import protos as pb
from sidecar.xds.compile.access_logs import tcp_access_logs
from sidecar.xds.compile.actions import cluster_name
from sidecar.xds.compile.chains import apart
from sidecar.xds.compile.encoding import duration, packed, resource, socket_address
from sidecar.xds.compile.forward_proxy import look_up_server_name
from sidecar.xds.compile.http_manager import manager_filter, outbound_filters
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.resource import Resource, TypeUrl

__all__ = [
    "Bind",
    "InboundPort",
    "add_addresses",
    "compile_http_egress",
    "compile_outbound_listener",
    "compile_tcp_egress",
    "listener",
    "listener_message",
    "tcp_chain",
]

HTTP_ALPN = ("h2", "http/1.1")
"""What a server that ends TLS offers where requests are read."""
SILENT_CLIENT_S = 1.0
"""How long bytes to look at are waited for at a TCP port; then the connection is taken for plain text."""
TCP_PROXY = "envoy.filters.network.tcp_proxy"

_DEFAULT_OPTIONS = CompileOptions()
_NO_POLICY = Flow()


@dataclass(frozen=True, slots=True)
class Bind:
    """Where a listener listens."""

    address: str
    """IP address, or the absolute path of a unix socket."""
    port: int = 0
    """Port; 0 for a unix socket."""

    def __str__(self) -> str:
        return f"{self.address}_{self.port}" if self.port else self.address


@dataclass(frozen=True, slots=True)
class InboundPort:
    """One port of a local workload: where peers connect and where the application listens."""

    key: InboundKey
    """Port by which the mesh knows it."""
    bind: Bind
    """Where this host takes connections for it."""
    app_address: str
    """Where the application listens: IP address or unix socket."""
    app_port: int
    """Port of the application; 0 for a unix socket."""
    protocol: Protocol = Protocol.AUTO
    """What the application speaks; AUTO is taken for HTTP, as elsewhere without capture."""
    number: int = 0
    """Port of the service that it is registered as; 0 for a port that no service has."""
    service: str = ""
    """Service that the workload is registered under, as it names it; empty for none."""
    namespace: str = "default"
    """Namespace of the workload: which Sidecar and which DestinationRules speak for it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the workload, for the same reason."""
    workload: str = ""
    """Name of the workload."""

    @property
    def party(self) -> Party:
        """The workload, as metrics and spans name it."""
        return Party.of(self.workload, self.namespace, self.labels)

    @property
    def observer(self) -> Observer:
        """Who counts what comes in here."""
        return Observer(Reporter.DESTINATION, str(self.key.port))

    identity: Identity | None = None
    """Of the workload: peers may then use mutual TLS beside plain text."""


def compile_outbound_listener(
    name: str, bind: Bind, route_config: str, options: CompileOptions = _DEFAULT_OPTIONS
) -> Resource:
    """The listener that a workload sends its HTTP requests to.

    It takes requests to a proxy (absolute form, CONNECT) and plain ones by Host, HTTP/1.1 and HTTP/2. It is the same
    whether hosts are loaded whole or on demand, so that crossing the budget drains nothing.
    """
    http = manager_filter(
        "outbound",
        route_config,
        outbound_filters(options, on_demand=True),
        options,
        connect=True,
        cold_hosts=True,
    )
    chain = pb.FilterChain(filters=[http])
    return listener(name, bind, [chain], direction=pb.TrafficDirection.OUTBOUND)


def compile_http_egress(
    name: str, bind: Bind, route_config: str, options: CompileOptions = _DEFAULT_OPTIONS
) -> Resource:
    """The listener of one HTTP port of a `Sidecar` egress section; its hosts are pushed, never asked for."""
    http = manager_filter(
        "egress", route_config, outbound_filters(options, on_demand=False), options, connect=True
    )
    return listener(
        name, bind, [pb.FilterChain(filters=[http])], direction=pb.TrafficDirection.OUTBOUND
    )


def compile_tcp_egress(
    name: str,
    bind: Bind,
    routes: tuple[TcpRoute, ...],
    options: CompileOptions = _DEFAULT_OPTIONS,
) -> Resource:
    """A listener for TCP or TLS: one chain per route, by server name and address; a route without either is last."""
    chains: list[pb.FilterChain] = []
    for position, route in enumerate(routes):
        targets = tuple((cluster_name(c.cluster), c.weight) for c in route.clusters)
        chain = tcp_chain(f"route-{position}", "egress", targets, options, route.flow)
        look_up_server_name(chain, route.flow, options)
        chain.filter_chain_match.server_names.extend(route.sni_hosts)
        add_addresses(chain, route.destination_subnets)
        chains.append(chain)
    return listener(
        name,
        bind,
        chains,
        direction=pb.TrafficDirection.OUTBOUND,
        inspect_tls=any(route.sni_hosts for route in routes),
        sources=tuple(route.source for route in routes),
    )


def add_addresses(chain: pb.FilterChain, subnets: Iterable[str]) -> None:
    """Have a chain take connections to these addresses or CIDRs only; none given: to any."""
    for subnet in subnets:
        address, _, length = subnet.partition("/")
        bits = int(length) if length else (128 if ":" in address else 32)
        prefix = chain.filter_chain_match.prefix_ranges.add(address_prefix=address)
        prefix.prefix_len.value = bits


def listener(
    name: str,
    bind: Bind,
    chains: list[pb.FilterChain],
    *,
    direction: int,
    inspect_tls: bool = False,
    silent_clients: bool = False,
    sources: tuple[Provenance, ...] = (),
    secrets: frozenset[SecretSource] = frozenset(),
) -> Resource:
    """A listener with its filter chains.

    The port is not shared (`SO_REUSEPORT` off), so that two Envoys on one port are an error that somebody sees.

    Args:
        name: Its name.
        bind: Where it listens.
        chains: What may become of a connection.
        direction: Of the traffic, for statistics.
        inspect_tls: Look at the first bytes for TLS, server name and ALPN.
        silent_clients: Where bytes are looked at, do not wait for ever: clients may wait for the server.
        sources: Objects that it was made from.
        secrets: Secrets that the chains name.
    """
    compiled = listener_message(name, bind, chains, direction=direction)
    if inspect_tls:
        compiled.listener_filters.append(_TLS_INSPECTOR)
    if inspect_tls and silent_clients:
        compiled.listener_filters_timeout.CopyFrom(duration(SILENT_CLIENT_S))
        compiled.continue_on_listener_filters_timeout = True
    return resource(TypeUrl.LISTENER, name, compiled, sources=sources, secrets=secrets)


def listener_message(
    name: str, bind: Bind, chains: list[pb.FilterChain], *, direction: int
) -> pb.Listener:
    """The message of a listener, for what `listener` does not know of."""
    return pb.Listener(
        name=name,
        address=socket_address(bind.address, bind.port),
        filter_chains=apart(chains),
        traffic_direction=direction,
        enable_reuse_port=pb.BoolValue(value=False),
    )


def tcp_chain(
    name: str,
    stat_prefix: str,
    targets: Sequence[tuple[str, int]],
    options: CompileOptions,
    flow: Flow = _NO_POLICY,
) -> pb.FilterChain:
    """A chain that passes bytes on to one cluster, or to several by weight, through a proxy's tunnel where asked."""
    proxy = pb.TcpProxy(stat_prefix=stat_prefix, access_log=tcp_access_logs(options))
    if options.telemetry.metrics:
        proxy.access_log_options.flush_access_log_on_connected = True
    if flow.idle_timeout_s is not None:
        proxy.idle_timeout.CopyFrom(duration(flow.idle_timeout_s))
    if flow.life_s:
        proxy.max_downstream_connection_duration.CopyFrom(duration(flow.life_s))
    if flow.by_source_ip:
        proxy.hash_policy.add().source_ip.SetInParent()
    if flow.tunnel is not None:
        proxy.tunneling_config.hostname = flow.tunnel.authority
        proxy.tunneling_config.use_post = flow.tunnel.by_post
    if len(targets) == 1:
        proxy.cluster = targets[0][0]
    else:
        for target, weight in targets:
            proxy.weighted_clusters.clusters.add(name=target, weight=weight)
    return pb.FilterChain(
        name=name, filters=[pb.Filter(name=TCP_PROXY, typed_config=packed(proxy))]
    )


_TLS_INSPECTOR = pb.ListenerFilter(
    name="envoy.filters.listener.tls_inspector", typed_config=packed(pb.TlsInspector())
)
