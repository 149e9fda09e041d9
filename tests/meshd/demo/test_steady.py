"""Steady traffic: every host asks at its pace, each answer is kept with its time, and the end stops it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from meshd.demo import steady
from meshd.demo.steady import Answer, Record, counted, steady_traffic


def answer(host: str, began_s: float, place: str = "v1") -> Answer:
    return Answer(host, began_s, began_s + 0.5, place)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        for _ in iter(condition, True):
            await asyncio.sleep(0.001)


def test_a_request_counts_only_when_all_of_it_lies_between() -> None:
    record = Record()
    for began_s in (1.0, 2.0, 3.0):
        record.add(answer("vm-1", began_s))
    assert [one.began_s for one in record.between(2.0)] == [2.0, 3.0]
    assert [one.began_s for one in record.between(2.0, 3.5)] == [2.0]


def test_everywhere_means_each_host_and_only_since_then() -> None:
    record = Record()
    record.add(answer("vm-1", 1.0))
    record.add(answer("vm-2", 5.0))
    assert record.seen_everywhere("v1", ["vm-1", "vm-2"], 0.0)
    assert not record.seen_everywhere("v1", ["vm-1", "vm-2"], 2.0)
    assert not record.seen_everywhere("v2", ["vm-1"], 0.0)


def test_the_record_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "ANSWERS_MAX", 2)
    record = Record()
    for began_s in (1.0, 2.0, 3.0):
        record.add(answer("vm-1", began_s))
    assert counted(record.between(0.0)) == {"v1": 2}


def test_every_host_asks_through_its_own_proxy_until_the_end() -> None:
    asked: list[str] = []

    async def reply(request: web.Request) -> web.Response:
        asked.append(request.headers["proxy-authorization"])
        return web.json_response({"service": "reviews", "version": "v2"})

    async def watch() -> tuple[Record, list[asyncio.Task[Any]]]:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", reply)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        at = "{}:{}".format(*runner.addresses[0][:2])
        hosts = ["vm-1", "vm-2", "vm-3"]
        proxies = {host: f"http://{host}:x@{at}" for host in hosts}
        began_s = time.monotonic()
        try:
            async with steady_traffic("http://reviews:9080/", proxies, 200.0) as record:
                await eventually(lambda: record.seen_everywhere("reviews v2", hosts, began_s))
            left = [task for task in asyncio.all_tasks() if "go_on" in repr(task.get_coro())]
        finally:
            await runner.cleanup()
        return record, left

    record, left = asyncio.run(watch())
    assert len(set(asked)) == 3
    assert left == []
    assert set(counted(record.between(0.0))) == {"reviews v2"}


def test_what_nobody_answers_is_kept_as_such() -> None:
    async def watch() -> Record:
        async with steady_traffic(
            "http://reviews:9080/", {"vm-1": "http://127.0.0.1:1"}, 200.0
        ) as record:
            await eventually(lambda: bool(record.between(0.0)))
        return record

    assert set(counted(asyncio.run(watch()).between(0.0))) == {"refused"}
