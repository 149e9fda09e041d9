"""Loopback addresses and ports of the demo's hosts: each host has an address of its own, as machines have.

All of 127.0.0.0/8 is the loopback of a Linux host, so that every host of the demo can use the ordinary ports.
Several demos at once take different ranges; a lock in the kernel's own name space, gone with its process, tells
them apart.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field

from store.errors import InputError

__all__ = ["Subnet", "claim_subnet"]

FIRST, LAST = 10, 99
"""Third number of the ranges that a demo may take: 127.0.10.0/24 and up."""


@dataclass(slots=True)
class Subnet:
    """A range of 254 loopback addresses that this process holds until it ends or closes it."""

    number: int
    lock: socket.socket
    taken: set[tuple[str, int]] = field(default_factory=set)

    def address(self, host: int) -> str:
        """The address with `host` (1 to 254) as its last number."""
        return f"127.0.{self.number}.{host}"

    def port(self, address: str, wanted: int) -> int:
        """`wanted` where it is free at that address, else one that the kernel chooses; never one twice."""
        for candidate in (wanted, *([0] * 20)):
            port = _bindable(address, candidate)
            if port and (address, port) not in self.taken:
                self.taken.add((address, port))
                return port
        raise InputError(
            f"no free port at {address} was found", hint="`ss -ltn` shows who holds them"
        )

    def close(self) -> None:
        """Let others have the range."""
        self.lock.close()


def claim_subnet() -> Subnet:
    """The first range that no other demo on this machine holds.

    Raises:
        InputError: All are held, or this machine's loopback is not that wide.
    """
    for number in range(FIRST, LAST + 1):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0meshd-demo-{number}")
        except OSError:
            lock.close()
            continue
        subnet = Subnet(number, lock)
        if not _bindable(subnet.address(1), 0):
            subnet.close()
            raise InputError(
                f"the address {subnet.address(1)} cannot be used here",
                hint="The demo needs Linux, whose loopback is all of 127.0.0.0/8",
            )
        return subnet
    raise InputError("every range of addresses is held by another demo", hint="End one of them")


def _bindable(address: str, port: int) -> int:
    """The port, when it can be listened on now; 0 when not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as problem:
            if problem.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM):
                return 0
            raise
        return int(probe.getsockname()[1])
