from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.outcomes_admin import CLUSTERS_A_LOOK_MAX, EndpointCounters, look, readings
from sidecar.outlier.model import Place
from store.errors import AgentUnavailable

NAME = "outbound|80|v1|a.default.svc.cluster.local"
HOST = {
    "address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}},
    "stats": [
        {"name": "rq_timeout", "value": "3"},
        {"name": "cx_connect_fail", "value": "2"},
        {"name": "rq_success"},
    ],
    "health_status": {"failed_outlier_check": True, "eds_health_status": "HEALTHY"},
}


def test_counters_and_health_are_read_and_hosts_without_a_place_passed_over() -> None:
    pipe = {"address": {"pipe": {"path": "/run/app.sock"}}}
    odd: dict[str, object] = {"address": {"envoy_internal_address": {}}}
    answer = {"cluster_statuses": [{"name": NAME, "host_statuses": [HOST, pipe, odd]}]}
    assert readings(answer) == {
        NAME: {
            Place("10.0.0.1", 80): EndpointCounters(3, 2, True),
            Place("/run/app.sock", 0): EndpointCounters(),
        }
    }
    assert readings({}) == {}
    assert readings({"cluster_statuses": [{"name": NAME}]}) == {NAME: {}}


async def ask(folder: Path, body: bytes, *names: str) -> tuple[list[str], object]:
    """What Envoy was asked for, and what came of its answer."""
    asked: list[str] = []

    async def serve(stream: trio.SocketStream) -> None:
        asked.append((await stream.receive_some(100_000)).decode().split(" ")[1])
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        await stream.aclose()

    path = folder / "admin.sock"
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(path))
    listener.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(listener)])
        try:
            return asked, await look(AdminClient(path), names)
        finally:
            nursery.cancel_scope.cancel()


async def test_only_the_named_clusters_are_asked_for(tmp_path: Path) -> None:
    body = json.dumps({"cluster_statuses": [{"name": NAME, "host_statuses": [HOST]}]}).encode()
    asked, found = await ask(tmp_path, body, NAME, "gone")
    (pattern,) = parse_qs(urlsplit(asked[0]).query)["filter"]
    assert re.fullmatch(pattern, NAME)
    assert not re.search(pattern, NAME.replace(".", "x"))
    assert not re.search(pattern, NAME + "2")
    assert found == {NAME: {Place("10.0.0.1", 80): EndpointCounters(3, 2, True)}, "gone": {}}


async def test_a_look_asks_for_so_many_at_most(tmp_path: Path) -> None:
    asked, _ = await ask(tmp_path, b"{}", *(f"c{n}" for n in range(CLUSTERS_A_LOOK_MAX * 2)))
    assert len(asked[0].split("%7C")) == CLUSTERS_A_LOOK_MAX


async def test_nobody_is_asked_for_nothing(tmp_path: Path) -> None:
    assert await look(AdminClient(tmp_path / "none.sock"), []) == {}


async def test_an_answer_that_is_no_json_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises((AgentUnavailable, ExceptionGroup)) as caught:
        await ask(tmp_path, b"no stats", NAME)
    assert caught.group_contains(AgentUnavailable) or isinstance(caught.value, AgentUnavailable)
