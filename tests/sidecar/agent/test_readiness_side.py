"""Probes of several workloads at once: each with its own pace and verdict, ended when its group is another."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from sidecar.agent.readiness_side import EXEC_IS_OFF, ReadinessSide
from store.objects.workload_group import ReadinessProbe


def tcp(port: int, **more: Any) -> ReadinessProbe:
    return ReadinessProbe.model_validate({"tcpSocket": {"port": port}, "periodSeconds": 1, **more})


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one


async def comes(predicate: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not predicate():  # noqa: ASYNC110 - the side has no event
            await trio.sleep(0.01)


async def test_a_workload_is_unready_until_its_probe_succeeds(taken: socket.socket) -> None:
    told: list[frozenset[str]] = []
    side = ReadinessSide(exec_allowed=False, changed=lambda: told.append(side.unready))
    side.follow({"shop": tcp(taken.getsockname()[1])})
    assert side.unready == {"shop"}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(side.run)
        await comes(lambda: "127.0.0.1" in side.reason("shop"))
        assert side.unready == {"shop"}
        taken.listen()
        await comes(lambda: side.unready == frozenset())
        nursery.cancel_scope.cancel()
    assert told[-1] == frozenset()


async def test_without_probe_a_workload_is_ready(taken: socket.socket) -> None:
    side = ReadinessSide(exec_allowed=False, changed=lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(side.run)
        side.follow({"shop": tcp(taken.getsockname()[1])})
        assert side.unready == {"shop"}
        side.follow({})
        assert side.unready == frozenset()
        assert side.reason("shop") == ""
        nursery.cancel_scope.cancel()


async def test_a_command_is_run_only_where_the_host_allows_it() -> None:
    probe = ReadinessProbe.model_validate({"exec": {"command": ["true"]}})
    refused = ReadinessSide(exec_allowed=False, changed=lambda: None)
    refused.follow({"shop": probe})
    assert refused.reason("shop") == EXEC_IS_OFF
    allowed = ReadinessSide(exec_allowed=True, changed=lambda: None)
    allowed.follow({"shop": probe})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(allowed.run)
        nursery.start_soon(refused.run)
        await comes(lambda: allowed.unready == frozenset())
        nursery.cancel_scope.cancel()
    assert refused.unready == {"shop"}
