"""The sockets of gossip: UDP and TCP on one port. Moves sealed bytes and knows no member and no key."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections import Counter
from dataclasses import dataclass, field

import trio

from sidecar.agent.gossip_addresses import joined, split
from sidecar.gossip.frames import DATAGRAM_BYTES_MAX
from store.errors import InputError

__all__ = ["GossipSockets", "Traffic", "open_sockets"]

PORT_TRIES = 20
"""Free ports that are tried until one is free for UDP and TCP both."""
RECEIVE_BUFFER_BYTES = 1 << 20
"""Asked of the kernel (it may give less): a process that stands still for a moment loses nothing."""


@dataclass
class Traffic:
    """Counts of what went through the sockets, headers not included."""

    packets: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By direction (`in`, `out`) and kind (`datagram`, `stream`: one request or answer)."""
    octets: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Bytes, by the same."""
    dropped: Counter[str] = field(default_factory=Counter)
    """What was not used, by reason."""

    def count(self, direction: str, kind: str, size: int) -> None:
        """Something went through."""
        self.packets[direction, kind] += 1
        self.octets[direction, kind] += size


@dataclass(frozen=True)
class GossipSockets:
    """A bound pair."""

    udp: socket.socket
    """Not blocking."""
    tcp: trio.SocketListener
    """Listening."""
    port: int
    """Of both."""

    def close(self) -> None:
        """Free the port."""
        self.udp.close()
        self.tcp.socket.close()

    def receive(self) -> bytes | None:
        """The next datagram that waits, cut where it is longer than any of ours; None when none waits."""
        try:
            return self.udp.recv(DATAGRAM_BYTES_MAX + 1)
        except OSError:
            return (
                None  # nothing waits, or the network said something of an earlier datagram of ours
            )

    def send(self, address: str, sealed: bytes) -> str:
        """Send a datagram; why it could not be sent, or empty."""
        try:
            self.udp.sendto(sealed, split(address))
        except (BlockingIOError, InterruptedError):
            return "send_buffer_full"
        except (OSError, ValueError):
            return "unreachable"
        return ""


def open_sockets(bind: str, port: int) -> GossipSockets:
    """Bind UDP and TCP on one port. Called inside `trio.run`.

    Args:
        bind: IP address of this host, or `0.0.0.0` or `::` for all.
        port: Port; 0 for any that is free.

    Raises:
        InputError: The port is in use, or the address is none of this host's.
    """
    for tries_left in reversed(range(PORT_TRIES if port == 0 else 1)):
        try:
            return _open(bind, port)
        except OSError as problem:
            if tries_left and problem.errno == errno.EADDRINUSE:
                continue
            raise InputError(
                f"gossip cannot listen on {joined(bind, port)}: {os.strerror(problem.errno or 0)}",
                hint="Set gossip.port to a free port (0: any), or gossip.bind to an address of this host",
            ) from problem
    raise AssertionError("each try returns or raises")


def _open(bind: str, port: int) -> GossipSockets:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with contextlib.ExitStack() as undo:
        stream = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        # A restart must not wait for connections of the last life that linger.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stream.bind((bind, port))
        stream.listen(128)
        stream.setblocking(False)
        port = stream.getsockname()[1]
        udp = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        udp.bind((bind, port))
        udp.setblocking(False)
        tcp = trio.SocketListener(trio.socket.from_stdlib_socket(stream))
        undo.pop_all()
    return GossipSockets(udp, tcp, port)
