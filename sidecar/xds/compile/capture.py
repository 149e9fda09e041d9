"""Listeners for captured connections, by the address and port that the client named.

Each context has one entry, on loopback, that the kernel redirects to. Where a host has one context, the entry hands
each connection over to the listener of its own destination (`use_original_dst`): a service more or less is a listener
more or less, and no other connection is disturbed. Envoy finds those by address alone, so a host with several contexts
holds all places of a context as filter chains of its entry. There a change of TCP places is made in place: connections
of other places go on, HTTP clients are told to connect anew (docs/xds.md, M11); a port that is looked at for the
first time renews the listener, and its connections drain.

Whether the first bytes are looked at is decided by port: a server that speaks first would otherwise wait for ever.
Source: Istio core/listener_builder.go (virtualOutbound), Envoy's listener filters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

from sidecar.mesh.model import FROM_DEFAULTS
from sidecar.routing.capture import ANY_ADDRESS, CapturedPort
from sidecar.routing.table import Cluster, TcpRoute, WeightedCluster
from sidecar.xds import protos as pb
from sidecar.xds.compile.actions import cluster_name
from sidecar.xds.compile.encoding import duration, packed, resource, socket_address
from sidecar.xds.compile.forward_proxy import look_up_server_name
from sidecar.xds.compile.http_manager import manager_filter, outbound_filters
from sidecar.xds.compile.listeners import SILENT_CLIENT_S, Bind, listener_message, tcp_chain
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.resource import Resource, TypeUrl

__all__ = [
    "CaptureBind",
    "InboundChains",
    "compile_entry",
    "compile_inbound_capture",
    "compile_place",
    "compile_places",
    "place_chains",
    "place_name",
]

PLAIN_HTTP = ("http/1.0", "http/1.1", "h2c")
"""What Envoy's HTTP inspector calls what it finds."""

_V4_ANY, _V6_ANY = "0.0.0.0", "::"
_V4_LOOPBACK, _V6_LOOPBACK = "127.0.0.1", "::1"
_DEFAULT_OPTIONS = CompileOptions()


@dataclass(frozen=True, slots=True)
class CaptureBind:
    """Where redirected connections arrive."""

    port: int
    ipv6: bool = False
    """Whether this host has IPv6."""


@dataclass(frozen=True, slots=True)
class InboundChains:
    """One port of a local workload as its own inbound listener has it."""

    app_port: int
    """Port of the application, which captured clients name."""
    listener: Resource
    """The compiled inbound listener: its chains hold for captured connections as well."""


def compile_entry(
    name: str,
    bind: CaptureBind,
    rest: TcpRoute,
    route_config: str,
    options: CompileOptions = _DEFAULT_OPTIONS,
) -> Resource:
    """The entry of a host with one context: hands over to the place of a connection's destination, or to `rest`."""
    made = _entry(name, bind, rest, options)
    made.filter_chains.append(_keeper(route_config, options))
    made.use_original_dst.value = True
    return resource(TypeUrl.LISTENER, name, made, sources=(rest.source,))


def place_name(entry: str, captured: CapturedPort) -> str:
    """Name of the listener of one place."""
    return f"{entry}_{captured.place.address or _V4_ANY}_{captured.place.port}"


def compile_place(
    entry: str,
    captured: CapturedPort,
    rest: TcpRoute,
    route_config: str,
    *,
    ipv6: bool = False,
    options: CompileOptions = _DEFAULT_OPTIONS,
) -> Resource:
    """The listener of one place, on no socket of its own: connections come from the entry.

    Args:
        entry: Name of the entry.
        captured: The place.
        rest: What bytes get that no route there takes; at one address nothing does, and the connection is closed.
        route_config: Routes of HTTP requests.
        ipv6: Whether the place for all addresses is for those of IPv6, too.
        options: Facts about this host.
    """
    name = place_name(entry, captured)
    place = captured.place
    made = listener_message(
        name,
        Bind(place.address or _V4_ANY, place.port),
        _chains(captured, route_config, options),
        direction=pb.TrafficDirection.OUTBOUND,
    )
    made.bind_to_port.value = False
    for address in captured.also:
        made.additional_addresses.add(address=socket_address(address, place.port))
    if place.address == ANY_ADDRESS:
        if ipv6:
            made.additional_addresses.add(address=socket_address(_V6_ANY, place.port))
        if not captured.takes_all:
            made.default_filter_chain.CopyFrom(_tcp("rest", rest, options))
    _add_inspectors(made, [captured], everywhere=True)
    return resource(TypeUrl.LISTENER, name, made, sources=captured.sources)


