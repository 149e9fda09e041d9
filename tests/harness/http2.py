"""HTTP/2 without TLS over plain sockets: an application and a client that show frames, trailers among them."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

from tests.harness.server_thread import ServerThread

__all__ = ["Http2App", "Http2Client", "Stream", "connect_http2"]

TIMEOUT_S = 60.0
"""How long one read may take."""

Headers = list[tuple[str, str]]


@dataclass
class Stream:
    """What came over one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    interim: list[str] = field(default_factory=list)
    """Statuses before the last."""
    ended: bool = False
    reset: int | None = None
    """Error code where it was broken off."""


class _Peer:
    """One end of a connection: feeds frames to streams and opens windows again."""

    def __init__(self, stream: socket.socket, *, client: bool) -> None:
        config = h2.config.H2Configuration(client_side=client, header_encoding="utf-8")
        self.state = h2.connection.H2Connection(config)
        self.socket = stream
        self.streams: dict[int, Stream] = {}
        self.state.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.state.data_to_send())

    def step(self) -> list[int]:
        """Read once; returns the streams that ended by it.

        Raises:
            ConnectionError: The other side is gone.
        """
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the connection was closed")
        ended = [number for event in self.state.receive_data(data) if (number := self._note(event))]
        self.flush()
        return ended

    def _note(self, event: h2.events.Event) -> int | None:
        match event:
            case h2.events.RequestReceived() | h2.events.ResponseReceived():
                self._stream(event).headers = dict(event.headers or ())  # type: ignore[arg-type] # decoded to text
            case h2.events.InformationalResponseReceived():
                self._stream(event).interim.append(dict(event.headers or ())[":status"])  # type: ignore[index,arg-type] # decoded to text
            case h2.events.TrailersReceived():
                self._stream(event).trailers = dict(event.headers or ())  # type: ignore[arg-type] # decoded to text
            case h2.events.DataReceived():
                self._stream(event).body += event.data or b""
                assert event.stream_id is not None
                self.state.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id
                )
            case h2.events.StreamEnded() | h2.events.StreamReset():
                stream = self._stream(event)
                stream.ended = True
                if isinstance(event, h2.events.StreamReset):
                    stream.reset = int(event.error_code or 0)
                return event.stream_id
            case _:
                pass
        return None

    def _stream(self, event: object) -> Stream:
        number: int = event.stream_id  # type: ignore[attr-defined] # every event of a stream has it
        return self.streams.setdefault(number, Stream())


class Http2Client(_Peer):
    """One connection of a client, several requests at a time."""

    def send(
        self,
        host: str,
        path: str,
        *headers: tuple[str, str],
        method: str = "GET",
        body: bytes = b"",
        trailers: Headers | None = None,
    ) -> int:
        """Send a request; returns its stream."""
        number = self.state.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)]
        bare = not body and not trailers
        self.state.send_headers(number, [*pseudo, *headers], end_stream=bare)
        if body:
            self.state.send_data(number, body, end_stream=not trailers)
        if trailers:
            self.state.send_headers(number, trailers, end_stream=True)
        self.streams[number] = Stream()
        self.flush()
        return number

    def wait(self, number: int) -> Stream:
        """Read until a stream has ended."""
        while not self.streams[number].ended:
            self.step()
        return self.streams[number]


@contextmanager
def connect_http2(port: int) -> Iterator[Http2Client]:
    """A client's connection to a port of loopback, prior knowledge."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as stream:
        yield Http2Client(stream, client=True)


class _Handler(socketserver.BaseRequestHandler):
    """One connection of the application: says what it saw, with a trailer."""

    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            peer = _Peer(self.request, client=False)
            self.server.app.connections += 1
            while True:
                for number in peer.step():
                    self._answer(peer, number, peer.streams[number])

    def _answer(self, peer: _Peer, number: int, stream: Stream) -> None:
        if stream.reset is not None:
            return
        seen = {
            "headers": stream.headers,
            "body": stream.body.decode(),
            "trailers": stream.trailers,
        }
        peer.state.send_headers(number, [(":status", "200"), ("trailer", "x-sum")])
        peer.state.send_data(number, json.dumps(seen).encode())
        peer.state.send_headers(number, [("x-sum", str(len(stream.body)))], end_stream=True)
        peer.flush()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    app: Http2App


class Http2App:
    """The application; use as a context manager."""

    name = "two"
    version = ""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.app = self
        self.port: int = self._server.server_address[1]
        self.connections = 0
        """How many were opened."""

    def __enter__(self) -> Http2App:
        self._serving = ServerThread(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.end()
