"""The status API: pages, problems as JSON, bodies, waits with a deadline, one socket for its own user."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.http_api import BODY_BYTES_MAX, application, serve_on
from sidecar.agent.wanted import Wanted
from store.errors import ConflictError, InputError, NotFoundError, StoreUnavailable


class Mesh:
    """What is answered for the mesh; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.met = True

    def mesh(self) -> Mapping[str, Any]:
        return {"members": []}

    def peers(self) -> Mapping[str, Any]:
        return {"members": []}

    async def in_force(self, wanted: Wanted, timeout_s: float) -> tuple[bool, Mapping[str, Any]]:
        self.asked.append((wanted, timeout_s))
        return self.met, {"scope": "mesh"}

    def ejections(self) -> Mapping[str, Any]:
        return {"endpoints": []}

    def override(self, kind: str, body: bytes) -> Mapping[str, Any]:
        self.asked.append((kind, body))
        return {"kind": kind}

    def keyring(self) -> Mapping[str, Any]:
        return {"keys": []}

    def change_keyring(self, deed: str, body: bytes) -> Mapping[str, Any]:
        self.asked.append((deed, body))
        raise ConflictError("gossip is off")


class Canned:
    """Answers that a test sets."""

    def __init__(self) -> None:
        self.ready = True
        self.in_force = 7
        self.wanted: Wanted | None = None
        self.whole_mesh = Mesh()

    def status(self) -> Mapping[str, Any]:
        return {"node": "n"}

    def is_ready(self) -> bool:
        return self.ready

    async def wait_in_force(self, wanted: Wanted) -> Mapping[str, Any]:
        self.wanted = wanted
        if wanted.revision > self.in_force:
            await trio.sleep_forever()
        return {"revision_in_force": self.in_force}

    def trace(self, query: Mapping[str, list[str]]) -> Mapping[str, Any]:
        if query.get("url") == ["away"]:
            raise StoreUnavailable("no configuration yet")
        if query.get("url") == ["much"]:
            raise MemoryError
        if query.get("url") == ["bug"]:
            raise KeyError("a bug")
        raise InputError("no request", hint="give a URL")

    def endpoints(self, host: str) -> Mapping[str, Any]:
        raise NotFoundError(f"no {host}")

    def accept_epoch(self) -> Mapping[str, Any]:
        raise ConflictError("nothing is held")

    async def metrics(self) -> bytes:
        return b"meshd_store_up 1\n"


async def ask(
    answers: Canned, method: str, target: str, *parts: bytes, gone: bool = False
) -> tuple[int, Any]:
    path, _, query = target.partition("?")
    sent: list[Mapping[str, Any]] = []
    coming = [
        {"type": "http.request", "body": part, "more_body": gone or number < len(parts)}
        for number, part in enumerate(parts or (b"",), 1)
    ]

    async def receive() -> Mapping[str, Any]:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

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
        ("GET", "/v1/in-force?revision=7&cluster=abc", 200),
        ("GET", "/v1/in-force?revision=7&cluster=xyz", 400),
        ("GET", "/v1/in-force?revision=7&cluster=10000000000000000", 400),
        ("GET", "/v1/in-force?revision=7&scope=host", 200),
        ("GET", "/v1/in-force?revision=7&written=", 400),
        ("GET", "/v1/in-force?revision=7&scope=mesh", 200),
        ("GET", "/v1/in-force?revision=7&scope=moon", 400),
        ("GET", "/v1/mesh", 200),
        ("GET", "/v1/peers", 200),
        ("GET", "/v1/ejections", 200),
        ("GET", "/v1/keyring", 200),
        ("POST", "/v1/ejections/clear", 200),
        ("POST", "/v1/ejections/pin", 200),
        ("POST", "/v1/ejections/pause", 200),
        ("POST", "/v1/ejections/kill", 404),
        ("GET", "/v1/ejections/clear", 404),
        ("POST", "/v1/keyring/install", 409),
        ("POST", "/v1/keyring/use", 409),
        ("POST", "/v1/keyring/remove", 409),
        ("POST", "/v1/keyring", 404),
        ("GET", "/v1/trace", 400),
        ("GET", "/v1/trace?url=away", 503),
        ("GET", "/v1/trace?url=bug", 500),
        ("GET", "/v1/trace?url=much", 503),
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


async def test_the_etcd_and_the_key_that_are_meant_are_passed_on() -> None:
    answers = Canned()
    await ask(answers, "GET", "/v1/in-force?revision=7&cluster=ff&written=ns/a%2Fb")
    assert answers.wanted == Wanted(7, 255, "ns/a/b")
    await ask(answers, "GET", "/v1/in-force?revision=7&deleted=mesh&scope=mesh&timeout_s=2")
    assert answers.whole_mesh.asked == [(Wanted(7, None, "", "mesh"), 2.0)]


async def test_a_mesh_that_lags_answers_408_with_how_far_it_is() -> None:
    answers = Canned()
    answers.whole_mesh.met = False
    assert await ask(answers, "GET", "/v1/in-force?scope=mesh") == (408, {"scope": "mesh"})


async def test_bodies_arrive_whole_in_however_many_parts() -> None:
    answers = Canned()
    await ask(answers, "POST", "/v1/ejections/pin", b'{"a"', b": 1}")
    assert answers.whole_mesh.asked == [("pin", b'{"a": 1}')]


async def test_a_body_that_is_too_long_is_refused_before_it_has_come_whole() -> None:
    answers = Canned()
    parts = [b"x" * BODY_BYTES_MAX, b"x"]
    status, body = await ask(answers, "POST", "/v1/ejections/pin", *parts, gone=True)
    assert (status, answers.whole_mesh.asked) == (400, [])
    assert str(BODY_BYTES_MAX) in body["error"]


async def test_half_a_question_does_nothing() -> None:
    answers = Canned()
    status, _ = await ask(answers, "POST", "/v1/ejections/pin", b"{", gone=True)
    assert (status, answers.whole_mesh.asked) == (400, [])


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