def place_chains(
    captured: CapturedPort, route_config: str, options: CompileOptions = _DEFAULT_OPTIONS
) -> tuple[pb.FilterChain, ...]:
    """The chains of one place among those of others, for `compile_places`."""
    address, port = captured.place
    chains = _chains(captured, route_config, options)
    for chain in chains:
        chain.name = f"{address or 'any'}_{port}_{chain.name}"
        chain.filter_chain_match.destination_port.value = port
        if address != ANY_ADDRESS:
            for one in (address, *captured.also):
                _add_range(chain, one)
    return tuple(chains)


def compile_places(
    name: str,
    bind: CaptureBind,
    places: Sequence[tuple[CapturedPort, tuple[pb.FilterChain, ...]]],
    rest: TcpRoute,
    route_config: str,
    options: CompileOptions = _DEFAULT_OPTIONS,
) -> Resource:
    """The entry of one context of several: with the chains of all its places, told apart by destination."""
    made = _entry(name, bind, rest, options)
    made.filter_chains.append(_keeper(route_config, options))
    for _, chains in places:
        made.filter_chains.extend(chains)
    _add_inspectors(made, [captured for captured, _ in places])
    sources = dict.fromkeys(source for one, _ in places for source in one.sources)
    return resource(TypeUrl.LISTENER, name, made, sources=tuple(sources))


def compile_inbound_capture(
    name: str,
    bind: CaptureBind,
    ports: Iterable[InboundChains],
    options: CompileOptions = _DEFAULT_OPTIONS,
) -> Resource:
    """The listener for captured connections to local applications, by the application's port.

    Each port has the chains of its own inbound listener, with all that holds there. What is captured for a port without
    any (`capture.inbound_ports`) goes on to where it was sent: to the application, since Envoy's own is not captured.
    """
    onward = TcpRoute((WeightedCluster(Cluster.ORIGINAL_DESTINATION),), FROM_DEFAULTS)
    made = _entry(name, bind, onward, options, inbound=True)
    inspected: set[int] = set()
    # Of two services on one application port the first registered has its captured connections.
    first = {one.app_port: one for one in reversed(tuple(ports))}
    for one in sorted(first.values(), key=lambda each: each.app_port):
        own = pb.Listener()
        own.ParseFromString(one.listener.body)
        if own.listener_filters:
            inspected.add(one.app_port)
        for chain in own.filter_chains:
            chain.name = f"{one.app_port}_{chain.name}"
            chain.filter_chain_match.destination_port.value = one.app_port
            made.filter_chains.append(chain)
    if inspected:
        made.listener_filters.append(_at_ports(_TLS_INSPECTOR, inspected))
        made.listener_filters_timeout.CopyFrom(duration(SILENT_CLIENT_S))
        made.continue_on_listener_filters_timeout = True
    secrets = frozenset(secret for one in first.values() for secret in one.listener.secrets)
    return resource(TypeUrl.LISTENER, name, made, secrets=secrets)


def _entry(
    name: str, bind: CaptureBind, rest: TcpRoute, options: CompileOptions, *, inbound: bool = False
) -> pb.Listener:
    """A listener that learns each connection's own destination; one that was not redirected goes nowhere.

    Redirected connections that leave arrive on loopback; those that come in, on the address of their interface.
    """
    v4, v6 = (_V4_ANY, _V6_ANY) if inbound else (_V4_LOOPBACK, _V6_LOOPBACK)
    nowhere = TcpRoute((WeightedCluster(Cluster.BLACK_HOLE),), FROM_DEFAULTS)
    direct = _tcp("not-redirected", nowhere, options)
    direct.filter_chain_match.destination_port.value = bind.port
    direction = pb.TrafficDirection.INBOUND if inbound else pb.TrafficDirection.OUTBOUND
    made = listener_message(name, Bind(v4, bind.port), [direct], direction=direction)
    if bind.ipv6:
        made.additional_addresses.add(address=socket_address(v6, bind.port))
    made.listener_filters.append(_ORIGINAL_DST)
    made.default_filter_chain.CopyFrom(_tcp("rest", rest, options))
    return made


