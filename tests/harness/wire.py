"""HTTP/1.1 as bytes: an application and a client that can do what libraries smooth over.

The application's paths are deeds: `/down?bytes=N`, `/up`, `/trailers`, `/events`, `/upgrade`, `/refuse` and others;
each test says what it needs of them. Both sides run in threads over plain sockets.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.harness.server_thread import ServerThread

__all__ = ["Answer", "Client", "Deeds", "connect"]

CHUNK = bytes(1 << 20)
"""What large bodies are made of."""
TIMEOUT_S = 60.0
"""How long one read may take."""

Headers = list[tuple[str, str]]


@dataclass
class Answer:
    """The head of an answer, and what came after it."""

    status: int
    headers: Headers
    body: bytes = b""
    trailers: Headers = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def seen(self) -> dict[str, Any]:
        """What the application said that it saw."""
        answer: dict[str, Any] = json.loads(self.body)
        return answer


def _read_headers(stream: BufferedIOBase) -> Headers:
    found = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        found.append((name.strip().lower(), value.strip()))
    return found


def _read_chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    while size := int(stream.readline().split(b";")[0], 16):
        yield stream.read(size)
        stream.readline()


class Client:
    """One connection of a client."""

    def __init__(self, stream: socket.socket) -> None:
        self.socket = stream
        self.file = stream.makefile("rb")

    def send(
        self, target: str, host: str, *headers: str, method: str = "GET", body: bytes = b""
    ) -> None:
        """Send a request; `headers` are whole lines. A body needs its length among them."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode() + body)

    def head(self) -> Answer:
        """Read the head of an answer."""
        line = self.file.readline()
        assert line, "the connection was closed before any answer"
        return Answer(int(line.split()[1]), _read_headers(self.file))

    def answer(self, method: str = "GET") -> Answer:
        """Read a whole answer, interim ones apart."""
        answer = self.head()
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer.header("transfer-encoding") == "chunked":
            answer.body = b"".join(_read_chunks(self.file))
            answer.trailers = _read_headers(self.file)
        elif (length := answer.header("content-length")) is not None:
            answer.body = self.file.read(int(length))
        else:
            answer.body = self.file.read()
        return answer

    def chunks(self) -> Iterator[bytes]:
        """The chunks of an answer as they come."""
        return _read_chunks(self.file)

    def is_closed(self) -> bool:
        """Whether the other side has closed; waits for it to say something."""
        return self.file.read(1) == b""


@contextmanager
def connect(port: int, **options: int) -> Iterator[Client]:
    """A client's connection to a port of loopback; `receive_buffer` bytes of its own where told."""
    with socket.socket() as stream:
        if "receive_buffer" in options:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["receive_buffer"])
        stream.settimeout(TIMEOUT_S)
        stream.connect(("127.0.0.1", port))
        yield Client(stream)


