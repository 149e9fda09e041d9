"""The status API: pages, problems as JSON, waits with a deadline, one socket for its own user."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.http_api import application, serve_on
from store.errors import ConflictError, InputError, NotFoundError, StoreUnavailable


class Canned:
    """Answers that a test sets."""

    def __init__(self) -> None:
        self.ready = True
        self.in_force = 7

    def status(self) -> Mapping[str, Any]:
        return {"node": "n"}

    def is_ready(self) -> bool:
        return self.ready

    async def wait_in_force(self, revision: int) -> Mapping[str, Any]:
        if revision > self.in_force:
            await trio.sleep_forever()
        return {"revision_in_force": self.in_force}

    def trace(self, query: Mapping[str, list[str]]) -> Mapping[str, Any]:
        if query.get("url") == ["away"]:
            raise StoreUnavailable("no configuration yet")
        if query.get("url") == ["bug"]:
            raise KeyError("a bug")
        raise InputError("no request", hint="give a URL")

    def endpoints(self, host: str) -> Mapping[str, Any]:
        raise NotFoundError(f"no {host}")

    def accept_epoch(self) -> Mapping[str, Any]:
        raise ConflictError("nothing is held")

    def metrics(self) -> bytes:
        return b"meshd_store_up 1\n"


async def ask(answers: Canned, method: str, target: str) -> tuple[int, Any]:
    path, _, query = target.partition("?")
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request"}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
    await application(answers)(scope, receive, send)
    body = sent[1]["body"]
    return sent[0]["status"], json.loads(body) if body.startswith(b"{") else body


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/v1/status", 200),
        ("GET", "/metrics", 200),
        ("GET", "/v1/in-force?revision=7", 200),
        ("GET", "/v1/in-force?revision=x", 400),
        ("GET", "/v1/in-force?revision=1&revision=2", 400),
        ("GET", "/v1/in-force?revision=-1", 400),
        ("GET", "/v1/in-force?timeout_s=nan", 400),
        ("GET", "/v1/trace", 400),
        ("GET", "/v1/trace?url=away", 503),
        ("GET", "/v1/trace?url=bug", 500),
        ("GET", "/v1/endpoints?host=x", 404),
        ("GET", "/v1/endpoints", 400),
        ("POST", "/v1/epoch/accept", 409),
        ("GET", "/v1/epoch/accept", 404),
        ("GET", "/etc/passwd", 404),
    ],
)
async def test_every_answer_has_its_status(method: str, target: str, status: int) -> None:
    found, body = await ask(Canned(), method, target)
    assert found == status
    if status >= 400:
        assert body["error"]


async def test_not_ready_is_said_by_the_status() -> None:
    answers = Canned()
    answers.ready = False
    assert (await ask(answers, "GET", "/readyz"))[0] == 503


async def test_a_wait_ends_at_its_deadline_with_the_status(autojump_clock: MockClock) -> None:
    began_s = trio.current_time()
    status, body = await ask(Canned(), "GET", "/v1/in-force?revision=8&timeout_s=3")
    assert (status, body) == (408, {"node": "n"})
    assert trio.current_time() - began_s == pytest.approx(3, abs=0.01)


async def test_the_socket_is_for_its_owner_alone_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    path.write_text("stale")
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_on, path, Canned())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        stream = await trio.open_unix_socket(str(path))
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = b""
        with trio.fail_after(5):
            async for part in stream:
                answer += part
        assert b" 200 " in answer
        assert b'{"alive": true}' in answer
        await stream.aclose()
        nursery.cancel_scope.cancel()
    assert not path.exists()


async def test_a_path_too_long_for_a_socket_is_refused_by_its_length(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="may have 107 bytes"):
        await serve_on(tmp_path / ("x" * 120), Canned())
