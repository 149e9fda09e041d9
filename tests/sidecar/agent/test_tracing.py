"""`trace` and `endpoints` as the status API answers them."""

from __future__ import annotations

import pytest

from sidecar.agent.tracing import endpoints_answer, trace_answer
from sidecar.node.node import Node
from store.errors import InputError, NotFoundError, StoreUnavailable
from store.snapshot import Snapshot
from tests.harness.nodes import EPOCH, arrive, make_node, registration, virtual_service


@pytest.fixture
def node() -> Node:
    node = make_node()
    entries = [virtual_service(5, 1), registration("h1", 4), registration("h2", 4)]
    arrive(node, Snapshot.of(EPOCH, 5, entries))
    return node


def query(url: str, **more: str) -> dict[str, list[str]]:
    return {"url": [url], **{name: [value] for name, value in more.items()}}


def test_a_trace_names_the_object_and_the_state_that_it_is_of(node: Node) -> None:
    text = str(trace_answer(node, query("http://probe.example.com/x?y=1")))
    assert "'name': 'probe'" in text
    assert f"{EPOCH}@5" in text


def test_a_host_header_wins_over_the_urls_authority(node: Node) -> None:
    plain = trace_answer(node, query("http://127.0.0.1/"))
    told = trace_answer(node, query("http://127.0.0.1/", header="Host: probe.example.com"))
    assert plain.get("answer") != "v1"
    assert told["answer"] == "v1"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        query("no-url"),
        query("http://[::1"),
        query("http://a:b/"),
        query("http://a/", header="no colon"),
        query("http://a/", gateway_port="eighty"),
    ],
    ids=["none", "no scheme", "open bracket", "port", "header", "gateway port"],
)
def test_a_question_that_makes_no_request_is_the_askers_fault(
    node: Node, wrong: dict[str, list[str]]
) -> None:
    with pytest.raises(InputError):
        trace_answer(node, wrong)


def test_an_unknown_context_is_named_with_those_that_there_are(node: Node) -> None:
    with pytest.raises(NotFoundError, match='no context "other"'):
        trace_answer(node, query("http://a/", context="other"))


def test_before_the_first_configuration_there_is_nothing_to_trace() -> None:
    with pytest.raises(StoreUnavailable, match="no configuration yet"):
        trace_answer(make_node(), query("http://a/"))


def test_endpoints_are_listed_with_address_health_and_source(node: Node) -> None:
    (row,) = endpoints_answer(node, "Reviews")["destinations"]
    assert (row["port"], row["protocol"]) == (9080, "HTTP")
    assert [(one["address"], one["port"]) for one in row["endpoints"]] == [
        ("10.0.0.1", 15006),
        ("10.0.0.2", 15006),
    ]
    assert {one["health"] for one in row["endpoints"]} == {"HEALTHY"}


def test_a_service_that_nothing_names_is_not_found(node: Node) -> None:
    with pytest.raises(NotFoundError, match='no service "nowhere"'):
        endpoints_answer(node, "nowhere")
