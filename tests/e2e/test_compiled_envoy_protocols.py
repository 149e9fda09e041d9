"""gRPC and upgrades through a real Envoy, also to services that it must first ask for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
import trio

from tests.harness.followed import follow
from tests.harness.service_entries import service

pytestmark = pytest.mark.real

METHOD = "/test.Echo/Say"


@contextmanager
def grpc_server() -> Iterator[int]:
    """A gRPC server that answers with what it was sent, in reverse; yields its port."""
    handler = grpc.method_handlers_generic_handler(
        "test.Echo",
        {
            "Say": grpc.unary_unary_rpc_method_handler(lambda said, _: said[::-1]),
            "Count": grpc.unary_stream_rpc_method_handler(lambda said, _: (said for _ in range(3))),
        },
    )
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()


def say(port: int, authority: str, said: bytes) -> bytes:
    options = [("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        streamed = list(channel.unary_stream("/test.Echo/Count")(said, timeout=10))
        assert streamed == [said] * 3
        answer: bytes = channel.unary_unary(METHOD)(said, timeout=10)
        return answer


@pytest.mark.parametrize("protocol", ["GRPC", "HTTP2", "''"])
@pytest.mark.parametrize("budget", [500, 0], ids=["whole", "on demand"])
async def test_grpc_reaches_a_service(budget: int, protocol: str) -> None:
    with grpc_server() as port:
        entry = service("a", (port, "v1"), protocol=protocol)
        async with follow(entry, budget_services=budget) as host:
            answer = await trio.to_thread.run_sync(say, host.lab.port, "a:9080", b"abc")
            assert answer == b"cba"


RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: default}
spec:
  hosts: [a]
  http:
  - match: [{uri: {exact: /test.Echo/Say}}]
    fault: {abort: {grpcStatus: RESOURCE_EXHAUSTED, percentage: {value: 100}}}
    route: [{destination: {host: a}}]
  - route: [{destination: {host: a}}]
"""


async def test_a_grpc_fault_is_a_grpc_status() -> None:
    with grpc_server() as port:
        async with follow(service("a", (port, "v1"), protocol="GRPC"), RULES) as host:
            with pytest.raises(grpc.RpcError) as failed:
                await trio.to_thread.run_sync(say, host.lab.port, "a:9080", b"abc")
            assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def echo(stream: trio.SocketStream) -> None:
    """Take an upgrade, then send every byte back."""
    async with stream:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        async for data in stream:
            await stream.send_all(data)


@pytest.mark.parametrize("budget", [500, 0], ids=["whole", "on demand"])
async def test_a_websocket_reaches_a_service(budget: int) -> None:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, echo, [listener])
        port = listener.socket.getsockname()[1]
        async with follow(service("a", (port, "v1")), budget_services=budget) as host:
            stream = await trio.open_tcp_stream("127.0.0.1", host.lab.port)
            async with stream:
                await stream.send_all(
                    b"GET / HTTP/1.1\r\nHost: a:9080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                )
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")
                await stream.send_all(b"there and back")
                assert await stream.receive_some() == b"there and back"
        nursery.cancel_scope.cancel()
