"""The order of a picture: as a reader comes to the boxes, following arrows from the first client."""

from __future__ import annotations

from collections.abc import Iterable

from meshd.graph.model import Edge, Node

__all__ = ["depth_first"]


def depth_first(
    nodes: Iterable[Node], edges: Iterable[Edge]
) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """The same boxes, each where it is come to first, and the arrows in the order of what they leave.

    Boxes that nothing leads to are begun with in the order given, and arrows keep theirs below each box. Needs no
    recursion, however many boxes there are; arrows must not lead in circles.
    """
    known = {node.id: node for node in nodes}
    leaving: dict[str, list[Edge]] = {name: [] for name in known}
    reached: set[str] = set()
    for edge in edges:
        leaving[edge.source].append(edge)
        reached.add(edge.target)
    ordered: dict[str, Node] = {}
    for root in known:
        if root in reached:
            continue
        waiting = [root]
        while waiting:
            name = waiting.pop()
            if name in ordered:
                continue
            ordered[name] = known[name]
            waiting += [edge.target for edge in reversed(leaving[name])]
    assert len(ordered) == len(known), "every box can be come to from one that nothing leads to"
    return tuple(ordered.values()), tuple(edge for name in ordered for edge in leaving[name])
