"""Applications for end-to-end tests: small servers in threads that say who answered and what they were asked."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import socketserver
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.harness.server_thread import ServerThread

__all__ = ["EchoBackend", "TcpEcho"]


class _Handler(BaseHTTPRequestHandler):
    """Answers any method on any path; `?delay_s=N` holds the answer back, `?status=N` chooses its status."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    backend: EchoBackend

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length) if length else b""
        query = parse_qs(urlsplit(self.path).query)
        time.sleep(float(query.get("delay_s", ["0"])[0]))
        seen = {
            "name": self.backend.name,
            "version": self.backend.version,
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode("latin-1"),
            "client": self._client_name(),
        }
        text = json.dumps(seen).encode()
        self.backend.count()
        self.send_response(int(query.get("status", ["200"])[0]))
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _client_name(self) -> str:
        """Common name of the client's certificate, where TLS asked for one."""
        if not isinstance(self.connection, ssl.SSLSocket):
            return ""
        certificate: Any = self.connection.getpeercert() or {}
        names = [pair for part in certificate.get("subject", ()) for pair in part]
        return next((value for key, value in names if key == "commonName"), "")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
        """Says nothing: the answers are what tests look at."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is part of these tests."""


@dataclass
class EchoBackend:
    """One HTTP application on a free port of loopback; use as a context manager."""

    name: str
    version: str = ""
    tls: ssl.SSLContext | None = None
    """Serve HTTPS with this context."""
    port: int = 0
    """0: one that is free."""
    address: str = "127.0.0.1"
    """Where it listens."""
    hits: int = 0
    """Requests answered."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self) -> None:
        """One more request was answered."""
        with self._lock:
            self.hits += 1

    def __enter__(self) -> EchoBackend:
        handler = type("Handler", (_Handler,), {"backend": self})
        self._server = _Server((self.address, self.port), handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self._serving = ServerThread(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.end()


def main() -> None:
    """`python -m tests.harness.echo NAME VERSION PORT`: an application as a process, until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("version")
    parser.add_argument("port", type=int)
    told = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with EchoBackend(told.name, told.version, port=told.port):
        signal.sigwait([signal.SIGTERM])


class _TcpHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(self.server.name + b": " + line)  # type: ignore[attr-defined] # set below


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _TcpServerV6(_TcpServer):
    address_family = socket.AF_INET6


class TcpEcho:
    """A TCP application that answers each line with its name and the line; use as a context manager."""

    version = ""

    def __init__(self, name: str, port: int = 0, address: str = "127.0.0.1") -> None:
        self.name = name
        kind = _TcpServerV6 if ":" in address else _TcpServer
        self._server = kind((address, port), _TcpHandler)
        self._server.name = name.encode()  # type: ignore[attr-defined] # read by the handler
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> TcpEcho:
        self._serving = ServerThread(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.end()


if __name__ == "__main__":
    main()
