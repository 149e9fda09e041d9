"""A TCP proxy that a test can make faulty: answers lost, requests held back and let through later, connections cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field

__all__ = ["FaultyProxy"]

CHUNK = 65536


@dataclass
class _Pair:
    """One proxied connection."""

    client: socket.socket
    server: socket.socket
    held: bytearray = field(default_factory=bytearray)
    keeps_server: bool = False


class FaultyProxy:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target`. Use as a context manager; threads end with it."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.lost_bytes = 0
        """How many bytes of answers were swallowed."""
        self.is_losing_answers = False
        self.is_holding_requests = False
        self.is_refusing = False
        """Whether new connections are ended at once."""
        self._pairs: list[_Pair] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def held_bytes(self) -> int:
        """How many bytes of requests are held back."""
        with self._lock:
            return sum(len(pair.held) for pair in self._pairs)

    def __enter__(self) -> FaultyProxy:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self._listener)
        self._listener.close()
        self.cut()
        with self._lock:
            for pair in self._pairs:
                _shut(pair.server)
        for thread in self._threads:
            thread.join(10.0)
        for pair in self._pairs:
            pair.client.close()
            pair.server.close()

    def cut(self, *, keep_servers: bool = False) -> None:
        """Ends all connections that there are; new ones pass. With `keep_servers` only the clients' ends."""
        with self._lock:
            for pair in self._pairs:
                pair.keeps_server = keep_servers
                _shut(pair.client)
                if not keep_servers:
                    _shut(pair.server)

    def cut_off(self) -> None:
        """The server is out of reach from now on: connections end, and new ones are refused."""
        self.is_refusing = True
        self.cut()

    def connect(self) -> None:
        """It is in reach again."""
        self.is_refusing = False

    def let_through(self) -> None:
        """Sends to the server what was held back, also of clients that are gone."""
        with self._lock:
            for pair in self._pairs:
                held, pair.held = bytes(pair.held), bytearray()
                if held:
                    pair.server.sendall(held)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            pair = _Pair(client, server)
            with self._lock:
                self._pairs.append(pair)
            self._start(self._forward_requests, pair)
            self._start(self._forward_answers, pair)

    def _forward_requests(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while chunk := pair.client.recv(CHUNK):
                with self._lock:
                    if self.is_holding_requests:
                        pair.held += chunk
                        continue
                pair.server.sendall(chunk)
        with self._lock:
            if not pair.keeps_server:
                _shut(pair.server)

    def _forward_answers(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while chunk := pair.server.recv(CHUNK):
                if self.is_losing_answers or pair.keeps_server:
                    self.lost_bytes += len(chunk)
                    continue
                pair.client.sendall(chunk)
        _shut(pair.client)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
