from __future__ import annotations

from meshd.graph.model import COLUMNS, Edge, Graph, Kind, Node

GATEWAY = Node("g", Kind.GATEWAY, 0, "gateway")
HOST = Node("h", Kind.HOST, 1, "host")


def test_every_kind_but_the_rest_has_a_column() -> None:
    assert set(Kind) - set(COLUMNS) == {Kind.REST}


def test_the_summary_counts_in_words_and_says_what_was_left_out() -> None:
    graph = Graph("", (GATEWAY, HOST), (), {"hosts": 1, "routes": 0, "endpoints": 2})
    assert graph.summary() == "1 gateway server, 1 host; left out: 1 host, 2 endpoints"


def test_the_summary_of_a_whole_picture_says_nothing_of_leaving_out() -> None:
    assert Graph("", (HOST, HOST), ()).summary() == "2 hosts"


def test_roots_are_what_nothing_leads_to() -> None:
    graph = Graph("", (GATEWAY, HOST), (Edge("g", "h"),))
    assert list(graph.roots()) == [GATEWAY]
