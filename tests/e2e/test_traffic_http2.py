"""HTTP/2 and gRPC through two sidecars, the client's and the server's, hosts loaded on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import pytest

from tests.harness.http2 import Http2App, connect_http2
from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess
from tests.harness.wire import Deeds, connect

pytestmark = [pytest.mark.real, pytest.mark.slow]

SILENT_S = 3.0
"""Longer than the listener waits for a host that it does not know yet (2 s)."""
LARGE = 8 << 20
"""Bytes of a large message."""


class _Said:
    """A gRPC service without generated code: messages are bytes."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def unary(self, said: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = dict(context.invocation_metadata())
        context.set_trailing_metadata((("x-trailing", str(metadata.get("x-asked", ""))),))
        if said == b"deny":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you: näher")
        if said == b"late":
            time.sleep(2)
        return said[::-1]

    def down(self, said: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from (said for _ in range(100))

    def up(self, said: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return str(sum(len(part) for part in said)).encode()

    def both(self, said: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(self.cancelled.set)
        for part in said:
            yield part[::-1]


@dataclass
class GrpcApp:
    """The service as a workload."""

    port: int
    said: _Said
    name: str = "said"
    version: str = ""


@contextmanager
def grpc_app() -> Iterator[GrpcApp]:
    said = _Said()
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(said.unary),
        "Down": grpc.unary_stream_rpc_method_handler(said.down),
        "Up": grpc.stream_unary_rpc_method_handler(said.up),
        "Both": grpc.stream_stream_rpc_method_handler(said.both),
    }
    sizes = [("grpc.max_receive_message_length", -1)]
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, options=sizes)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Said", methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield GrpcApp(port, said)
        finally:
            server.stop(0).wait()


@dataclass
class Meshed:
    mesh: MeshFixture
    client: SidecarProcess
    two: Http2App
    grpc: GrpcApp
    one: Deeds


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with (
        Http2App() as two,
        grpc_app() as said,
        Deeds() as one,
        MeshFixture(budget_services=0) as mesh,
    ):
        workloads = [
            mesh.workload(two, 80, "HTTP2"),
            mesh.workload(said, 80, "GRPC"),
            mesh.workload(one, 80),
        ]
        client = mesh.sidecar("client", wait=False)
        server = mesh.sidecar("server", *workloads, wait=False)
        for sidecar in (client, server):
            sidecar.wait_ready()
        mesh.wait_registered(server)
        yield Meshed(mesh, client, two, said, one)


class TestHttp2:
    def test_requests_answers_and_trailers_are_whole(self, meshed: Meshed) -> None:
        with connect_http2(meshed.client.port) as client:
            # Trailers that arrive while their host is loaded are a limit of Envoy: docs/xds.md, 12i.
            client.wait(client.send("two", "/warm"))
            number = client.send(
                "two",
                "/x?y=1",
                ("te", "trailers"),
                method="POST",
                body=b"abc",
                trailers=[("x-end", "1")],
            )
            answer = client.wait(number)
        seen = json.loads(answer.body)
        assert (answer.headers[":status"], answer.trailers["x-sum"]) == ("200", "3")
        assert (seen["headers"][":path"], seen["body"]) == ("/x?y=1", "abc")
        assert seen["trailers"]["x-end"] == "1"

    def test_many_streams_share_one_connection_of_the_client_and_of_the_application(
        self, meshed: Meshed
    ) -> None:
        before = meshed.two.connections
        with connect_http2(meshed.client.port) as client:
            numbers = [client.send("two", f"/{n}") for n in range(50)]
            seen = [json.loads(client.wait(number).body) for number in numbers]
        assert [one["headers"][":path"] for one in seen] == [f"/{n}" for n in range(50)]
        assert meshed.two.connections - before <= 1

    def test_a_client_of_http1_reaches_an_application_of_http2(self, meshed: Meshed) -> None:
        with connect(meshed.client.port) as client:
            client.send("/one", "two", "TE: trailers")
            answer = client.answer()
        assert json.loads(answer.body)["headers"][":path"] == "/one"
        assert dict(answer.trailers) == {"x-sum": "0"}

    def test_a_client_of_http2_reaches_an_application_of_http1(self, meshed: Meshed) -> None:
        with connect_http2(meshed.client.port) as client:
            answer = client.wait(client.send("deeds", "/trailers", ("te", "trailers")))
        assert (answer.body, answer.trailers["x-sum"]) == (b"abcde", "5")

    def test_upgraded_requests_travel_as_http2_between_the_sidecars(self, meshed: Meshed) -> None:
        meshed.mesh.put("""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: deeds}
spec: {host: deeds, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}
""")
        with connect(meshed.client.port) as client:
            client.send("/seen", "deeds", method="POST")
            assert client.answer().seen["method"] == "POST"
            client.send("/trailers", "deeds", "TE: trailers")
            assert dict(client.answer().trailers)["x-sum"] == "5"
        stats = meshed.client.envoy_stats(
            r"cluster\.outbound\|80\|\|deeds.*upstream_cx_http2_total"
        )
        assert sum(stats.values()) == 1


class TestGrpc:
    @pytest.fixture
    def channel(self, meshed: Meshed) -> Iterator[grpc.Channel]:
        options = [
            ("grpc.default_authority", "said:80"),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", -1),
        ]
        with grpc.insecure_channel(f"127.0.0.1:{meshed.client.port}", options) as channel:
            yield channel

    def test_unary_with_metadata_both_ways(self, channel: grpc.Channel) -> None:
        call = channel.unary_unary("/Said/Unary")
        answer, state = call.with_call(b"abc", metadata=(("x-asked", "yes"),), timeout=20)
        assert answer == b"cba"
        assert dict(state.trailing_metadata())["x-trailing"] == "yes"

    def test_large_messages(self, channel: grpc.Channel) -> None:
        answer = channel.unary_unary("/Said/Unary")(b"x" * LARGE, timeout=60)
        assert len(answer) == LARGE

    def test_streams_of_answers(self, channel: grpc.Channel) -> None:
        assert list(channel.unary_stream("/Said/Down")(b"abc", timeout=20)) == [b"abc"] * 100

    def test_streams_of_requests(self, channel: grpc.Channel) -> None:
        said = (b"x" * 1000 for _ in range(100))
        assert channel.stream_unary("/Said/Up")(said, timeout=20) == b"100000"

    def test_both_ways_at_once_however_long_it_is_silent(self, channel: grpc.Channel) -> None:
        answered = threading.Event()

        def said() -> Iterator[bytes]:
            yield b"ab"
            assert answered.wait(30)
            time.sleep(SILENT_S)  # the silence is what is tested
            yield b"cd"

        answers = channel.stream_stream("/Said/Both")(said(), timeout=60)
        assert next(answers) == b"ba"
        answered.set()
        assert list(answers) == [b"dc"]

    def test_a_status_comes_as_it_was_said(self, channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary("/Said/Unary")(b"deny", timeout=20)
        assert failed.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert failed.value.details() == "not for you: näher"

    def test_a_deadline_of_the_client_ends_the_request(self, channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary("/Said/Unary")(b"late", timeout=0.3)
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    def test_a_timeout_of_the_rule_holds_for_a_client_that_would_wait_longer(
        self, channel: grpc.Channel, meshed: Meshed
    ) -> None:
        meshed.mesh.put("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: said}
spec: {hosts: [said], http: [{timeout: 300ms, route: [{destination: {host: said}}]}]}
""")
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary("/Said/Unary")(b"late", timeout=20)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        meshed.mesh.meshd("delete", "virtualservice", "said")
        meshed.mesh.settle()

    def test_a_client_that_gives_up_is_heard_by_the_application(
        self, channel: grpc.Channel, meshed: Meshed
    ) -> None:
        meshed.grpc.said.cancelled.clear()
        stop = threading.Event()

        def said() -> Iterator[bytes]:
            yield b"ab"
            stop.wait(30)

        answers = channel.stream_stream("/Said/Both")(said(), timeout=60)
        assert next(answers) == b"ba"
        answers.cancel()
        stop.set()
        assert meshed.grpc.said.cancelled.wait(20)
