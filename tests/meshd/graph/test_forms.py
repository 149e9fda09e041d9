from __future__ import annotations

from meshd.graph import as_document, as_dot
from meshd.graph.model import Edge, Graph, Kind, Node, State

CLIENT = Node("c", Kind.CLIENT, 0, 'a "quoted" \\ title', ("line",))
BROKEN = Node("b", Kind.SUBSET, 3, "subset", (), State.BROKEN, "DestinationRule/default/a@1")
GRAPH = Graph(
    "t", (CLIENT, BROKEN), (Edge("c", "b", "5 % copied", is_taken=False),), {"hosts": 2}, ("note",)
)


def test_dot_quotes_names_and_dashes_what_is_wrong() -> None:
    assert as_dot(GRAPH).splitlines() == [
        "digraph mesh {",
        '  label="t";',
        "  rankdir=LR;",
        '  node [shape=box, fontname="sans-serif"];',
        '  n0 [label="a \\"quoted\\" \\\\ title\\nline", shape=box];',
        '  n1 [label="subset\\nbroken", shape=box, style=dashed];',
        '  n0 -> n1 [label="5 % copied", style=dashed];',
        "}",
    ]


def test_dot_draws_a_plain_arrow_without_attributes() -> None:
    graph = Graph("", (CLIENT, BROKEN), (Edge("c", "b"),))
    assert "  n0 -> n1;" in as_dot(graph).splitlines()


def test_the_document_has_all_of_the_picture() -> None:
    assert as_document(GRAPH) == {
        "title": "t",
        "nodes": [
            {
                "id": "c",
                "kind": "client",
                "title": 'a "quoted" \\ title',
                "lines": ["line"],
                "state": "",
                "source": "",
            },
            {
                "id": "b",
                "kind": "subset",
                "title": "subset",
                "lines": [],
                "state": "broken",
                "source": "DestinationRule/default/a@1",
            },
        ],
        "edges": [{"source": "c", "target": "b", "label": "5 % copied", "taken": False}],
        "hidden": {"hosts": 2},
        "notes": ["note"],
    }
