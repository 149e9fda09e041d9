"""The words of a picture: boxes in five columns, arrows between them.

Columns from left to right: clients and gateways, hosts, routes, destinations (a service or a subset of one, or an
answer of the proxy itself), endpoints. Knows nothing of how any of it is written down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["COLUMNS", "Edge", "Graph", "Kind", "Node", "State"]


class Kind(StrEnum):
    """What a box stands for."""

    CLIENT = "client"
    """A workload whose requests leave through its sidecar."""
    LISTENER = "listener"
    """A listener of its own that a Sidecar declares."""
    GATEWAY = "gateway"
    """A server of a gateway."""
    HOST = "host"
    """A host that requests name: one virtual host, or all connections of a listener."""
    ROUTE = "route"
    """One route of a host."""
    SERVICE = "service"
    """A destination: a port of a service, all of its endpoints."""
    SUBSET = "subset"
    """A destination: a subset of them."""
    EXTERNAL = "external"
    """A destination outside the mesh."""
    PASSTHROUGH = "passthrough"
    """Wherever the request itself says."""
    ANSWER = "answer"
    """Redirects and direct responses: nothing is forwarded."""
    ENDPOINT = "endpoint"
    """One endpoint."""
    REST = "rest"
    """What was left out, counted."""


class State(StrEnum):
    """How a box is; said in words wherever it is drawn."""

    PLAIN = ""
    """Nothing to be said."""
    HEALTHY = "healthy"
    DRAINING = "draining"
    UNHEALTHY = "unhealthy"
    EJECTED = "ejected"
    """A registered endpoint that gets no requests, because it failed them."""
    BROKEN = "broken"
    """A destination that cannot answer; the lines say why."""
    UNREACHED = "unreached"
    """A subset that no route of the picture leads to."""


COLUMNS: dict[Kind, int] = {
    Kind.CLIENT: 0,
    Kind.LISTENER: 0,
    Kind.GATEWAY: 0,
    Kind.HOST: 1,
    Kind.ROUTE: 2,
    Kind.SERVICE: 3,
    Kind.SUBSET: 3,
    Kind.EXTERNAL: 3,
    Kind.PASSTHROUGH: 3,
    Kind.ANSWER: 3,
    Kind.ENDPOINT: 4,
}
"""Column of each kind; what is left out stands in the column that it was left out of."""


@dataclass(frozen=True, slots=True)
class Node:
    """One box."""

    id: str
    """Unique in the picture, and the same each time that the same mesh is drawn."""
    kind: Kind
    column: int
    title: str
    """What it is, on one line."""
    lines: tuple[str, ...] = ()
    """More about it, one thing each."""
    state: State = State.PLAIN
    source: str = ""
    """The object and the place in it that says so; empty where nothing or a default does."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One arrow."""

    source: str
    """Id of the box that it leaves."""
    target: str
    """Id of the box that it leads to."""
    label: str = ""
    """Share, weight, or whatever else belongs to this way alone."""
    is_taken: bool = True
    """Whether requests go this way; False for copies, whose answers nobody reads, and for subsets that are not used."""


@dataclass(frozen=True, slots=True)
class Graph:
    """One picture. Every edge's ends are nodes; edges lead from a column to one further right."""

    title: str
    """Who sees this."""
    nodes: tuple[Node, ...]
    """In the order in which a reader comes to them: depth first, from the first client."""
    edges: tuple[Edge, ...]
    """In the order of the nodes that they leave, and there in the order of the table."""
    hidden: dict[str, int] = field(default_factory=dict)
    """How many `hosts`, `routes` and `endpoints` were left out; those of hosts that were left out are not counted."""
    notes: tuple[str, ...] = ()
    """What a reader must know besides."""

    def summary(self) -> str:
        """How much is drawn, and how much is not, in one line."""
        return "; ".join(filter(None, (self._drawn(), self._left_out())))

    def _drawn(self) -> str:
        kinds = [node.kind for node in self.nodes]
        counts = (
            (kinds.count(Kind.GATEWAY), "gateway server"),
            (kinds.count(Kind.HOST), "host"),
            (kinds.count(Kind.ROUTE), "route"),
            (sum(kinds.count(kind) for kind in _DESTINATIONS), "destination"),
            (kinds.count(Kind.ENDPOINT), "endpoint"),
        )
        return ", ".join(_counted(count, word) for count, word in counts if count) or "nothing"

    def _left_out(self) -> str:
        said = [_counted(count, word[:-1]) for word, count in self.hidden.items() if count]
        return f"left out: {', '.join(said)}" if said else ""

    def roots(self) -> Iterator[Node]:
        """The boxes that nothing leads to."""
        reached = {edge.target for edge in self.edges}
        return (node for node in self.nodes if node.id not in reached)


_DESTINATIONS = (Kind.SERVICE, Kind.SUBSET, Kind.EXTERNAL, Kind.PASSTHROUGH)


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
