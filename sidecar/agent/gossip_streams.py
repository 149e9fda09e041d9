"""Requests and answers of gossip over TCP, sealed by the keyring.

A connection carries one request and one answer. Each is two sealed parts: the length of what follows, always
`PREAMBLE_BYTES` long, and the body. So who lacks the key is found out by 33 bytes, and nothing is set aside for what
it claims to send. A caller that has not proven the key holds one of few places, which the next stranger takes from it;
who is slow loses its connection when its time is over.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable

import trio

from sidecar.agent.gossip_addresses import split
from sidecar.agent.gossip_sockets import GossipSockets, Traffic
from sidecar.gossip.frames import STREAM_BYTES_MAX
from sidecar.gossip.keyring import NONCE_BYTES, SEAL_BYTES, Keyring, Purpose
from store.errors import PeerError

__all__ = ["PREAMBLE_BYTES", "CallServer", "call_peer", "read_sealed", "write_sealed"]

PREAMBLE_BYTES = 4 + SEAL_BYTES
"""Of a length, sealed."""
STRANGERS_MAX = 32
"""Connections that have not proven the key; beyond, the oldest is cut."""
CALLERS_MAX = 96
"""Connections that have proven it; beyond, they are closed."""
CALLS_MAX = 16
"""Requests read or answered at once, 64 MiB at most; other callers wait their turn."""
PROVE_WITHIN_S = 2.0
"""From the connection to the first 33 bytes."""
CALL_WITHIN_S = 10.0
"""From the connection to the end of the answer; callers give up after 5 s."""
_READ_BYTES = 65_536

_Proven = Callable[[], contextlib.AbstractAsyncContextManager[None]]


async def write_sealed(
    stream: trio.SocketStream, keyring: Keyring, body: bytes, traffic: Traffic
) -> None:
    """Send one request or answer. Raises trio.BrokenResourceError as streams do."""
    length = len(body).to_bytes(4, "big")
    sealed = b"".join(
        keyring.seal(part, Purpose.STREAM, os.urandom(NONCE_BYTES)) for part in (length, body)
    )
    await stream.send_all(sealed)
    traffic.count("out", "stream", len(sealed))


async def read_sealed(
    stream: trio.SocketStream,
    keyring: Keyring,
    traffic: Traffic,
    proven: _Proven = contextlib.nullcontext,
) -> bytes:
    """Read one request or answer.

    Args:
        stream: Where from.
        keyring: Opens it.
        traffic: Counts.
        proven: Entered once the other side has shown that it holds the key, before anything is set aside for it.

    Raises:
        PeerError: It is not sealed by a key of ours, too long, or cut short; the message is the reason.
    """
    preamble = await _read(stream, PREAMBLE_BYTES)
    length = keyring.open(preamble, Purpose.STREAM)
    if length is None or len(length) != PREAMBLE_BYTES - SEAL_BYTES:
        raise PeerError("not_opened")
    size = int.from_bytes(length, "big")
    if size > STREAM_BYTES_MAX:
        raise PeerError("too_long")
    async with proven():
        sealed = await _read(stream, size + SEAL_BYTES)
    traffic.count("in", "stream", len(preamble) + len(sealed))
    body = keyring.open(sealed, Purpose.STREAM)
    if body is None:
        raise PeerError("not_opened")
    return body


async def _read(stream: trio.SocketStream, size: int) -> bytes:
    """So many bytes. Memory grows with what comes, not with what was announced."""
    found = bytearray()
    while len(found) < size:
        piece = await stream.receive_some(min(_READ_BYTES, size - len(found)))
        if not piece:
            raise PeerError("cut_short")
        found += piece
    return bytes(found)


async def call_peer(address: str, keyring: Keyring, body: bytes, traffic: Traffic) -> bytes:
    """Ask once over TCP; the caller sets the deadline. Cancelling closes the connection.

    Raises:
        OSError: There is no connection.
        PeerError: The answer is none.
        ValueError: The address is none.
    """
    host, port = split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with trio.socket.socket(family, socket.SOCK_STREAM) as connection:
        await connection.connect((host, port))
        stream = trio.SocketStream(connection)
        try:
            await write_sealed(stream, keyring, body, traffic)
            return await read_sealed(stream, keyring, traffic)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as problem:
            raise PeerError("cut_short") from problem


class CallServer:
    """Answers requests over TCP.

    Args:
        keyring: The keys of now.
        answer: From a request to its answer; None: the connection is closed without one.
        traffic: Counts.
    """

    def __init__(
        self,
        keyring: Callable[[], Keyring],
        answer: Callable[[bytes], bytes | None],
        traffic: Traffic,
    ) -> None:
        self._keyring = keyring
        self._answer = answer
        self._traffic = traffic
        self._strangers: dict[trio.CancelScope, None] = {}
        self._callers = 0
        self._places = trio.CapacityLimiter(CALLS_MAX)

    async def run(self, sockets: GossipSockets) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._serve, [sockets.tcp])

    async def _serve(self, stream: trio.SocketStream) -> None:
        dropped = self._traffic.dropped
        with trio.move_on_after(PROVE_WITHIN_S) as scope:
            self._strangers[scope] = None
            while len(self._strangers) > STRANGERS_MAX:
                oldest = next(iter(self._strangers))
                del self._strangers[oldest]
                oldest.cancel()
            try:
                await self._talk(stream, scope)
            except PeerError as problem:
                dropped[f"stream_{problem.message}"] += 1
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                dropped["stream_broken"] += 1
            finally:
                self._strangers.pop(scope, None)
        if scope.cancelled_caught:
            dropped["stream_too_slow"] += 1

    async def _talk(self, stream: trio.SocketStream, scope: trio.CancelScope) -> None:
        began_s = trio.current_time()

        @contextlib.asynccontextmanager
        async def proven() -> AsyncIterator[None]:
            self._strangers.pop(scope, None)
            if self._callers >= CALLERS_MAX:
                raise PeerError("over_limit")
            scope.deadline = began_s + CALL_WITHIN_S
            self._callers += 1
            try:
                async with self._places:
                    yield
            finally:
                self._callers -= 1

        body = self._answer(await read_sealed(stream, self._keyring(), self._traffic, proven))
        if body is not None:
            await write_sealed(stream, self._keyring(), body, self._traffic)