class _Handler(socketserver.StreamRequestHandler):
    """One connection of the application."""

    server: _Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while self._one():
                pass

    def _one(self) -> bool:
        """Serve one request; whether the connection goes on."""
        line = self.rfile.readline()
        if not line:
            return False
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = _read_headers(self.rfile)
        path = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(path.query).items()}
        deed = getattr(self, f"do{path.path.replace('/', '_').replace('-', '_')}", self.do_seen)
        self.server.deeds.requests += 1
        goes_on: bool = deed(method, target, headers, query)
        return goes_on

    def _send(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status} Said", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        self.wfile.write("\r\n".join(lines).encode() + body)

    def _body(self, headers: Headers) -> Iterator[bytes]:
        """The body as it comes."""
        told = dict(headers)
        if told.get("transfer-encoding") == "chunked":
            yield from _read_chunks(self.rfile)
            return
        left = int(told.get("content-length", 0))
        while left > 0:
            data = self.rfile.read1(min(left, len(CHUNK)))
            if not data:
                raise ConnectionError("the body ended early")
            left -= len(data)
            yield data

    def do_seen(self, method: str, target: str, headers: Headers, query: dict[str, str]) -> bool:
        """Say what was seen; `?status=N` answers so, without body where that has none."""
        body = b"".join(self._body(headers))
        trailers = _read_headers(self.rfile) if ("transfer-encoding", "chunked") in headers else []
        seen = {
            "method": method,
            "target": target,
            "headers": headers,
            "body": body.decode("latin-1"),
            "trailers": trailers,
        }
        text = json.dumps(seen).encode()
        status = int(query.get("status", 200))
        if status == 204:
            self._send(204, {"x-kind": "empty"})
        elif status == 304:
            self._send(304, {"etag": '"1"', "content-length": "1234"})
        else:
            sent = b"" if method == "HEAD" else text
            more = {
                f"x-{n}": "v" * int(query.get("long", 1)) for n in range(int(query.get("many", 0)))
            }
            self._send(status, {"content-length": str(len(text)), **more}, sent)
        return True

    def do_down(self, _m: str, _t: str, _h: Headers, query: dict[str, str]) -> bool:
        """A body of so many bytes."""
        left = int(query["bytes"])
        self._send(200, {"content-length": str(left)})
        while left > 0:
            self.wfile.write(CHUNK[: min(left, len(CHUNK))])
            left -= len(CHUNK)
        return True

    def do_up(self, _m: str, _t: str, headers: Headers, query: dict[str, str]) -> bool:
        """Count a body; `?pause_s=N` waits before the first byte of it is read."""
        time.sleep(float(query.get("pause_s", 0)))
        text = str(sum(len(part) for part in self._body(headers))).encode()
        self._send(200, {"content-length": str(len(text))}, text)
        return True

    def do_continue(self, _m: str, _t: str, headers: Headers, _q: dict[str, str]) -> bool:
        """Ask for the body that a client holds back, and count it."""
        expected = dict(headers).get("expect", "")
        if expected:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        text = f"{expected} {sum(len(part) for part in self._body(headers))}".encode()
        self._send(200, {"content-length": str(len(text))}, text)
        return True

    def do_refuse(self, _m: str, _t: str, _h: Headers, _q: dict[str, str]) -> bool:
        """Refuse a body before it is sent."""
        self._send(413, {"content-length": "0", "connection": "close"})
        return False

    def do_trailers(self, *_: object) -> bool:
        """A chunked body with trailers."""
        head = {"transfer-encoding": "chunked", "trailer": "x-sum"}
        self._send(200, head, b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\nx-more: yes\r\n\r\n")
        return True

    def do_until_close(self, *_: object) -> bool:
        """A body that ends with the connection."""
        self._send(200, {"connection": "close"}, b"to the end")
        return False

    def do_bye(self, *_: object) -> bool:
        """An answer after which the connection ends."""
        self._send(200, {"connection": "close", "content-length": "3"}, b"bye")
        return False

    def do_events(self, *_: object) -> bool:
        """Server-sent events: one whenever the test says so, until it says that all is told."""
        self._send(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        events = self.server.deeds.events
        while (event := events.take()) is not None:
            data = f"data: {event}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
        return True

    def do_upgrade(self, *_: object) -> bool:
        """A WebSocket handshake; then every byte comes back."""
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        while data := self.rfile.read1(65536):
            self.wfile.write(data)
        return False


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    deeds: Deeds


class _Events:
    """What is told one by one, across threads."""

    def __init__(self) -> None:
        self._told: list[str | None] = []
        self._condition = threading.Condition()

    def tell(self, event: str | None) -> None:
        """The next event; None for the end."""
        with self._condition:
            self._told.append(event)
            self._condition.notify()

    def take(self) -> str | None:
        """The next event, when there is one."""
        with self._condition:
            assert self._condition.wait_for(lambda: self._told, TIMEOUT_S), "no event was told"
            return self._told.pop(0)


class Deeds:
    """The application; use as a context manager."""

    name = "deeds"
    version = ""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.deeds = self
        self.port: int = self._server.server_address[1]
        self.requests = 0
        """How many came."""
        self.events = _Events()
        """What `/events` tells."""

    def __enter__(self) -> Deeds:
        self._serving = ServerThread(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.end()
