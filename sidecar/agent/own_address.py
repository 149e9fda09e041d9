"""The address under which peers reach this host, and whether it has IPv6: asked of the machine, once."""

from __future__ import annotations

import socket
from functools import partial
from urllib.parse import urlsplit

import trio

from sidecar.agent.settings import SidecarSettings

__all__ = ["find_address", "has_ipv6", "own_address"]

ADDRESS_WITHIN_S = 1.0
"""How long names of etcd's members may take to be looked up: a host must start when DNS is away, too."""
ANYWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses kept for documentation (RFC 5737, RFC 3849): the way to them is the default route."""


async def find_address(settings: SidecarSettings) -> str:
    """`own_address`, within a second; where names cannot be looked up by then, the default route decides."""
    with trio.move_on_after(ADDRESS_WITHIN_S):
        return await trio.to_thread.run_sync(partial(own_address, settings), abandon_on_cancel=True)
    return settings.address or _default_address()


def own_address(settings: SidecarSettings) -> str:
    """The address that peers reach this host under: as told, else where the route to etcd leaves from.

    Where no member's name can be looked up, the default route decides: a host that starts without DNS must not
    register an address of loopback. Asks the routing table by connecting a datagram socket; no packet is sent.
    """
    if settings.address:
        return settings.address
    for endpoint in settings.etcd.endpoints:
        place = urlsplit(endpoint)
        if found := _leaving_for(place.hostname or "", place.port or 2379):
            return found
    return _default_address()


def has_ipv6() -> bool:
    """Whether this machine (this network namespace) has IPv6: its loopback address can be bound."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _default_address() -> str:
    found = (_leaving_for(address, 9) for address in ANYWHERE)
    return next((address for address in found if address), "127.0.0.1")


def _leaving_for(host: str, port: int) -> str:
    """Local address of the route to `host`; empty when there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError:
        return ""
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.connect(address)
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return ""
