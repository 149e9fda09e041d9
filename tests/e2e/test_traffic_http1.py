"""HTTP/1.1 of every kind through two sidecars, the client's and the server's, to an application that speaks bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.identities import MeshAuthority, spiffe
from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess
from tests.harness.wire import CHUNK, Client, Deeds, connect

pytestmark = [pytest.mark.real, pytest.mark.slow]

HOST = "deeds:9080"
SILENT_S = 3.0
"""Longer than the listener waits for a host that it does not know yet (2 s): a stream in use has no such limit."""
GIB = 1 << 30
GROWTH_MAX = 64 << 20
"""How much more memory an Envoy may have at its peak while a gibibyte passes: its buffers are some megabytes."""


@dataclass
class Meshed:
    """A client's host, a server's host, and the application on it."""

    client: SidecarProcess
    server: SidecarProcess
    app: Deeds


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    """Hosts are loaded on demand: there a listener waits only so long for a host, which must cut off no stream.

    The sidecars speak mutual TLS to each other; those of the tests of HTTP/2 speak plain text.
    """
    with Deeds() as app, MeshFixture(budget_services=0) as mesh:
        authority, ids = MeshAuthority(), mesh.root / "ids"
        for account in ("client", "server"):
            authority.workload(ids / account, spiffe(account))
        told: dict[str, dict[str, Any]] = {
            account: {"service_account": account, "identity": {"directory": str(ids / account)}}
            for account in ("client", "server")
        }
        client = mesh.sidecar("client", wait=False, **told["client"])
        server = mesh.sidecar("server", mesh.workload(app, 9080), wait=False, **told["server"])
        for sidecar in (client, server):
            sidecar.wait_ready()
        mesh.wait_registered(server)
        yield Meshed(client, server, app)


@pytest.fixture
def wire(meshed: Meshed) -> Iterator[Client]:
    with connect(meshed.client.port) as client:
        yield client


def test_the_first_request_to_a_host_is_served(wire: Client, meshed: Meshed) -> None:
    """Its cluster, endpoints and certificates come while it waits."""
    wire.send("/seen", HOST)
    assert wire.answer().status == 200
    tls = meshed.client.envoy_stats(r"^cluster\.outbound.*deeds.*ssl\.handshake$")
    assert sum(tls.values()) == 1


class TestMessages:
    def test_head_has_the_length_and_no_body(self, wire: Client) -> None:
        wire.send("/seen", HOST, method="HEAD")
        answer = wire.answer("HEAD")
        assert (answer.status, int(answer.header("content-length") or 0) > 10) == (200, True)
        wire.send("/seen", HOST)
        assert wire.answer().seen["method"] == "GET"

    @pytest.mark.parametrize("status", [204, 304])
    def test_answers_without_body(self, wire: Client, status: int) -> None:
        wire.send(f"/seen?status={status}", HOST)
        assert wire.answer().status == status
        wire.send("/seen", HOST)
        assert wire.answer().status == 200

    def test_chunked_requests_arrive_with_their_trailers(self, wire: Client) -> None:
        body = b"3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n"
        wire.send(
            "/seen", HOST, "Transfer-Encoding: chunked", "TE: trailers", method="POST", body=body
        )
        seen = wire.answer().seen
        assert seen["body"] == "abc"
        assert ["x-sum", "3"] in seen["trailers"]

    def test_answers_have_their_trailers(self, wire: Client) -> None:
        wire.send("/trailers", HOST, "TE: trailers")
        answer = wire.answer()
        assert answer.body == b"abcde"
        assert dict(answer.trailers) == {"x-sum": "5", "x-more": "yes"}

    def test_a_long_header_arrives(self, wire: Client) -> None:
        long = "x" * 50_000
        wire.send("/seen", HOST, f"X-Long: {long}")
        assert dict(wire.answer().seen["headers"])["x-long"] == long

    def test_many_headers_arrive_both_ways(self, wire: Client) -> None:
        wire.send("/seen?many=400", HOST, *(f"X-N{n}: {n}" for n in range(400)))
        answer = wire.answer()
        assert answer.status == 200
        assert sum(name.startswith("x-n") for name, _ in answer.seen["headers"]) == 400
        assert answer.header("x-399") == "v"

    def test_long_answer_headers_arrive(self, wire: Client) -> None:
        wire.send("/seen?many=10&long=5000", HOST)
        answer = wire.answer()
        assert (answer.status, len(answer.header("x-9") or "")) == (200, 5000)


class TestContinue:
    def test_the_application_is_asked_before_the_body_is_sent(self, wire: Client) -> None:
        wire.send("/continue", HOST, "Expect: 100-continue", "Content-Length: 5", method="PUT")
        assert wire.head().status == 100
        wire.socket.sendall(b"12345")
        assert wire.answer().body == b"100-continue 5"

    def test_the_application_may_refuse_it(self, wire: Client) -> None:
        wire.send("/refuse", HOST, "Expect: 100-continue", "Content-Length: 5", method="PUT")
        assert wire.head().status == 413

    def test_a_client_that_does_not_ask_just_sends(self, wire: Client) -> None:
        wire.send("/continue", HOST, "Content-Length: 5", method="PUT", body=b"12345")
        assert wire.answer().body == b" 5"


class TestConnections:
    def test_many_requests_share_one_connection(self, wire: Client, meshed: Meshed) -> None:
        for _ in range(20):
            wire.send("/seen", HOST)
            assert wire.answer().status == 200

    def test_a_client_that_says_close_is_closed(self, wire: Client) -> None:
        wire.send("/seen", HOST, "Connection: close")
        answer = wire.answer()
        assert answer.header("connection") == "close"
        assert wire.is_closed()

    def test_an_application_that_closes_does_not_close_its_clients(self, wire: Client) -> None:
        for _ in range(3):
            wire.send("/bye", HOST)
            assert wire.answer().body == b"bye"

    def test_a_body_that_ends_with_the_connection_is_whole(self, wire: Client) -> None:
        wire.send("/until-close", HOST)
        assert wire.answer().body == b"to the end"

    def test_pipelined_requests_are_answered_in_order(self, wire: Client) -> None:
        for n in range(5):
            wire.send(f"/seen?n={n}", HOST)
        assert [wire.answer().seen["target"] for _ in range(5)] == [
            f"/seen?n={n}" for n in range(5)
        ]

    def test_old_clients_are_served(self, wire: Client) -> None:
        wire.socket.sendall(f"GET /seen HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
        assert wire.answer().status == 200
        assert wire.is_closed()


class TestStreams:
    def test_events_arrive_one_by_one_however_long_it_is_silent(
        self, wire: Client, meshed: Meshed
    ) -> None:
        wire.send("/events", HOST)
        assert wire.head().header("content-type") == "text/event-stream"
        chunks = wire.chunks()
        for event in ("first", "second"):
            meshed.app.events.tell(event)
            assert next(chunks) == f"data: {event}\n\n".encode()
            time.sleep(SILENT_S)  # the silence is what is tested
        meshed.app.events.tell("last")
        assert next(chunks) == b"data: last\n\n"
        meshed.app.events.tell(None)
        assert list(chunks) == []

    def test_a_websocket_stays_open_however_long_it_is_silent(self, wire: Client) -> None:
        wire.send("/upgrade", HOST, "Connection: Upgrade", "Upgrade: websocket")
        assert wire.head().status == 101
        for said in (b"there", b"and back"):
            wire.socket.sendall(said)
            assert wire.file.read(len(said)) == said
            time.sleep(SILENT_S)  # the silence is what is tested
        wire.socket.sendall(b"again")
        assert wire.file.read(5) == b"again"

    def test_a_tunnel_stays_open_however_long_it_is_silent(self, wire: Client) -> None:
        wire.socket.sendall(f"CONNECT {HOST} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert wire.head().status == 200
        time.sleep(SILENT_S)  # the silence is what is tested
        wire.send("/seen", HOST)
        assert wire.answer().status == 200

    def test_a_client_that_sends_slowly_is_waited_for(self, wire: Client) -> None:
        wire.send("/up", HOST, "Content-Length: 4", method="PUT", body=b"ab")
        time.sleep(SILENT_S)  # the silence is what is tested
        wire.socket.sendall(b"cd")
        assert wire.answer().body == b"4"

    def test_a_client_that_reads_slowly_gets_all(self, meshed: Meshed) -> None:
        with connect(meshed.client.port, receive_buffer=65536) as client:
            client.send("/down?bytes=33554432", HOST)
            time.sleep(SILENT_S)  # all buffers on the way fill, and nobody reads
            assert len(client.answer().body) == 32 << 20

    def test_an_application_that_reads_slowly_gets_all(self, wire: Client) -> None:
        size = 32 << 20
        wire.send(f"/up?pause_s={SILENT_S}", HOST, f"Content-Length: {size}", method="PUT")
        for _ in range(size // len(CHUNK)):
            wire.socket.sendall(CHUNK)
        assert wire.answer().body == str(size).encode()


def _peak(pid: int | None) -> int:
    """Most resident bytes that a process had since it was last forgotten."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def _forget_peak(pid: int | None) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class TestLargeBodies:
    @pytest.fixture
    def flat(self, meshed: Meshed) -> Iterator[None]:
        """Both Envoys and both sidecars stay as large as they are."""
        pids = [
            pid
            for host in (meshed.client, meshed.server)
            for pid in (host.envoy_pid(), host.process.pid if host.process else None)
        ]
        for pid in pids:
            _forget_peak(pid)
        before = [_peak(pid) for pid in pids]
        yield
        grown = [_peak(pid) - was for pid, was in zip(pids, before, strict=True)]
        assert max(grown) < GROWTH_MAX, grown

    def test_a_gibibyte_down_leaves_memory_flat(self, wire: Client, flat: None) -> None:
        wire.send(f"/down?bytes={GIB}", HOST)
        assert wire.head().header("content-length") == str(GIB)
        buffer, got = bytearray(1 << 20), 0
        while got < GIB:
            count = wire.file.readinto(buffer)
            assert count, f"the body ended after {got} bytes"
            got += count

    def test_a_gibibyte_up_leaves_memory_flat(self, wire: Client, flat: None) -> None:
        wire.send("/up", HOST, f"Content-Length: {GIB}", method="PUT")
        for _ in range(GIB // len(CHUNK)):
            wire.socket.sendall(CHUNK)
        assert wire.answer().body == str(GIB).encode()
