"""Asks a proxy the same question over one kept connection, as fast as it answers.

Raw sockets: an HTTP client would cost more than what is measured.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Sequence

from bench.published import PROBE_HOST

__all__ = ["Poller", "timed_changes", "wait_until_all_serve"]

GIVE_UP_S = 30.0
"""When a change that is still not served is a failure of the bench."""
RETRY_S = 0.01
"""Wait before another try to connect."""


GAP_S = (0.01, 0.03)
"""Pause between changes, drawn from this range: changes must not fall in step with anyone's timer."""


class Poller:
    """One kept connection to one proxy.

    Args:
        port: Where it listens, on 127.0.0.1.
        give_up_s: How long it may take to listen.
    """

    def __init__(self, port: int, give_up_s: float = GIVE_UP_S) -> None:
        self._port = port
        self._give_up_s = give_up_s
        self._request = f"GET / HTTP/1.1\r\nHost: {PROBE_HOST}\r\n\r\n".encode()
        self.socket = self._connect()

    def ask(self) -> bytes:
        """One question and its answer: the value of the header `x-change`, empty without one."""
        try:
            self.socket.sendall(self._request)
            return self._answer()
        except OSError:
            self.close()
            time.sleep(RETRY_S)
            self.socket = self._connect()
            return b""

    def _answer(self) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        left = int(headers.get(b"content-length", b"0")) - len(body)
        while left > 0:
            left -= len(self._receive())
        return headers.get(b"x-change", b"")

    def _receive(self) -> bytes:
        received = self.socket.recv(65_536)
        if not received:
            raise ConnectionResetError("the proxy ended the connection")
        return received

    def close(self) -> None:
        """End the connection."""
        self.socket.close()

    def _connect(self) -> socket.socket:
        end = time.monotonic() + self._give_up_s
        while True:
            try:
                connected = socket.create_connection(("127.0.0.1", self._port), timeout=GIVE_UP_S)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(RETRY_S)
            else:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connected


def wait_until_all_serve(
    pollers: Sequence[Poller], number: int, *, pause_s: float = 0.0, give_up_s: float = GIVE_UP_S
) -> float:
    """Ask each proxy in turn until it answers with this change; returns the clock's reading at the last.

    One after the other is enough for the last of all, and leaves the processors to those that are measured. What
    it adds is one question for each proxy that was ready before its turn.

    Args:
        pollers: One for each proxy.
        number: The change.
        pause_s: Wait between two questions.
        give_up_s: How long to ask.

    Raises:
        TimeoutError: Some proxy did not within `give_up_s`.
    """
    wanted = str(number).encode()
    end = time.perf_counter() + give_up_s
    for poller in pollers:
        while poller.ask() != wanted:
            if time.perf_counter() > end:
                raise TimeoutError(f"change {number} was not served within {give_up_s:g} s")
            if pause_s:
                time.sleep(pause_s)
    return time.perf_counter()


def timed_changes(
    put: Callable[[int], object], pollers: Sequence[Poller], changes: int, *, pause_s: float = 0.0
) -> list[float]:
    """Make changes one by one; seconds from each acknowledgement until all serve it. Two are made to warm up."""
    draw = random.Random(0)
    samples: list[float] = []
    for number in range(1, changes + 3):
        time.sleep(draw.uniform(*GAP_S))
        put(number)
        acknowledged = time.perf_counter()
        served = wait_until_all_serve(pollers, number, pause_s=pause_s)
        samples.append(served - acknowledged)
    for poller in pollers:
        poller.close()
    return samples[2:]
