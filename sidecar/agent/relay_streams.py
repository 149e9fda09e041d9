"""Words of the relay over TCP: one connection for a pull or a round, request and answer in turn, sealed for the relay.

The gossip port's listener takes the connection and hands it over once its first length has opened (`CallServer`).
Requests are short, so an asker can make us set aside a KiB and no more; answers are bounded on the asking side. Who
asks is known by its connection alone: the core counts places by it.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

import trio

from sidecar.agent.gossip_sockets import Traffic
from sidecar.agent.gossip_streams import (
    connected,
    read_body,
    read_preamble,
    read_sealed,
    write_sealed,
)
from sidecar.gossip.keyring import Keyring, Purpose
from sidecar.relay.wire import WORD_BYTES_MAX
from store.errors import PeerError

__all__ = ["REQUEST_BYTES_MAX", "RelayCaller", "RelayServer"]

REQUEST_BYTES_MAX = 1024
"""Of one request; the longest that there is has some 60 bytes."""
CONNECTIONS_MAX = 64
"""Connections of askers at once; beyond, they are closed. The core gives places to three of them."""
REQUEST_WITHIN_S = 5.0
"""From the length of a request to its end."""
ANSWER_WITHIN_S = 10.0
"""From a request to the end of its answer. Askers give up after 3 s; nonsense is never answered."""
IDLE_S = 10.0
"""Between an answer and the next request; a place is given up after 5 s."""
KEPT_S = 4.0
"""How long an asker keeps a connection that it does not use: less than the other side does."""
KEPT_MAX = 16
"""Connections that an asker keeps; the oldest are closed first."""

Ask = Callable[[str, bytes], Awaitable[bytes]]
"""From the name of a connection and a request to the answer; it may come late, or never."""


class RelayServer:
    """Answers askers.

    Args:
        keyring: The keys of now.
        ask: From a request to its answer.
        traffic: Counts.
    """

    def __init__(self, keyring: Callable[[], Keyring], ask: Ask, traffic: Traffic) -> None:
        self._keyring = keyring
        self._ask = ask
        self._traffic = traffic
        self._numbers = itertools.count(1)
        self.connections = 0
        """Open now."""

    async def serve(self, stream: trio.SocketStream, size: int, scope: trio.CancelScope) -> None:
        """Serve one connection until it ends (`sidecar.agent.gossip_streams.ServeRelay`).

        Raises:
            PeerError: It broke the protocol, or there are too many.
        """
        if self.connections >= CONNECTIONS_MAX:
            raise PeerError("relay_over_limit")
        self.connections += 1
        scope.deadline = float("inf")  # from now on each step has a deadline of its own
        name = f"connection-{next(self._numbers)}"
        try:
            length: int | None = size
            while length is not None:
                await self._answer_one(stream, name, length)
                length = await self._next(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # an asker may hang up whenever it likes
        finally:
            self.connections -= 1

    async def _answer_one(self, stream: trio.SocketStream, name: str, size: int) -> None:
        with trio.move_on_after(REQUEST_WITHIN_S) as scope:
            request = await read_body(
                stream,
                self._keyring(),
                self._traffic,
                Purpose.RELAY,
                size,
                bytes_max=REQUEST_BYTES_MAX,
            )
        if scope.cancelled_caught:
            raise PeerError("too_slow")
        with trio.move_on_after(ANSWER_WITHIN_S) as scope:
            answer = await self._ask(name, request)
            await write_sealed(stream, self._keyring(), answer, self._traffic, Purpose.RELAY)
        if scope.cancelled_caught:
            raise PeerError("relay_not_answered")

    async def _next(self, stream: trio.SocketStream) -> int | None:
        """Length of the next request; None when there is none."""
        with trio.move_on_after(IDLE_S):
            try:
                _, size = await read_preamble(stream, self._keyring(), (Purpose.RELAY,))
            except PeerError as problem:
                if problem.message == "cut_short":
                    return None
                raise
            return size
        return None


class RelayCaller:
    """Asks peers; keeps connections for the next request.

    Args:
        keyring: The keys of now.
        traffic: Counts.
    """

    def __init__(self, keyring: Callable[[], Keyring], traffic: Traffic) -> None:
        self._keyring = keyring
        self._traffic = traffic
        self._kept: list[tuple[float, str, trio.SocketStream]] = []

    async def call(self, address: str, body: bytes) -> bytes:
        """Ask once; the caller sets the deadline. Cancelling closes the connection.

        Raises:
            OSError: There is no connection.
            PeerError: The answer is none.
            ValueError: The address is none.
        """
        kept = self._take(address)
        if kept is not None:
            try:
                return await self._over(kept, address, body)
            except PeerError as problem:
                if problem.message != "cut_short":
                    raise
                # It had ended meanwhile: the other side was restarted, or had enough of waiting.
        return await self._over(await connected(address), address, body)

    def close_idle(self, *, everything: bool = False) -> None:
        """Close connections that were not used for long, or all that are not in use."""
        now_s = trio.current_time()
        kept = [] if everything else [row for row in self._kept if now_s - row[0] < KEPT_S]
        kept = kept[-KEPT_MAX:]
        for row in self._kept:
            if row not in kept:
                row[2].socket.close()
        self._kept = kept

    async def _over(self, stream: trio.SocketStream, address: str, body: bytes) -> bytes:
        is_whole = False
        try:
            keyring = self._keyring()
            await write_sealed(stream, keyring, body, self._traffic, Purpose.RELAY)
            answer = await read_sealed(
                stream, keyring, self._traffic, Purpose.RELAY, bytes_max=WORD_BYTES_MAX
            )
            is_whole = True
            return answer
        except (trio.BrokenResourceError, trio.ClosedResourceError) as problem:
            raise PeerError("cut_short") from problem
        finally:
            if is_whole:
                self._kept.append((trio.current_time(), address, stream))
                self.close_idle()
            else:
                stream.socket.close()

    def _take(self, address: str) -> trio.SocketStream | None:
        """The connection to this peer that was used last: a place there is counted by it."""
        self.close_idle()
        for row in reversed(self._kept):
            if row[1] == address:
                self._kept.remove(row)
                return row[2]
        return None