def _keeper(route_config: str, options: CompileOptions) -> pb.FilterChain:
    """A chain that no connection ever takes: it has Envoy hold the routes before the first HTTP port is there."""
    chain = pb.FilterChain(name="routes")
    _add_range(chain, "255.255.255.255")
    chain.filters.append(_http(route_config, options))
    return chain


def _http(route_config: str, options: CompileOptions) -> pb.Filter:
    # Requests that Envoy resolves itself and that come back are stopped where they come back: at the listener that
    # applications speak to, since Envoy's own connections are not captured.
    filters = outbound_filters(replace(options, outbound_ports=()), on_demand=True)
    return manager_filter("captured", route_config, filters, options, cold_hosts=True)


def _chains(
    captured: CapturedPort, route_config: str, options: CompileOptions
) -> list[pb.FilterChain]:
    """The chains of one place: HTTP by its first bytes, then bytes by server name and address."""
    chains = []
    for position, ranges in enumerate(captured.http):
        match = pb.FilterChainMatch(
            transport_protocol="raw_buffer", application_protocols=PLAIN_HTTP
        )
        chain = pb.FilterChain(name=f"http-{position}", filter_chain_match=match)
        chain.filters.append(_http(route_config, options))
        for one in ranges:
            _add_range(chain, one)
        chains.append(chain)
    for position, route in enumerate(captured.routes):
        chain = _tcp(f"route-{position}", route, options)
        chain.filter_chain_match.server_names.extend(route.sni_hosts)
        for subnet in route.destination_subnets:
            _add_range(chain, subnet)
        chains.append(chain)
        if captured.http and not route.sni_hosts:
            # Envoy looks no further than the chains of a connection's transport, once there is one: those of HTTP.
            twin = pb.FilterChain()
            twin.CopyFrom(chain)
            twin.name = f"{chain.name}-plain"
            twin.filter_chain_match.transport_protocol = "raw_buffer"
            chains.append(twin)
    return chains


def _tcp(name: str, route: TcpRoute, options: CompileOptions) -> pb.FilterChain:
    targets = tuple((cluster_name(one.cluster), one.weight) for one in route.clusters)
    chain = tcp_chain(name, "captured", targets, options, route.flow)
    look_up_server_name(chain, route.flow, options)
    return chain


def _add_range(chain: pb.FilterChain, address: str) -> None:
    network = ip_network(address, strict=False)
    one = chain.filter_chain_match.prefix_ranges.add(address_prefix=str(network.network_address))
    one.prefix_len.value = network.prefixlen


def _add_inspectors(
    made: pb.Listener, places: Sequence[CapturedPort], *, everywhere: bool = False
) -> None:
    """Look at first bytes where a place asks for it; `everywhere`: on all connections of the listener."""
    wanted = (
        (_TLS_INSPECTOR, {one.place.port for one in places if one.http or one.needs_server_names}),
        (_HTTP_INSPECTOR, {one.place.port for one in places if one.http}),
    )
    for inspector, ports in wanted:
        if ports:
            made.listener_filters.append(inspector if everywhere else _at_ports(inspector, ports))
            _wait_for_bytes(made)


def _at_ports(inspector: pb.ListenerFilter, ports: Iterable[int]) -> pb.ListenerFilter:
    """The filter for connections to these ports alone."""
    predicate = pb.ListenerFilterChainMatchPredicate
    rules = [
        predicate(destination_port_range=pb.Int32Range(start=port, end=port + 1))
        for port in sorted(ports)
    ]
    any_of = rules[0] if len(rules) == 1 else predicate(or_match=predicate.MatchSet(rules=rules))
    limited = pb.ListenerFilter()
    limited.CopyFrom(inspector)
    limited.filter_disabled.CopyFrom(predicate(not_match=any_of))
    return limited


def _wait_for_bytes(made: pb.Listener) -> None:
    """Wait for first bytes without end, as Istio does: a client that opens early and speaks late is not cut off."""
    made.listener_filters_timeout.CopyFrom(duration(0))


_ORIGINAL_DST = pb.ListenerFilter(
    name="envoy.filters.listener.original_dst", typed_config=packed(pb.OriginalDst())
)
_TLS_INSPECTOR = pb.ListenerFilter(
    name="envoy.filters.listener.tls_inspector", typed_config=packed(pb.TlsInspector())
)
_HTTP_INSPECTOR = pb.ListenerFilter(
    name="envoy.filters.listener.http_inspector", typed_config=packed(pb.HttpInspector())
)
