"""The sample services: who answers, who is asked behind them, what is passed on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession, web

from meshd.demo.services import Service, application


class Proxy:
    """Stands for a sidecar: answers requests for any host, and remembers them."""

    def __init__(self, *, status: int = 200) -> None:
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        self._status = status

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append((str(request.url), dict(request.headers)))
        if self._status != 200:
            return web.Response(status=self._status, text="no healthy upstream")
        return web.json_response({"service": request.host.split(":")[0], "version": "v7"})


async def served(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return runner, f"http://{host}:{port}"


def answer_of(
    service: str, version: str, proxy: Proxy, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        behind = web.Application()
        behind.router.add_route("*", "/{tail:.*}", proxy.answer)
        sidecar, proxy_url = await served(behind)
        runner, url = await served(application(Service(service, version, proxy_url)))
        try:
            async with (
                ClientSession() as session,
                session.get(f"{url}/x?y=1", headers=headers) as reply,
            ):
                return dict(json.loads(await reply.text()))
        finally:
            await runner.cleanup()
            await sidecar.cleanup()

    return asyncio.run(ask())


def test_the_page_asks_details_and_reviews_by_name_through_its_sidecar() -> None:
    proxy = Proxy()
    body = answer_of("productpage", "v1", proxy)
    assert body["path"] == "/x?y=1"
    assert {name: answer["version"] for name, answer in body["calls"].items()} == {
        "details": "v7",
        "reviews": "v7",
    }
    assert sorted(url for url, _ in proxy.requests) == [
        "http://details:9080/",
        "http://reviews:9080/",
    ]


def test_what_routing_may_depend_on_is_passed_on_and_nothing_else() -> None:
    proxy = Proxy()
    headers = {"Cookie": "user=jason", "end-user": "jason", "authorization": "secret"}
    answer_of("reviews", "v2", proxy, headers)
    [(_, passed)] = proxy.requests
    lower = {name.lower(): value for name, value in passed.items()}
    assert lower["cookie"] == "user=jason"
    assert lower["end-user"] == "jason"
    assert "authorization" not in lower


def test_the_first_version_of_reviews_asks_nobody() -> None:
    proxy = Proxy()
    body = answer_of("reviews", "v1", proxy)
    assert "calls" not in body
    assert "stars" not in body
    assert proxy.requests == []


def test_a_copy_that_is_told_to_be_sick_fails_everything_until_it_is_told_to_be_well() -> None:
    async def tell() -> list[tuple[int, dict[str, Any]]]:
        runner, url = await served(application(Service("ratings", "v3")))
        found = []
        try:
            async with ClientSession() as session:
                for method, path in (
                    ("GET", "/x"),
                    ("POST", "/sick"),
                    ("GET", "/x"),
                    ("GET", "/health"),
                    ("POST", "/well"),
                    ("GET", "/x"),
                ):
                    async with session.request(method, f"{url}{path}") as reply:
                        found.append((reply.status, dict(json.loads(await reply.text()))))
        finally:
            await runner.cleanup()
        return found

    well, told_sick, sick, health, told_well, again = asyncio.run(tell())
    assert (well[0], told_sick, sick[0]) == (200, (200, {"service": "ratings", "sick": True}), 500)
    assert sick[1]["error"] == "it was told to be sick"
    assert sick[1]["version"] == "v3"
    assert health == (200, {"alive": True})
    assert told_well == (200, {"service": "ratings", "sick": False})
    assert again == well


def test_a_failure_behind_is_told_not_hidden() -> None:
    body = answer_of("reviews", "v3", Proxy(status=503))
    assert body["calls"]["ratings"] == {
        "service": "ratings",
        "error": "HTTP 503: no healthy upstream",
    }
