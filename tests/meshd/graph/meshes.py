"""Meshes for tests of pictures, from a few lines of YAML."""

from __future__ import annotations

from collections.abc import Iterable

from meshd.graph import Graph, Kind, Limits, Node, draw
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context
from tests.harness.catalogs import Document, Store
from tests.harness.routing import object_of, service_of

__all__ = [
    "WEB",
    "drawn",
    "endpoints",
    "mesh_of",
    "named",
    "route_to",
    "rule",
    "service",
    "targets",
]

WEB = Context("", "default", {"app": "web"})


def mesh_of(*objects: Document) -> Mesh:
    """The mesh of these objects, each created at a revision of its own."""
    store = Store(objects)
    return Mesh.build(store.catalog, store.registrations)


def drawn(
    *objects: Document, host: str = "", limits: Limits | None = None, **more: object
) -> Graph:
    """The picture of these objects for a workload of namespace `default`."""
    kept = {"limits": limits} if limits is not None else {}
    return draw(mesh_of(*objects), WEB, host=host, **kept, **more)  # type: ignore[arg-type] # test sugar


def service(host: str, ports: str = "http:80", *addresses: str, **more: object) -> Document:
    """A ServiceEntry; an address may be followed by `=VERSION`."""
    return service_of(host, ports, "default", endpoints=endpoints(*addresses), **more)


def endpoints(*addresses: str) -> list[dict[str, object]]:
    """Endpoints of a ServiceEntry, labelled with their version where they have one."""
    pairs = [address.partition("=") for address in addresses]
    return [
        {"address": address, **({"labels": {"version": version}} if version else {})}
        for address, _, version in pairs
    ]


def rule(name: str, http: Iterable[object], *hosts: str, **spec: object) -> Document:
    """A VirtualService for hosts."""
    return object_of("VirtualService", name, {"hosts": list(hosts), "http": list(http), **spec})


def route_to(*targets: tuple[str, int], **more: object) -> dict[str, object]:
    """An HTTP rule that splits between `host` or `host/subset`, by weight."""
    shares = []
    for target, weight in targets:
        host, _, subset = target.partition("/")
        destination = {"host": host, **({"subset": subset} if subset else {})}
        shares.append({"destination": destination, "weight": weight})
    return {"route": shares, **more}


def named(graph: Graph, title: str) -> Node:
    """The one box with this title."""
    found = [node for node in graph.nodes if node.title == title]
    assert len(found) == 1, (
        f"{title}: {len(found)} boxes; there are {[n.title for n in graph.nodes]}"
    )
    return found[0]


def targets(graph: Graph, node: Node) -> list[tuple[str, str]]:
    """(label, title) of what a box leads to."""
    titles = {one.id: one.title for one in graph.nodes}
    return [(edge.label, titles[edge.target]) for edge in graph.edges if edge.source == node.id]


def of_kind(graph: Graph, kind: Kind) -> list[str]:
    """Titles of all boxes of a kind."""
    return [node.title for node in graph.nodes if node.kind is kind]
