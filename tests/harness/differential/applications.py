"""Applications behind an Envoy that remember all they were asked, and a client that reads every byte of an answer.

HTTP/1.1 by hand, since both must see repeated fields, their order and their case as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

__all__ = ["ID", "SAYS", "Answer", "Applications", "Client", "Seen", "applications"]

ID = "x-asked"
"""Header that says which request this is, a copy of, or a repetition of."""
SAYS = (("x-res", "app"), ("x-gone", "app"), ("X-Other", "app"))
"""Fields of every answer."""
_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionError)

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Seen:
    """A request as an application got it."""

    serial: int
    port: int
    method: str
    path: str
    fields: Fields
    """Names in lower case."""

    @property
    def authority(self) -> str:
        return next((value for name, value in self.fields if name == "host"), "")


@dataclass(frozen=True)
class Answer:
    """What a client got; status 0 where the connection ended instead."""

    status: int
    fields: Fields = ()
    body: bytes = b""

    @property
    def serial(self) -> int | None:
        """Which of the requests seen by applications was answered so; None where none was."""
        return next((int(value) for name, value in self.fields if name == "x-serial"), None)


class _Reader:
    """Messages of one connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._held = b""

    async def message(self) -> tuple[str, Fields, bytes] | None:
        """The next first line, fields and body; None at the end."""
        while b"\r\n\r\n" not in self._held:
            if not await self._more():
                return None
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        fields = tuple((name.lower(), value.strip(" ")) for name, _, value in pairs)
        return first, fields, await self._body(dict(fields))

    async def is_http2(self) -> bool:
        """Whether the connection begins as HTTP/2 does."""
        while len(self._held) < len(_PREFACE):
            if not await self._more():
                return False
        return self._held.startswith(_PREFACE)

    async def rest(self) -> bytes:
        """Whatever has arrived and was not read; empty at the end."""
        if not self._held:
            await self._more()
        rest, self._held = self._held, b""
        return rest

    async def _body(self, fields: dict[str, str]) -> bytes:
        if "chunked" in fields.get("transfer-encoding", ""):
            return await self._chunks()
        return await self._take(int(fields.get("content-length", "0")))

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self._held:
                if not await self._more():
                    raise trio.BrokenResourceError
            line, _, self._held = self._held.partition(b"\r\n")
            size = int(line, 16)
            chunk = await self._take(size + 2)
            if not size:
                return body
            body += chunk[:-2]

    async def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            if not await self._more():
                raise trio.BrokenResourceError
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    async def _more(self) -> bool:
        piece = await self._stream.receive_some(65536)
        self._held += piece
        return bool(piece)


@dataclass
class Applications:
    """Servers on free ports; `ports` are theirs, `seen` is by the id of the request."""

    ports: tuple[int, ...] = ()
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    _serials: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def serve(self, port: int, stream: trio.SocketStream) -> None:
        """One connection."""
        reader = _Reader(stream)
        async with stream:
            try:
                if await reader.is_http2():
                    await self._serve_http2(port, stream, reader)
                    return
                while (message := await reader.message()) is not None:
                    method, path, _ = message[0].split(" ", 2)
                    status, fields, body = self._answer(port, method, path, message[1])
                    lines = [f"HTTP/1.1 {status} said", *(f"{n}: {v}" for n, v in fields)]
                    await stream.send_all("\r\n".join((*lines, "", "")).encode() + body)
            except _BROKEN:
                return

    async def _serve_http2(self, port: int, stream: trio.SocketStream, reader: _Reader) -> None:
        connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        connection.initiate_connection()
        while received := await reader.rest():
            for event in connection.receive_data(received):
                if not isinstance(event, RequestReceived):
                    continue
                heads = [(n.decode(), v.decode("latin-1")) for n, v in event.headers]
                told = dict(heads)
                fields = (
                    ("host", told[":authority"]),
                    *((name, value) for name, value in heads if name[0] != ":"),
                )
                status, said, body = self._answer(port, told[":method"], told[":path"], fields)
                lowered = [(name.lower(), value) for name, value in said]
                connection.send_headers(event.stream_id, [(":status", status), *lowered])
                connection.send_data(event.stream_id, body, end_stream=True)
            await stream.send_all(connection.data_to_send())

    def _answer(
        self, port: int, method: str, path: str, fields: Fields
    ) -> tuple[str, Fields, bytes]:
        """Note a request; the status, fields and body to answer with."""
        told = dict(fields)
        seen = Seen(next(self._serials), port, method, path, fields)
        self.seen.setdefault(told.get(ID, ""), []).append(seen)
        body = str(port).encode()
        said = (*SAYS, ("x-serial", str(seen.serial)), ("content-length", str(len(body))))
        return told.get("x-want", "200"), said, body


@asynccontextmanager
async def applications(count: int) -> AsyncIterator[Applications]:
    """So many applications, for the length of the block."""
    served = Applications()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listener.socket.getsockname()[1]
            served.ports += (port,)

            async def serve(stream: trio.SocketStream, port: int = port) -> None:
                await served.serve(port, stream)

            nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield served
        nursery.cancel_scope.cancel()


class Client:
    """One connection for requests one after another."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._reader = _Reader(stream)

    async def ask(self, method: str, target: str, fields: Iterable[tuple[str, str]]) -> Answer:
        """Send a request without a body; status 0 where the connection ends."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
        try:
            await self._stream.send_all("\r\n".join((*lines, "", "")).encode("latin-1"))
            message = await self._reader.message()
        except _BROKEN:
            return Answer(0)
        if message is None:
            return Answer(0)
        first, told, body = message
        return Answer(int(first.split(" ")[1]), told, body)

    async def aclose(self) -> None:
        """Close."""
        await trio.aclose_forcefully(self._stream)
