from __future__ import annotations

from itertools import pairwise

from meshd.graph.layout import laid_out
from meshd.graph.model import Edge, Graph, Kind, Node, State
from tests.meshd.graph.meshes import drawn, service


def node(name: str, column: int, *lines: str, title: str = "") -> Node:
    return Node(name, Kind.HOST, column, title or name, lines)


def test_boxes_of_a_column_do_not_touch() -> None:
    services = [
        service(f"s{n}.default.svc.cluster.local", "http:80", *(f"10.0.{n}.{m}" for m in range(n)))
        for n in range(8)
    ]
    boxes = laid_out(drawn(*services)).boxes.values()
    for column in {box.x for box in boxes}:
        there = sorted((box for box in boxes if box.x == column), key=lambda box: box.y)
        for upper, lower in pairwise(there):
            assert upper.y + upper.height < lower.y


def test_a_box_stands_at_the_middle_of_what_it_leads_to() -> None:
    nodes = (node("a", 0), node("b", 1), node("c", 1), node("d", 1))
    edges = (Edge("a", "b"), Edge("a", "c"), Edge("a", "d"))
    boxes = laid_out(Graph("", nodes, edges)).boxes
    assert boxes["a"].middle == boxes["c"].middle


def test_columns_do_not_overlap_however_wide_their_texts() -> None:
    nodes = (node("a", 0, title="x" * 200), node("b", 1), node("c", 3))
    boxes = laid_out(Graph("", nodes, (Edge("a", "b"), Edge("b", "c")))).boxes
    assert boxes["a"].x + boxes["a"].width < boxes["b"].x
    assert boxes["b"].x + boxes["b"].width < boxes["c"].x


def test_everything_lies_within_the_picture() -> None:
    layout = laid_out(drawn(service("a.default.svc.cluster.local", "http:80", "10.0.0.1")))
    assert all(box.x + box.width < layout.width for box in layout.boxes.values())
    assert all(box.y + box.height < layout.height for box in layout.boxes.values())


def test_a_long_text_is_wrapped_and_then_cut() -> None:
    box = laid_out(Graph("", (node("a", 0, "word " * 200),), ())).boxes["a"]
    assert len(box.lines) == 4
    assert box.lines[-1].endswith(" …")


def test_the_state_is_among_the_lines() -> None:
    ejected = Node("e", Kind.ENDPOINT, 4, "10.0.0.1:80", ("v1",), State.EJECTED)
    assert laid_out(Graph("", (ejected,), ())).boxes["e"].lines == ("ejected", "v1")


def test_an_empty_picture_has_a_size() -> None:
    layout = laid_out(Graph("", (), ()))
    assert layout.boxes == {}
    assert layout.width > 0
    assert layout.height > 0
