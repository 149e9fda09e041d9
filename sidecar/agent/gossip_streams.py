"""Requests and answers of gossip over TCP, sealed by the keyring.

A connection carries one request and one answer. Each is two sealed parts: the length of what follows, always
`PREAMBLE_BYTES` long, and the body. So who lacks the key is found out by 33 bytes, and nothing is set aside for what
it claims to send. A caller that has not proven the key holds one of few places, which the next stranger takes from it;
who is slow loses its connection when its time is over. A first length that is sealed for the relay hands the
connection over to it (`sidecar.agent.relay_streams`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Sequence

import trio

from sidecar.agent.gossip_addresses import split
from sidecar.agent.gossip_sockets import GossipSockets, Traffic
from sidecar.gossip.frames import STREAM_BYTES_MAX
from sidecar.gossip.keyring import NONCE_BYTES, SEAL_BYTES, Keyring, Purpose
from store.errors import PeerError

__all__ = [
    "PREAMBLE_BYTES",
    "CallServer",
    "ServeRelay",
    "call_peer",
    "connected",
    "read_body",
    "read_preamble",
    "read_sealed",
    "write_sealed",
]

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

_KINDS = {Purpose.STREAM: "stream", Purpose.RELAY: "relay"}
"""Under which name each purpose is counted."""

ServeRelay = Callable[[trio.SocketStream, int, trio.CancelScope], Awaitable[None]]
"""Serves a connection of the relay: the stream, the length of its first request, the scope that bounds it in time."""


async def write_sealed(
    stream: trio.SocketStream,
    keyring: Keyring,
    body: bytes,
    traffic: Traffic,
    purpose: Purpose = Purpose.STREAM,
) -> None:
    """Send one request or answer. Raises trio.BrokenResourceError as streams do."""
    length = len(body).to_bytes(4, "big")
    sealed = b"".join(
        keyring.seal(part, purpose, os.urandom(NONCE_BYTES)) for part in (length, body)
    )
    await stream.send_all(sealed)
    traffic.count("out", _KINDS[purpose], len(sealed))


async def read_sealed(
    stream: trio.SocketStream,
    keyring: Keyring,
    traffic: Traffic,
    purpose: Purpose = Purpose.STREAM,
    *,
    bytes_max: int = STREAM_BYTES_MAX,
) -> bytes:
    """Read one request or answer of this purpose, of at most so many bytes.

    Raises:
        PeerError: It is not sealed by a key of ours, too long, or cut short; the message is the reason.
    """
    _, size = await read_preamble(stream, keyring, (purpose,))
    return await read_body(stream, keyring, traffic, purpose, size, bytes_max=bytes_max)


async def read_preamble(
    stream: trio.SocketStream, keyring: Keyring, purposes: Sequence[Purpose]
) -> tuple[Purpose, int]:
    """Read the sealed length of what follows: for which of these purposes, and how many bytes it claims.

    Raises:
        PeerError: It is not sealed by a key of ours for any of them, or cut short.
    """
    preamble = await _read(stream, PREAMBLE_BYTES)
    for purpose in purposes:
        length = keyring.open(preamble, purpose)
        if length is not None and len(length) == PREAMBLE_BYTES - SEAL_BYTES:
            return purpose, int.from_bytes(length, "big")
    raise PeerError("not_opened")


async def read_body(
    stream: trio.SocketStream,
    keyring: Keyring,
    traffic: Traffic,
    purpose: Purpose,
    size: int,
    *,
    bytes_max: int,
) -> bytes:
    """Read what a preamble announced.

    Raises:
        PeerError: It is longer than allowed (found out before anything is read), not sealed by a key of ours, or cut
            short.
    """
    if size > bytes_max:
        raise PeerError("too_long")
    sealed = await _read(stream, size + SEAL_BYTES)
    traffic.count("in", _KINDS[purpose], PREAMBLE_BYTES + len(sealed))
    body = keyring.open(sealed, purpose)
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


async def connected(address: str) -> trio.SocketStream:
    """A connection to `address:port`; the caller closes it.

    Raises:
        OSError: There is none to be had.
        ValueError: The address is none.
    """
    host, port = split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await connection.connect((host, port))
        return trio.SocketStream(connection)
    except BaseException:
        connection.close()
        raise


async def call_peer(address: str, keyring: Keyring, body: bytes, traffic: Traffic) -> bytes:
    """Ask once over TCP; the caller sets the deadline. Cancelling closes the connection.

    Raises:
        OSError: There is no connection.
        PeerError: The answer is none.
        ValueError: The address is none.
    """
    stream = await connected(address)
    try:
        await write_sealed(stream, keyring, body, traffic)
        return await read_sealed(stream, keyring, traffic)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as problem:
        raise PeerError("cut_short") from problem
    finally:
        stream.socket.close()


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
        self.relay: ServeRelay | None = None
        """Serves connections of the relay; None: there is none here, and they are closed."""
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
        began_s, keyring = trio.current_time(), self._keyring()
        purpose, size = await read_preamble(stream, keyring, (Purpose.STREAM, Purpose.RELAY))
        self._strangers.pop(scope, None)
        if purpose is Purpose.RELAY:
            if self.relay is None:
                raise PeerError("no_relay")
            await self.relay(stream, size, scope)
            return
        if size > STREAM_BYTES_MAX:
            raise PeerError("too_long")
        if self._callers >= CALLERS_MAX:
            raise PeerError("over_limit")
        scope.deadline = began_s + CALL_WITHIN_S
        self._callers += 1
        try:
            async with self._places:
                request = await read_body(
                    stream, keyring, self._traffic, purpose, size, bytes_max=STREAM_BYTES_MAX
                )
        finally:
            self._callers -= 1
        body = self._answer(request)
        if body is not None:
            await write_sealed(stream, self._keyring(), body, self._traffic)
