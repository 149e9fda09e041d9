"""Probes of applications that are really there, or are not."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import trio

from sidecar.agent.probing import ask
from store.objects.workload_group import ReadinessProbe
from tests.harness.echo import EchoBackend

pytestmark = pytest.mark.slow


def probe(**document: Any) -> ReadinessProbe:
    return ReadinessProbe.model_validate(document)


async def reason(timeout_s: float = 20.0, **document: Any) -> str:
    return await ask(probe(**document), timeout_s)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


class TestHttp:
    async def test_an_answer_below_400_is_success(self) -> None:
        with EchoBackend("app") as app:
            for status in (200, 399):
                check = {"port": app.port, "path": f"/?status={status}"}
                assert await reason(httpGet=check) == ""

    async def test_other_answers_are_told(self) -> None:
        with EchoBackend("app") as app:
            check = {"port": app.port, "path": "/?status=503"}
            assert (
                await reason(httpGet=check)
                == f"GET /?status=503 on 127.0.0.1:{app.port} answered 503"
            )

    async def test_headers_are_sent(self) -> None:
        with EchoBackend("app") as app:
            headers = [{"name": "Host", "value": "shop"}, {"name": "X-Probe", "value": "yes"}]
            assert await reason(httpGet={"port": app.port, "httpHeaders": headers}) == ""

    async def test_nobody_there(self, closed: int) -> None:
        assert (
            await reason(httpGet={"port": closed})
            == f"GET / on 127.0.0.1:{closed}: Connection refused"
        )

    async def test_no_answer_in_time(self, silent: int) -> None:
        said = await reason(0.2, httpGet={"port": silent})
        assert said in ("no answer within 0.2 s", f"GET / on 127.0.0.1:{silent}: timed out")


class TestTcp:
    async def test_a_connection_is_success(self, silent: int) -> None:
        assert await reason(tcpSocket={"port": silent}) == ""

    async def test_nobody_there(self, closed: int) -> None:
        assert "127.0.0.1" in await reason(tcpSocket={"port": closed})


class TestExec:
    async def test_status_zero_is_success(self) -> None:
        assert await reason(exec={"command": [sys.executable, "-c", "pass"]}) == ""

    async def test_another_status_is_told(self) -> None:
        command = [sys.executable, "-c", "raise SystemExit(3)"]
        assert await reason(exec={"command": command}) == f"{sys.executable} ended with status 3"

    async def test_no_such_program(self) -> None:
        said = await reason(exec={"command": ["/no/such/program"]})
        assert said == "/no/such/program cannot be started: No such file or directory"

    async def test_a_command_that_hangs_is_ended(self) -> None:
        with trio.fail_after(20):
            said = await reason(0.3, exec={"command": ["sleep", "60"]})
        assert said == "no answer within 0.3 s"


class TestGrpc:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [(b"\x08\x01", ""), (b"\x08\x02", "NOT_SERVING"), (b"", "UNKNOWN")],
    )
    async def test_only_serving_is_success(self, answer: bytes, expected: str) -> None:
        asked: list[bytes] = []

        def check(request: bytes, context: grpc.ServicerContext) -> bytes:
            asked.append(request)
            return answer

        handler = grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
        )
        server = grpc.server(ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers((handler,))
        number = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            said = await reason(grpc={"port": number, "service": "shop"})
        finally:
            server.stop(None).wait()
        assert asked == [b"\x0a\x04shop"]
        assert (said == "") if not expected else said.endswith(f"says {expected}")

    async def test_nobody_there(self, closed: int) -> None:
        said = await reason(grpc={"port": closed})
        assert said == f"gRPC health of 127.0.0.1:{closed}: UNAVAILABLE"
