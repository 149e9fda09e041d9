"""Requests and answers over TCP: who lacks the key, or is slow, or claims too much, gets nothing and holds nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from sidecar.agent import gossip_streams
from sidecar.agent.gossip_addresses import joined
from sidecar.agent.gossip_sockets import Traffic, open_sockets
from sidecar.agent.gossip_streams import PREAMBLE_BYTES, CallServer, call_peer, write_sealed
from sidecar.gossip.frames import STREAM_BYTES_MAX
from sidecar.gossip.keyring import NONCE_BYTES, Keyring, Purpose
from store.errors import PeerError
from tests.harness.processes import wait_until_async

OURS = Keyring("mesh", [b"1" * 32])
THEIRS = Keyring("mesh", [b"2" * 32])
WITHIN_S = 20.0


class Server:
    """Answers each request with itself, reversed; `none` with nothing."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.opened: list[trio.SocketStream] = []
        self.sockets = open_sockets("127.0.0.1", 0)
        self.address = joined("127.0.0.1", self.sockets.port)
        self._server = CallServer(lambda: OURS, self._answer, self.traffic)

    def _answer(self, body: bytes) -> bytes | None:
        return None if body == b"none" else body[::-1]

    async def run(self) -> None:
        await self._server.run(self.sockets)

    async def connect(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.sockets.port)
        self.opened.append(stream)
        return stream

    async def wait_dropped(self, reason: str, count: int = 1) -> None:
        await wait_until_async(
            lambda: self.traffic.dropped[reason] >= count,
            WITHIN_S,
            f"{count} dropped as {reason}; so far {dict(self.traffic.dropped)}",
        )


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        yield server
        for stream in server.opened:
            await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()
    server.sockets.close()


def sealed(body: bytes, keyring: Keyring = OURS) -> bytes:
    return keyring.seal(body, Purpose.STREAM, os.urandom(NONCE_BYTES))


async def ends(stream: trio.SocketStream) -> bool:
    """Whether the other side closes without a word."""
    with trio.fail_after(WITHIN_S):
        try:
            return await stream.receive_some(1) == b""
        except trio.BrokenResourceError:
            return True


@pytest.mark.parametrize("size", [0, 1, 70_000, STREAM_BYTES_MAX])
async def test_a_request_is_answered_whatever_its_length(size: int) -> None:
    async with serving() as server:
        body = os.urandom(size)
        traffic = Traffic()
        with trio.fail_after(WITHIN_S):
            assert await call_peer(server.address, OURS, body, traffic) == body[::-1]
        assert traffic.octets["out", "stream"] == traffic.octets["in", "stream"] > size
        assert not server.traffic.dropped


async def test_who_gets_no_answer_hears_so() -> None:
    async with serving() as server:
        with pytest.raises(PeerError, match="cut_short"), trio.fail_after(WITHIN_S):
            await call_peer(server.address, OURS, b"none", Traffic())


async def test_who_lacks_the_key_is_turned_away_after_its_first_bytes() -> None:
    async with serving() as server:
        with pytest.raises(PeerError), trio.fail_after(WITHIN_S):
            await call_peer(server.address, THEIRS, b"body", Traffic())
        await server.wait_dropped("stream_not_opened")
        stream = await server.connect()
        await stream.send_all(os.urandom(PREAMBLE_BYTES))
        assert await ends(stream)
        await server.wait_dropped("stream_not_opened", 2)


async def test_more_than_is_allowed_is_refused_before_it_is_read() -> None:
    async with serving() as server:
        stream = await server.connect()
        await stream.send_all(sealed((STREAM_BYTES_MAX + 1).to_bytes(4, "big")))
        assert await ends(stream)
        await server.wait_dropped("stream_too_long")


async def test_an_answer_of_a_stranger_is_none() -> None:
    async def lie(stream: trio.SocketStream) -> None:
        await write_sealed(stream, THEIRS, b"lie", Traffic())

    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, lie, [listener])
        port = listener.socket.getsockname()[1]
        with pytest.raises(PeerError, match="not_opened"), trio.fail_after(WITHIN_S):
            await call_peer(f"127.0.0.1:{port}", OURS, b"body", Traffic())
        nursery.cancel_scope.cancel()


async def test_who_is_cut_short_is_counted() -> None:
    async with serving() as server:
        stream = await server.connect()
        await stream.send_all(sealed((100).to_bytes(4, "big")) + b"half of it")
        await stream.send_eof()
        await server.wait_dropped("stream_cut_short")


async def test_who_says_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossip_streams, "PROVE_WITHIN_S", 0.05)
    async with serving() as server:
        assert await ends(await server.connect())
        await server.wait_dropped("stream_too_slow")


async def test_who_has_the_key_and_is_slow_is_cut_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossip_streams, "CALL_WITHIN_S", 0.1)
    async with serving() as server:
        stream = await server.connect()
        await stream.send_all(sealed((100).to_bytes(4, "big")))
        assert await ends(stream)
        await server.wait_dropped("stream_too_slow")


async def test_strangers_take_places_of_strangers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossip_streams, "STRANGERS_MAX", 4)
    monkeypatch.setattr(gossip_streams, "PROVE_WITHIN_S", WITHIN_S)
    monkeypatch.setattr(gossip_streams, "CALL_WITHIN_S", WITHIN_S)
    async with serving() as server:
        member = await server.connect()
        await member.send_all(sealed((4).to_bytes(4, "big")))
        strangers = [await server.connect() for _ in range(20)]
        await server.wait_dropped("stream_too_slow", 16)
        assert await ends(strangers[0])
        await member.send_all(sealed(b"body"))
        with trio.fail_after(WITHIN_S):
            assert await gossip_streams.read_sealed(member, OURS, Traffic()) == b"ydob"


async def test_no_more_callers_than_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossip_streams, "CALLERS_MAX", 2)
    async with serving() as server:
        for _ in range(5):
            stream = await server.connect()
            await stream.send_all(sealed((4).to_bytes(4, "big")))
        await server.wait_dropped("stream_over_limit", 3)


async def test_nobody_listens_there() -> None:
    sockets = open_sockets("127.0.0.1", 0)
    sockets.close()
    with pytest.raises(OSError, match=r"refused"):
        await call_peer(joined("127.0.0.1", sockets.port), OURS, b"", Traffic())
    with pytest.raises(ValueError, match="no address:port"):
        await call_peer("nowhere", OURS, b"", Traffic())
