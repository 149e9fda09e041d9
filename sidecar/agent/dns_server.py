"""Answers captured DNS queries of one context, and asks the machine's resolvers what the mesh does not know.

UDP and TCP, on loopback only. A question for the mesh is answered in place; any other is handed on as it came, from a
socket and port of its own, and its answer is handed back as it came: kinds of records, extensions and signatures that
we know nothing of go through unharmed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial

import trio

from sidecar.agent.kept_sockets import KeptSockets
from sidecar.agent.log import log
from sidecar.dns.wire import ResponseCode, read_question, refusal
from store.errors import InputError

__all__ = ["Answer", "DnsServer"]

Answer = Callable[[bytes, int], bytes | None]
"""The answer to a query of at most so many bytes; None where others are to be asked."""

Sender = tuple[object, ...]
"""Where a query came from, as the socket says it."""

LOOPBACK = ("127.0.0.1", "::1")
RESOLVER_S = 2.0
"""How long one resolver may take before the next is asked; clients themselves ask again after 5 s."""
PENDING_MAX = 512
"""Questions that wait for resolvers at once; further ones are dropped, and their clients ask again."""
UDP_ANSWER_BYTES_MAX = 512
TCP_BYTES_MAX = 65_535
TCP_IDLE_S = 30.0
_RECEIVE_BYTES = 65_535
_DNS_PORT = 53


class DnsServer:
    """One context's answers.

    Args:
        port: Port on loopback.
        answer: What the mesh says.
        resolvers: Addresses to ask for the rest, in order; asked for each time.
        ipv6: Whether this host has IPv6.
        sockets: Where its sockets come from.
    """

    def __init__(
        self,
        port: int,
        answer: Answer,
        resolvers: Callable[[], Sequence[str]],
        *,
        ipv6: bool = False,
        sockets: KeptSockets | None = None,
    ) -> None:
        self._port = port
        self._sockets = sockets or KeptSockets({})
        self._answer = answer
        self._resolvers = resolvers
        self._addresses = LOOPBACK if ipv6 else LOOPBACK[:1]
        self._pending = 0
        self.answered = 0
        """Questions that the mesh answered."""
        self.forwarded = 0
        """Questions that were handed on."""
        self.dropped = 0
        """Questions that were dropped because too many waited."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled; `started` once the port is bound.

        Raises:
            InputError: The port is taken.
        """
        async with trio.open_nursery() as nursery:
            for address in self._addresses:
                try:
                    datagrams = self._sockets.datagrams(address, self._port)
                    listening = self._sockets.listener(address, self._port)
                except OSError as problem:
                    raise InputError(
                        f"DNS port {self._port} of {address} cannot be bound: {problem.strerror}",
                        hint="Set dns_port of the context to a free port, and install capture again",
                    ) from problem
                nursery.start_soon(
                    self._serve_udp, trio.socket.from_stdlib_socket(datagrams), nursery
                )
                listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
                nursery.start_soon(trio.serve_listeners, self._serve_tcp, [listener])
            task_status.started()

    # -- UDP ------------------------------------------------------------------------------------

    async def _serve_udp(self, socket: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        with socket:
            while True:
                query, sender = await socket.recvfrom(_RECEIVE_BYTES)
                found = self._answer(query, UDP_ANSWER_BYTES_MAX)
                if found is not None:
                    self.answered += 1
                    await _send(socket, found, sender)
                elif self._pending >= PENDING_MAX:
                    self.dropped += 1
                else:
                    self._pending += 1
                    nursery.start_soon(self._hand_on, socket, query, sender)

    async def _hand_on(self, socket: trio.socket.SocketType, query: bytes, sender: Sender) -> None:
        try:
            self.forwarded += 1
            found = await _first(partial(_ask_udp, query), self._resolvers())
            found = found or _failure(query)
            if found is not None:
                await _send(socket, found, sender)
        finally:
            self._pending -= 1

    # -- TCP ------------------------------------------------------------------------------------

    async def _serve_tcp(self, stream: trio.SocketStream) -> None:
        try:
            with trio.move_on_after(TCP_IDLE_S) as idle:
                while query := await _read_framed(stream):
                    found = self._answer(query, TCP_BYTES_MAX)
                    if found is not None:
                        self.answered += 1
                    else:
                        self.forwarded += 1
                        found = await _first(partial(_ask_tcp, query), self._resolvers())
                        found = found or _failure(query)
                    if found is None:
                        return
                    await stream.send_all(struct.pack("!H", len(found)) + found)
                    idle.deadline = trio.current_time() + TCP_IDLE_S
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has gone
        finally:
            await trio.aclose_forcefully(stream)


def _failure(query: bytes) -> bytes | None:
    question = read_question(query)
    return refusal(question, ResponseCode.SERVER_FAILURE) if question is not None else None


async def _send(socket: trio.socket.SocketType, message: bytes, to: Sender) -> None:
    try:
        await socket.sendto(message, to)
    except OSError as problem:
        log.debug("dns_answer_not_sent", reason=str(problem))


async def _first(ask: Callable[[str], object], resolvers: Sequence[str]) -> bytes | None:
    """The answer of the first resolver that gives one in time."""
    for resolver in resolvers:
        with trio.move_on_after(RESOLVER_S):
            try:
                found = await ask(resolver)  # type: ignore[misc] # a coroutine function, bound to a query
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                continue
            if found is not None:
                assert isinstance(found, bytes)
                return found
    return None


async def _ask_udp(query: bytes, resolver: str) -> bytes | None:
    """One resolver's answer; only what comes from it, bears the query's id and repeats its question is taken."""
    family = trio.socket.AF_INET6 if ":" in resolver else trio.socket.AF_INET
    with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as socket:
        await socket.connect((resolver, _DNS_PORT))
        await socket.send(query)
        asked = read_question(query)
        while True:
            found = await socket.recv(_RECEIVE_BYTES)
            if found[:2] == query[:2] and (asked is None or _repeats(found, asked.section)):
                return found


def _repeats(found: bytes, section: bytes) -> bool:
    """Whether a message repeats a question, in whatever case, or repeats none (an early failure)."""
    return found[4:6] == b"\0\0" or found[12 : 12 + len(section)].lower() == section.lower()


async def _ask_tcp(query: bytes, resolver: str) -> bytes | None:
    stream = await trio.open_tcp_stream(resolver, _DNS_PORT)
    try:
        await stream.send_all(struct.pack("!H", len(query)) + query)
        return await _read_framed(stream)
    finally:
        await trio.aclose_forcefully(stream)


async def _read_framed(stream: trio.SocketStream) -> bytes | None:
    """One message with its length before it; None at the end of the stream."""
    head = await _read_exactly(stream, 2)
    if head is None:
        return None
    return await _read_exactly(stream, struct.unpack("!H", head)[0])


async def _read_exactly(stream: trio.SocketStream, count: int) -> bytes | None:
    found = b""
    while len(found) < count:
        more = await stream.receive_some(count - len(found))
        if not more:
            return None
        found += more
    return found
