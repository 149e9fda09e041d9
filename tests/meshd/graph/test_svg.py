from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from meshd.graph import as_svg
from meshd.graph.model import Edge, Graph, Kind, Node, State

NAMESPACE = "{http://www.w3.org/2000/svg}"
HOST = Node("h", Kind.HOST, 1, "host a:80")


def ends(*states: State) -> Graph:
    nodes = [HOST]
    nodes += [Node(state, Kind.ENDPOINT, 4, f"of {state}", (), state) for state in states]
    return Graph("t", tuple(nodes), tuple(Edge("h", state) for state in states))


@given(st.text(), st.text())
def test_any_text_is_escaped_and_the_document_well_formed(title: str, label: str) -> None:
    graph = Graph(
        title, (Node("a", Kind.CLIENT, 0, title, (label,)), HOST), (Edge("a", "h", label),)
    )
    ET.fromstring(as_svg(graph))


def test_markup_in_a_name_stays_text() -> None:
    graph = Graph("<b>", (Node("a", Kind.HOST, 1, '"><script>x</script>&'),), ())
    svg = as_svg(graph)
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg


def test_every_state_is_said_in_words() -> None:
    states = [state for state in State if state is not State.PLAIN]
    shown = {one.text for one in ET.fromstring(as_svg(ends(*states))).iter(f"{NAMESPACE}text")}
    assert {state.value for state in states} <= shown


def test_what_gets_no_requests_is_dashed_beside_its_word() -> None:
    svg = as_svg(ends(State.EJECTED))
    assert '<g class="endpoint ejected">' in svg
    dashed = re.search(r"\.ejected rect\.box[^}]*stroke-dasharray", svg)
    assert dashed is not None


def test_the_file_asks_for_nothing_from_elsewhere() -> None:
    svg = as_svg(ends(State.HEALTHY))
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    assert "@import" not in svg
    assert "href" not in svg
    assert "url(" not in svg


def test_there_are_colours_for_dark_ground() -> None:
    svg = as_svg(ends(State.HEALTHY))
    light, _, dark = svg.partition("@media (prefers-color-scheme: dark)")
    for thing in (".ground", "text", "rect.box", "path"):
        assert f"{thing} {{" in light
        assert f"{thing} {{" in dark


def test_a_long_label_is_cut_and_whole_in_its_tooltip() -> None:
    label = "10 %, request: set x: y"
    edge = Edge("a", "h", label)
    root = ET.fromstring(as_svg(Graph("", (Node("a", Kind.CLIENT, 0, "a"), HOST), (edge,))))
    found = next(one for one in root.iter(f"{NAMESPACE}text") if one.get("class") == "label")
    assert found.text == "10 %, request:…"
    assert found[0].text == label


def test_an_arrow_that_is_not_taken_is_dashed() -> None:
    edges = (Edge("a", "h", "5 % copied", is_taken=False),)
    svg = as_svg(Graph("", (Node("a", Kind.CLIENT, 0, "a"), HOST), edges))
    assert svg.count('<path class="idle"') == 1


def test_the_title_fits_into_a_narrow_picture() -> None:
    svg = ET.fromstring(as_svg(Graph("x" * 100, (HOST,), ())))
    assert float(svg.get("width", "0")) > 8 * 100


def test_no_arrow_crosses_the_routes_to_a_subset_that_none_leads_to() -> None:
    lost = Node("u", Kind.SUBSET, 3, "subset", (), State.UNREACHED)
    svg = as_svg(Graph("", (HOST, lost), (Edge("h", "u", "no route drawn here", is_taken=False),)))
    assert "<path" not in svg
    assert ">unreached</text>" in svg
