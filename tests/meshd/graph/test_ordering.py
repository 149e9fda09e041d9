from __future__ import annotations

from meshd.graph.model import Edge, Kind, Node
from meshd.graph.ordering import depth_first


def nodes(names: str) -> list[Node]:
    return [Node(name, Kind.HOST, 0, name) for name in names]


def names(found: tuple[Node, ...]) -> str:
    return "".join(node.id for node in found)


def test_boxes_stand_where_a_reader_comes_to_them_first() -> None:
    edges = [Edge("a", "c"), Edge("a", "b"), Edge("c", "d"), Edge("b", "d"), Edge("e", "b")]
    ordered, arrows = depth_first(nodes("abcde"), edges)
    assert names(ordered) == "acdbe"
    assert [(edge.source, edge.target) for edge in arrows] == [
        ("a", "c"),
        ("a", "b"),
        ("c", "d"),
        ("b", "d"),
        ("e", "b"),
    ]


def test_a_chain_longer_than_the_stack_is_ordered() -> None:
    chain = [Node(str(n), Kind.HOST, n, "") for n in range(5000)]
    edges = [Edge(str(n), str(n + 1)) for n in range(4999)]
    assert len(depth_first(chain, edges)[0]) == 5000
