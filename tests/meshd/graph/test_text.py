from __future__ import annotations

from meshd.graph import as_text
from meshd.graph.model import Edge, Graph, Kind, Node, State

CLIENT = Node("c", Kind.CLIENT, 0, "workload in namespace default")
HOST = Node("h", Kind.HOST, 1, "host a:80")
FIRST = Node(
    "r1", Kind.ROUTE, 2, 'path is "/x"', ("timeout: 2 s",), source="VirtualService/default/a@1"
)
SECOND = Node("r2", Kind.ROUTE, 2, "any request")
SUBSET = Node("d", Kind.SUBSET, 3, "subset v1 of a:80", ("version=v1",))
END = Node("e", Kind.ENDPOINT, 4, "10.0.0.1:80", ("version=v1",), State.UNHEALTHY)
LOST = Node("u", Kind.SUBSET, 3, "subset v9 of a:80", (), State.UNREACHED)


def test_a_picture_is_a_tree_in_which_nothing_is_drawn_twice() -> None:
    edges = (
        Edge("c", "h"),
        Edge("h", "r1"),
        Edge("h", "r2"),
        Edge("h", "u", "no route drawn here", is_taken=False),
        Edge("r1", "d", "90 %"),
        Edge("r2", "d", "100 %"),
        Edge("d", "e", "weight 2"),
    )
    graph = Graph(
        "t", (CLIENT, HOST, FIRST, SUBSET, END, SECOND, LOST), edges, {"hosts": 3}, ("note",)
    )
    assert as_text(graph) == "\n".join(
        (
            "Who reaches whom: t",
            "workload in namespace default",
            "└─ host a:80",
            '   ├─ route: path is "/x"  timeout: 2 s  by VirtualService/default/a@1',
            "   │  └─ 90 % to subset v1 of a:80  version=v1",
            "   │     └─ endpoint 10.0.0.1:80  unhealthy  version=v1  weight 2",
            "   ├─ route: any request",
            "   │  └─ 100 % to subset v1 of a:80  (drawn above)",
            "   └─ no route drawn here: subset v9 of a:80  unreached",
            "1 host, 2 routes, 2 destinations, 1 endpoint; left out: 3 hosts",
            "note",
        )
    )


def test_an_empty_picture_says_so() -> None:
    assert as_text(Graph("t", (), ())) == "Who reaches whom: t\nnothing"
