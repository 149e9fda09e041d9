"""What a load put off is judged in the end, and what is bad quarantined, whoever has come upon it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.judging import judge_the_rest
from sidecar.node.events import JudgeSome
from sidecar.node.node import Node
from store.snapshot import Entry, Snapshot
from tests.harness.nodes import EPOCH, VS_KEY, arrive, make_node, virtual_service


def spoilt() -> Entry:
    good = virtual_service(5, 3)
    document = {**json.loads(good.value), "noSuchField": 1}
    return Entry(VS_KEY, json.dumps(document).encode(), 2, 5, 3)


def nothing(_: Node) -> None:
    pass


def look(node: Node) -> None:
    """As a trace or a DNS query does: past the node's events."""
    for view in node.views.values():
        assert list(view.virtual_service_hosts()) == []


@pytest.mark.parametrize("before", [nothing, look])
async def test_what_is_bad_is_quarantined(
    before: Callable[[Node], None], autojump_clock: MockClock
) -> None:
    node = make_node(budget_services=0, put_off_from=0)
    arrive(node, Snapshot.of(EPOCH, 9, [spoilt()]))
    before(node)
    assert not node.catalog.quarantined

    def handle(event: JudgeSome) -> None:
        node.handle(event, 2.0)

    await judge_the_rest(trio.lowlevel.checkpoint, node, handle)
    assert [row.key for row in node.catalog.quarantined] == [VS_KEY]
