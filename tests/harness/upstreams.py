"""A small HTTP server and client under trio for tests that send requests through Envoy."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import h11
import trio

U = TypeVar("U", bound="Upstream")

__all__ = ["Answer", "Connection", "Upstream", "request", "serving", "upstream"]


@dataclass(frozen=True)
class Answer:
    """What a request got."""

    status: int
    text: str
    took_s: float
    headers: dict[str, str]


@dataclass
class Upstream:
    """A server that answers every request with its name."""

    name: str
    port: int = 0
    status: int = 200
    delay_s: float = 0.0
    hits: int = 0
    connections: int = 0
    bodies: list[bytes] = field(default_factory=list)
    asked: h11.Request = field(init=False)
    """The request that came last."""

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        with_error = (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError)
        try:
            async with stream:
                while True:
                    body = await self._read(connection, stream)
                    if body is None:
                        return
                    self.hits += 1
                    self.bodies.append(body)
                    await trio.sleep(self.delay_s)
                    await self._answer(connection, stream)
                    if connection.our_state is h11.MUST_CLOSE:
                        return
                    connection.start_next_cycle()
        except with_error:
            return

    async def _read(self, connection: h11.Connection, stream: trio.SocketStream) -> bytes | None:
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                self.asked = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return body
            elif isinstance(event, h11.ConnectionClosed):
                return None

    async def _answer(self, connection: h11.Connection, stream: trio.SocketStream) -> None:
        text = self.name.encode()
        head = h11.Response(
            status_code=self.status, headers=[("content-length", str(len(text)))], reason=b""
        )
        sent = connection.send(head) or b""
        sent += connection.send(h11.Data(data=text)) or b""
        sent += connection.send(h11.EndOfMessage()) or b""
        await stream.send_all(sent)


@asynccontextmanager
async def upstream(*names: str) -> AsyncIterator[tuple[Upstream, ...]]:
    """Servers on free ports of loopback, one per name, for the length of the block."""
    async with serving(*(Upstream(name) for name in names)) as servers:
        yield servers


@asynccontextmanager
async def serving(*servers: U) -> AsyncIterator[tuple[U, ...]]:
    """These servers on free ports of loopback, for the length of the block."""
    async with trio.open_nursery() as nursery:
        for server in servers:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            server.port = listener.socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, server.serve, [listener])
        yield servers
        nursery.cancel_scope.cancel()


class Connection:
    """A client's connection to a port of loopback, for several requests one after another."""

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream
        self._state = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(
        cls, port: int, tls: ssl.SSLContext | None = None, server_name: str = ""
    ) -> Connection:
        """Connect, by TLS where its settings are given."""
        plain = await trio.open_tcp_stream("127.0.0.1", port)
        if tls is None:
            return cls(plain)
        return cls(trio.SSLStream(plain, tls, server_hostname=server_name, https_compatible=True))

    async def ask(
        self,
        host: str,
        path: str = "/",
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        body_after_s: float = 0.0,
    ) -> Answer:
        """Send one request and read its answer; the body may follow the headers later."""
        began = trio.current_time()
        fields = {"host": host, "content-length": str(len(body))} | (headers or {})
        head = h11.Request(method=method, target=path, headers=list(fields.items()))
        await self._stream.send_all(self._state.send(head) or b"")
        if body_after_s:
            await trio.sleep(body_after_s)
        rest = (self._state.send(h11.Data(data=body)) or b"") if body else b""
        await self._stream.send_all(rest + (self._state.send(h11.EndOfMessage()) or b""))
        status, text, answered = 0, b"", {}
        while True:
            event = self._state.next_event()
            if event is h11.NEED_DATA:
                self._state.receive_data(bytes(await self._stream.receive_some(65536)))
            elif isinstance(event, h11.Response):
                status = event.status_code
                answered = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                text += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
        return Answer(status, text.decode(), trio.current_time() - began, answered)

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()


async def request(
    port: int,
    host: str,
    path: str = "/",
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
    **fields: object,
) -> Answer:
    """One request on a connection of its own; status 0 when nobody listens or the connection broke."""
    began = trio.current_time()
    try:
        connection = await Connection.open(port, tls, server_name)
        try:
            return await connection.ask(host, path, **fields)  # type: ignore[arg-type] # named by tests
        finally:
            await connection.aclose()
    except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
        return Answer(0, "", trio.current_time() - began, {})
