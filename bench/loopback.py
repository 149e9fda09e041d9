"""Counts what goes over loopback by the network that it comes from: the same instrument for every program.

A packet socket sees each IP packet once as it arrives, which on loopback is as it was sent; 127.1.0.7 counts for
network 1. IP and transport headers are counted, link headers are not. Needs CAP_NET_RAW.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass

__all__ = ["Count", "Loopback"]

_ETH_P_IP = 0x0800
_PACKET_OUTGOING = 4
_BUFFER_BYTES = 8 << 20


@dataclass(frozen=True)
class Count:
    """So much."""

    packets: int
    octets: int


class Loopback:
    """Counts until it is closed, in a thread of its own.

    Raises:
        OSError: This process may not open packet sockets.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._socket.bind(("lo", _ETH_P_IP))
        self._socket.settimeout(0.2)
        self._packets: Counter[int] = Counter()
        self._octets: Counter[int] = Counter()
        self._is_open = True
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def count(self, network: int) -> Count:
        """What 127.`network`.x.y has sent so far."""
        return Count(self._packets[network], self._octets[network])

    def close(self) -> None:
        """Count no more."""
        self._is_open = False
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while self._is_open:
            try:
                packet, where = self._socket.recvfrom(20)
            except TimeoutError:
                continue
            if where[2] != _PACKET_OUTGOING and len(packet) == 20 and packet[12] == 127:
                (length,) = struct.unpack_from(">H", packet, 2)
                self._packets[packet[13]] += 1
                self._octets[packet[13]] += length
