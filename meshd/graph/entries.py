"""Where requests enter: a workload's sidecar, listeners that its Sidecar declares, servers of gateways.

Each with the virtual hosts or connection routes that the routing table gives it; nothing is read from objects here but
the selectors of Gateways, to know which gateway workloads there may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from meshd.graph.model import COLUMNS, Kind, Node
from meshd.graph.words import short
from sidecar.mesh.facts import GatewayFacts
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context
from sidecar.mesh.view import View
from sidecar.routing.build import (
    gateway_servers,
    http_listeners,
    outbound_virtual_hosts,
    tcp_listeners,
)
from sidecar.routing.gateways import GatewayServer
from sidecar.routing.table import TcpRoute, VirtualHost
from sidecar.routing.trace import origin

__all__ = ["Entry", "client_entries", "gateway_contexts", "gateway_entries"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One way into the mesh."""

    node: Node
    """The box that it is."""
    view: View
    """The mesh as whoever stands there sees it."""
    hosts: Sequence[VirtualHost] = ()
    """What it answers; the first match of a host name decides."""
    connections: Sequence[TcpRoute] = ()
    """Where connections go that nobody reads."""


def client_entries(view: View, title: str) -> Iterator[Entry]:
    """The sidecar of a workload, then each listener of its own that its Sidecar declares.

    Args:
        view: The mesh as the workload sees it.
        title: The workload, in words.
    """
    client = _node(Kind.CLIENT, "client", title)
    yield Entry(client, view, tuple(outbound_virtual_hosts(view)))
    for http in http_listeners(view):
        place = f"{http.bind}:{http.port}"
        node = _node(Kind.LISTENER, f"http {place}", f"listener {place}", str(origin(http.source)))
        yield Entry(node, view, http.virtual_hosts)
    for tcp in tcp_listeners(view):
        place = f"{tcp.bind}:{tcp.port}"
        node = _node(Kind.LISTENER, f"tcp {place}", f"listener {place}", str(origin(tcp.source)))
        yield Entry(node, view, connections=tcp.routes)


def gateway_contexts(mesh: Mesh) -> tuple[Context, ...]:
    """The gateway workloads that the selectors of Gateways ask for, one for each distinct selector.

    Which workloads are in gateway role is known to their hosts alone. A workload is taken to live in the namespace of
    the oldest Gateway that selects it so, and to have no labels but those of the selector.
    """
    found: dict[tuple[tuple[str, str], ...], GatewayFacts] = {}
    for facts in sorted(
        mesh.gateways.values(), key=lambda facts: (facts.create_revision, facts.ref)
    ):
        found.setdefault(facts.selector, facts)
    return tuple(
        Context("", facts.ref.namespace, dict(labels), is_gateway=True)
        for labels, facts in found.items()
    )


def gateway_entries(view: View) -> Iterator[Entry]:
    """The servers that a gateway workload opens."""
    labels = ", ".join(f"{key}={value}" for key, value in sorted(view.context.labels.items()))
    for server in gateway_servers(view):
        title = f"gateway {', '.join(f'{ref.namespace}/{ref.name}' for ref in server.gateways)}"
        names = ", ".join(server.sni_hosts)
        node = Node(
            id=f"gateway {labels} {server.bind}:{server.port} {server.route_config} {names}",
            kind=Kind.GATEWAY,
            column=COLUMNS[Kind.GATEWAY],
            title=short(title),
            lines=tuple(
                short(line)
                for line in (
                    _opening(server),
                    f"server names {names}" if names else "",
                    f"at workloads with {labels}" if labels else "at every gateway workload",
                )
                if line
            ),
            source=short("; ".join(str(origin(source)) for source in server.sources)),
        )
        yield Entry(node, view, server.virtual_hosts, server.tcp_routes)


def _opening(server: GatewayServer) -> str:
    """Port and protocol, and what is done about TLS."""
    place = f"port {server.port}" if server.port else server.bind
    mode = server.tls.mode.value if server.tls is not None and server.tls.mode is not None else ""
    return f"{place} {server.protocol.value or 'any protocol'}{f', TLS {mode}' if mode else ''}"


def _node(kind: Kind, name: str, title: str, source: str = "") -> Node:
    return Node(name, kind, COLUMNS[kind], short(title), source=source)
