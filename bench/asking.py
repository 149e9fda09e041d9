"""Requests to many hosts through one proxy, over one kept connection, each timed.

Raw sockets: an HTTP client would cost more than what is measured.
"""

from __future__ import annotations

import socket
import time

__all__ = ["Asker"]

RETRY_S = 0.005


class Asker:
    """One connection to 127.0.0.1.

    Args:
        port: Where the proxy listens.
        give_up_s: How long it may take to listen, and to answer.
    """

    def __init__(self, port: int, give_up_s: float) -> None:
        self._port = port
        self._give_up_s = give_up_s
        self._socket: socket.socket | None = None

    def asked(self, host: str) -> tuple[int, bytes]:
        """Status of one answer and its header `x-change`; status 0 when there was no answer."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), self._give_up_s)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return self._answer(self._socket)
        except OSError:
            self.close()
            return 0, b""

    def timed(self, host: str) -> float:
        """Seconds until a host answered with 200.

        Raises:
            RuntimeError: It answered something else.
        """
        began = time.perf_counter()
        status, _ = self.asked(host)
        took = time.perf_counter() - began
        if status != 200:
            raise RuntimeError(f"{host} was answered with {status}, not 200")
        return took

    def until_served(self, host: str, give_up_s: float) -> None:
        """Ask until the answer is 200.

        Raises:
            TimeoutError: It was not in time.
        """
        end = time.monotonic() + give_up_s
        status = 0
        while status != 200:
            if time.monotonic() > end:
                raise TimeoutError(f"{host} was not served within {give_up_s:g} s (last: {status})")
            status, _ = self.asked(host)
            if status != 200:
                time.sleep(RETRY_S)

    def close(self) -> None:
        """End the connection; the next question opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _answer(self, connection: socket.socket) -> tuple[int, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += _some(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in lines)
        }
        left = int(headers.get(b"content-length", b"0")) - len(body)
        while left > 0:
            left -= len(_some(connection))
        if headers.get(b"connection") == b"close":
            self.close()
        return int(first.split()[1]), headers.get(b"x-change", b"")


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise ConnectionResetError("the proxy ended the connection")
    return received
