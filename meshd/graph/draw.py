"""Draw a mesh: from what the routing table answers to boxes and arrows.

What is left out is counted. Hosts with rules come before those that only have a service's default route: they say
more. CONNECT routes of HTTP hosts are left out without a word, since every host has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from meshd.graph.chosen import Choice, choice_of
from meshd.graph.destinations import Destination, Destinations, Ejected, Way, unreached, ways_of
from meshd.graph.entries import Entry, client_entries, gateway_contexts, gateway_entries
from meshd.graph.limits import OVERVIEW, Limits
from meshd.graph.model import COLUMNS, Edge, Graph, Kind, Node, State
from meshd.graph.ordering import depth_first
from meshd.graph.words import (
    answer,
    host_title,
    route_lines,
    route_title,
    said_by,
    short,
    tcp_title,
    workload_title,
)
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context
from sidecar.mesh.view import View
from sidecar.routing.destinations import key_for
from sidecar.routing.table import Forward, Route, TcpRoute, VirtualHost
from store.objects.kinds import Kind as ObjectKind

__all__ = ["draw"]


def draw(
    mesh: Mesh,
    context: Context,
    *,
    node: str = "",
    host: str = "",
    with_gateways: bool = True,
    limits: Limits = OVERVIEW,
    ejected: Ejected | None = None,
) -> Graph:
    """The picture of a mesh.

    Args:
        mesh: The mesh.
        context: The workload that sends; in gateway role, the gateway whose servers are drawn instead.
        node: The host that the workload runs on, as a person named it; empty where it is none in particular.
        host: Draw only this host and what leads to it; empty for all.
        with_gateways: Whether to draw the gateways of the mesh beside a workload.
        limits: How much is drawn.
        ejected: Ejections that are known.
    """
    view = View(mesh, context)
    name = workload_title(context, node)
    entries = list(gateway_entries(view) if context.is_gateway else client_entries(view, name))
    if with_gateways and not context.is_gateway:
        for gateway in gateway_contexts(mesh):
            entries += gateway_entries(View(mesh, gateway))
    choice = choice_of(view, host) if host else None
    drawing = _Drawing(limits, ejected or {})
    for entry in entries:
        drawing.enter(entry, choice)
    drawing.add_unreached()
    of = f", only {host}" if host else ""
    return drawing.graph(f"{name}{of}", () if host else _unseen(view))


def _unseen(view: View) -> tuple[str, ...]:
    """That the client does not see all of the mesh, where it does not."""
    if view.context.is_gateway:
        return ()
    count = len(view.mesh.services.namespaces) - sum(1 for _ in view.services())
    if count <= 0:
        return ()
    services = "1 service is" if count == 1 else f"{count} services are"
    return (f"{services} not visible from here (exportTo, Sidecar): -n or --from ask for another",)


class _Drawing:
    """A picture that grows."""

    def __init__(self, limits: Limits, ejected: Ejected) -> None:
        self._limits = limits
        self._ejected = ejected
        self._nodes: dict[str, Node] = {}
        self._edges: dict[tuple[str, str, str], Edge] = {}
        self._hidden = {"hosts": 0, "routes": 0, "endpoints": 0}
        self._known: dict[int, Destinations] = {}
        self._views: list[View] = []
        self._drawn: dict[str, list[tuple[Destination, Node]]] = {}
        self._ports: dict[tuple[str, int], tuple[str, Destinations]] = {}

    def graph(self, title: str, notes: tuple[str, ...]) -> Graph:
        """The picture as it is now."""
        nodes, edges = depth_first(self._nodes.values(), self._edges.values())
        hidden = {word: count for word, count in self._hidden.items() if count}
        return Graph(title, nodes, edges, hidden, notes)

    def enter(self, entry: Entry, choice: Choice | None) -> None:
        """Draw one entry with what it leads to; nothing where nothing of it is chosen."""
        hosts: Sequence[VirtualHost] = entry.hosts
        connections: Sequence[TcpRoute] = entry.connections
        if choice is not None:
            hosts = [host for host in hosts if choice.has_host(host)]
            connections = [route for route in connections if choice.has_connection(route)]
            if not hosts and not connections:
                return
        # Two listeners of one place are a mistake that others name; here both are drawn.
        entry = replace(entry, node=self._shared(entry.node))
        known = self._destinations(entry.view)
        ranked = sorted(hosts, key=_has_no_rules)
        shown = 0
        for host in ranked[: self._limits.hosts]:
            if len(self._nodes) >= self._limits.nodes:
                break
            self._host(entry, host, known)
            shown += 1
        self._rest(entry.node, Kind.HOST, "host", len(ranked) - shown)
        if connections:
            self._connections(entry, connections, known)

    def add_unreached(self) -> None:
        """Add the subsets of the hosts drawn that no route drawn leads to."""
        for (host, port), (box, known) in self._ports.items():
            service = known.view.service_for_authority(host)
            if service is None or service.host != host:
                continue
            for subset in known.view.rule(service.host).subsets:
                key = key_for(known.view, service.host, port, subset)
                if f"destination {key.name}" not in self._drawn:
                    self._lead(box, unreached(key, known, self._ejected))

    def _destinations(self, view: View) -> Destinations:
        """One for each view, so that no destination is looked up twice."""
        if id(view) not in self._known:
            self._views.append(view)  # kept alive: its id is the key
            self._known[id(view)] = Destinations(view)
        return self._known[id(view)]

    def _host(self, entry: Entry, host: VirtualHost, known: Destinations) -> None:
        lines = ("plain requests are redirected to https",) if host.require_tls else ()
        node_id = f"host {entry.node.id} {host.name}"
        title = short(host_title(host))
        box = Node(node_id, Kind.HOST, COLUMNS[Kind.HOST], title, lines)
        self._add(box, entry.node)
        if host.require_tls:
            return
        name, _, port = host.name.rpartition(":")
        if port.isdigit() and entry.node.kind is Kind.CLIENT:
            self._ports.setdefault((name, int(port)), (node_id, known))
        if not host.routes:
            self._answer(box, ("answers 404", "no route"), "")
        routes = _telling(host.routes)
        for number, route in enumerate(routes[: self._limits.routes]):
            self._route(box, number, route, known)
        self._rest(box, Kind.ROUTE, "route", len(routes) - self._limits.routes)

    def _route(self, host: Node, number: int, route: Route, known: Destinations) -> None:
        box = Node(
            f"route {number} of {host.id}",
            Kind.ROUTE,
            COLUMNS[Kind.ROUTE],
            route_title(route),
            tuple(route_lines(route)),
            source=said_by(route.source, known.view.mesh),
        )
        self._add(box, host)
        if isinstance(route.action, Forward):
            for way in ways_of(route.action, known, self._ejected):
                self._lead(box.id, way)
        else:
            self._answer(box, answer(route.action), box.id)

    def _connections(self, entry: Entry, routes: Sequence[TcpRoute], known: Destinations) -> None:
        """Routes for connections, below a host that stands for all names that they may carry."""
        host = Node(
            f"host {entry.node.id} connections", Kind.HOST, COLUMNS[Kind.HOST], "connections"
        )
        self._add(host, entry.node)
        for number, route in enumerate(routes[: self._limits.routes]):
            box = Node(
                f"route {number} of {host.id}",
                Kind.ROUTE,
                COLUMNS[Kind.ROUTE],
                tcp_title(route),
                source=said_by(route.source, known.view.mesh),
            )
            self._add(box, host)
            for way in ways_of(Forward(route.clusters), known, self._ejected):
                self._lead(box.id, way)
        self._rest(host, Kind.ROUTE, "route", len(routes) - self._limits.routes)

    def _answer(self, source: Node, said: tuple[str, str], name: str) -> None:
        lines = (said[1],) if said[1] else ()
        column = COLUMNS[Kind.ANSWER]
        box = Node(f"answer of {name or source.id}", Kind.ANSWER, column, said[0], lines)
        self._add(box, source)

    def _lead(self, source: str, way: Way) -> None:
        """Draw the arrow to a destination, and that too unless the same is there already."""
        found = way.destination
        same = self._drawn.setdefault(found.node.id, [])
        box = next((node for other, node in same if other == found), None)
        if box is None:
            box = self._shared(found.node)
            same.append((found, box))
            self._endpoints(box, found)
        self._edge(Edge(source, box.id, way.label, way.is_taken))

    def _endpoints(self, box: Node, found: Destination) -> None:
        room = max(0, self._limits.nodes - len(self._nodes))
        shown = found.endpoints[: min(self._limits.endpoints, room)]
        for label, endpoint in shown:
            node = self._shared(endpoint, is_same_enough=True)
            self._edge(Edge(box.id, node.id, label, box.state is not State.UNREACHED))
        left = found.endpoints[len(shown) :]
        bad = sum(node.state is not State.HEALTHY for _, node in left)
        words = f"{bad} of them not healthy" if bad else "all healthy"
        self._rest(box, Kind.ENDPOINT, "endpoint", len(left), words)

    def _rest(self, above: Node, kind: Kind, word: str, count: int, *lines: str) -> None:
        """The box for what was left out below `above`; none where nothing was."""
        if count <= 0:
            return
        self._hidden[f"{word}s"] += count
        title = f"and {count} more {word}{'' if count == 1 else 's'}"
        how = "--all draws all, --host NAME one" if kind is Kind.HOST else "--all draws all"
        box = Node(f"rest {word} {above.id}", Kind.REST, COLUMNS[kind], title, (*lines, how))
        self._add(box, above)

    def _add(self, node: Node, above: Node | None = None) -> None:
        assert node.id not in self._nodes, f"{node.id} is drawn twice"
        self._nodes[node.id] = node
        if above is not None:
            self._edge(Edge(above.id, node.id))

    def _shared(self, node: Node, *, is_same_enough: bool = False) -> Node:
        """Add a box; what has its name and is another keeps it, and this one gets a name with a number.

        Args:
            node: The box.
            is_same_enough: Whether a box of that name that is equal is taken for it.
        """
        name, number = node.id, 1
        while name in self._nodes:
            there = self._nodes[name]
            if is_same_enough and replace(there, id=node.id) == node:
                return there
            number += 1
            name = f"{node.id} ({number})"
        named = replace(node, id=name)
        self._nodes[name] = named
        return named

    def _edge(self, edge: Edge) -> None:
        self._edges.setdefault((edge.source, edge.target, edge.label), edge)


def _has_no_rules(host: VirtualHost) -> bool:
    """Whether a virtual host has nothing but the default route; the catch-all, too."""
    return not any(s.ref and s.ref.kind is ObjectKind.VIRTUAL_SERVICE for s in host.sources)


def _telling(routes: Sequence[Route]) -> Sequence[Route]:
    """The routes that say something about a host.

    CONNECT of an HTTP host, which goes where its default does, is none; nor is, for ports of other protocols, the
    refusal of everything but CONNECT.
    """
    plain = [r for r in routes if not r.match.connect and r.name != "refused"]
    return plain or [r for r in routes if r.match.connect] or routes
