"""A picture as a tree of text for terminals."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.graph.model import Edge, Graph, Kind, Node, State

__all__ = ["as_text"]

_WORDS = {
    Kind.ROUTE: "route: ",
    Kind.ENDPOINT: "endpoint ",
}
"""What stands before a title that does not say itself what it is."""


def as_text(graph: Graph) -> str:
    """The picture as a tree, without final newline.

    What is drawn below several branches is drawn below the first, and named below the others.
    """
    below: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        below.setdefault(edge.source, []).append(edge)
    known = {node.id: node for node in graph.nodes}
    lines = [f"Who reaches whom: {graph.title}"]
    seen: set[str] = set()
    for root in graph.roots():
        lines += [_said(root), *_branches(root.id, "", known, below, seen)]
    return "\n".join([*lines, graph.summary(), *graph.notes])


def _branches(
    name: str,
    indent: str,
    known: dict[str, Node],
    below: dict[str, list[Edge]],
    seen: set[str],
) -> Iterator[str]:
    """The lines below one box. Five columns: no deeper than that."""
    edges = below.get(name, [])
    for position, edge in enumerate(edges):
        is_last = position == len(edges) - 1
        node = known[edge.target]
        is_again = edge.target in seen and bool(below.get(edge.target))
        seen.add(edge.target)
        mark = "  (drawn above)" if is_again else ""
        yield f"{indent}{'└─ ' if is_last else '├─ '}{_labelled(edge, node, is_again=is_again)}{mark}"
        if not is_again:
            deeper = indent + ("   " if is_last else "│  ")
            yield from _branches(edge.target, deeper, known, below, seen)


def _labelled(edge: Edge, node: Node, *, is_again: bool) -> str:
    """A box with the label of the arrow that leads to it."""
    said = f"{_WORDS.get(node.kind, '')}{node.title}" if is_again else _said(node)
    if not edge.label:
        return said
    if node.kind is Kind.ENDPOINT:
        return f"{said}  {edge.label}"
    return f"{edge.label}: {said}" if node.state is State.UNREACHED else f"{edge.label} to {said}"


def _said(node: Node) -> str:
    """A box on one line; its state in words."""
    words = [f"{_WORDS.get(node.kind, '')}{node.title}"]
    words += [node.state.value] if node.state is not State.PLAIN else []
    words += node.lines
    words += [f"by {node.source}"] if node.source else []
    return "  ".join(words)
