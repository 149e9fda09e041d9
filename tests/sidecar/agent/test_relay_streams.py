"""The relay's connections: many requests on one, answers that come late or never, no room for long or silent ones."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from sidecar.agent import relay_streams
from sidecar.agent.gossip_addresses import joined
from sidecar.agent.gossip_sockets import Traffic, open_sockets
from sidecar.agent.gossip_streams import CallServer, write_sealed
from sidecar.agent.relay_streams import REQUEST_BYTES_MAX, RelayCaller, RelayServer
from sidecar.gossip.keyring import NONCE_BYTES, Keyring, Purpose
from sidecar.relay.wire import WORD_BYTES_MAX
from store.errors import PeerError
from tests.harness.processes import wait_until_async

OURS = Keyring("mesh", [b"1" * 32])
THEIRS = Keyring("mesh", [b"2" * 32])
WITHIN_S = 20.0


class Served:
    """Answers each request with who asked and what, `long` with all that a word may be, `never` never."""

    def __init__(self, *, has_relay: bool = True) -> None:
        self.traffic = Traffic()
        self.sockets = open_sockets("127.0.0.1", 0)
        self.address = joined("127.0.0.1", self.sockets.port)
        self.caller = RelayCaller(lambda: OURS, Traffic())
        self.relay = RelayServer(lambda: OURS, self._answer, self.traffic)
        self._server = CallServer(lambda: OURS, lambda body: body, self.traffic)
        self._server.relay = self.relay.serve if has_relay else None

    async def _answer(self, client: str, body: bytes) -> bytes:
        if body == b"never":
            await trio.sleep_forever()
        return bytes(WORD_BYTES_MAX) if body == b"long" else client.encode() + b" " + body

    async def run(self) -> None:
        await self._server.run(self.sockets)

    async def ask(self, body: bytes) -> bytes:
        with trio.fail_after(WITHIN_S):
            return await self.caller.call(self.address, body)

    async def wait_dropped(self, reason: str) -> None:
        await wait_until_async(
            lambda: self.traffic.dropped[reason], WITHIN_S, f"{reason}: {self.traffic.dropped}"
        )


@asynccontextmanager
async def serving(*, has_relay: bool = True) -> AsyncIterator[Served]:
    served = Served(has_relay=has_relay)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(served.run)
        yield served
        served.caller.close_idle(everything=True)
        nursery.cancel_scope.cancel()
    served.sockets.close()


async def test_one_connection_carries_many_requests_and_long_answers() -> None:
    async with serving() as served:
        assert await served.ask(b"a") == b"connection-1 a"
        assert await served.ask(b"long") == bytes(WORD_BYTES_MAX)
        assert await served.ask(b"b") == b"connection-1 b"
        assert served.relay.connections == 1
        assert served.traffic.packets["in", "relay"] == served.traffic.packets["out", "relay"] == 3


async def test_requests_at_once_have_a_connection_each() -> None:
    async with serving() as served:
        found: list[bytes] = []

        async def ask() -> None:
            found.append(await served.ask(b"a"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
        assert sorted(found) == [b"connection-1 a", b"connection-2 a"]


async def test_a_connection_that_ended_meanwhile_is_replaced() -> None:
    async with serving() as served:
        await served.ask(b"a")
        served.sockets.tcp.socket.listen(1)  # it goes on listening; the connection alone ends
        for _, _, stream in served.caller._kept:
            stream.socket.shutdown(trio.socket.SHUT_RDWR)
        assert await served.ask(b"b") == b"connection-2 b"


async def test_an_asker_that_gives_up_takes_its_connection_along() -> None:
    async with serving() as served:
        with trio.move_on_after(0.1) as scope:
            await served.ask(b"never")
        assert scope.cancelled_caught
        assert not served.caller._kept


async def test_what_is_never_answered_costs_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_streams, "ANSWER_WITHIN_S", 0.1)
    async with serving() as served:
        with pytest.raises(PeerError, match="cut_short"):
            await served.ask(b"never")
        await served.wait_dropped("stream_relay_not_answered")
        assert served.relay.connections == 0


async def test_a_long_request_is_refused_before_it_is_read() -> None:
    async with serving() as served:
        with pytest.raises(PeerError, match="cut_short"):
            await served.ask(bytes(REQUEST_BYTES_MAX + 1))
        await served.wait_dropped("stream_too_long")


async def test_a_slow_request_costs_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_streams, "REQUEST_WITHIN_S", 0.1)
    async with serving() as served:
        stream = await trio.open_tcp_stream("127.0.0.1", served.sockets.port)
        length = (5).to_bytes(4, "big")
        await stream.send_all(OURS.seal(length, Purpose.RELAY, os.urandom(NONCE_BYTES)))
        await served.wait_dropped("stream_too_slow")
        await stream.aclose()


async def test_a_silent_connection_is_closed_without_complaint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_streams, "IDLE_S", 0.1)
    async with serving() as served:
        await served.ask(b"a")
        await wait_until_async(lambda: not served.relay.connections, WITHIN_S, "the end of it")
        assert not served.traffic.dropped


async def test_no_more_connections_than_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_streams, "CONNECTIONS_MAX", 1)
    async with serving() as served:
        await served.ask(b"a")
        other = RelayCaller(lambda: OURS, Traffic())
        with pytest.raises(PeerError), trio.fail_after(WITHIN_S):
            await other.call(served.address, b"b")
        await served.wait_dropped("stream_relay_over_limit")


async def test_who_lacks_the_key_or_the_purpose_is_a_stranger() -> None:
    async with serving() as served:
        stranger = RelayCaller(lambda: THEIRS, Traffic())
        with pytest.raises(PeerError), trio.fail_after(WITHIN_S):
            await stranger.call(served.address, b"a")
        await served.wait_dropped("stream_not_opened")
        await served.ask(b"a")
        stream = served.caller._kept[0][2]
        await write_sealed(stream, OURS, b"gossip", Traffic(), Purpose.STREAM)
        await wait_until_async(
            lambda: served.traffic.dropped["stream_not_opened"] == 2, WITHIN_S, "another purpose"
        )


async def test_where_there_is_no_relay_its_connections_are_closed() -> None:
    async with serving(has_relay=False) as served:
        with pytest.raises(PeerError):
            await served.ask(b"a")
        await served.wait_dropped("stream_no_relay")
