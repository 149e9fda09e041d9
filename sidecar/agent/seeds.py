"""Where other members may be: addresses of the settings, names resolved anew each time, hosts registered in etcd.

Registered hosts come from what the sidecar holds in memory, so the last known good serves while etcd is away. Nothing
here decides whom to ask: the core picks.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence

import trio

from sidecar.agent.gossip_addresses import joined, parse_seed, split

__all__ = ["Seeds"]

RESOLVE_WITHIN_S = 3.0
"""For one name; DNS that is away must not hold up the seeds that are known by address."""
ADDRESSES_MAX = 10_000
"""As many as there may be members."""


class Seeds:
    """All of them.

    Args:
        listed: Those of the settings.
        registered: `address:port` of hosts registered in etcd, as far as is known now.
    """

    def __init__(
        self, listed: Sequence[str], registered: Callable[[], Iterable[str]] = tuple
    ) -> None:
        self._listed = [parse_seed(seed) for seed in listed]
        self._registered = registered
        self.unresolved: tuple[str, ...] = ()
        """Names that nobody could resolve the last time."""

    async def find(self) -> tuple[str, ...]:
        """Resolve names anew; `address:port` each, without repetition."""
        found: dict[str, None] = {}
        unresolved: list[str] = []

        async def resolve(host: str, port: int) -> None:
            addresses = await _resolve(host, port)
            found.update(dict.fromkeys(addresses))
            if not addresses:
                unresolved.append(host)

        async with trio.open_nursery() as nursery:
            for host, port in self._listed:
                nursery.start_soon(resolve, host, port)
        self.unresolved = tuple(sorted(unresolved))
        for address in self._registered():
            if _is_address(address):
                found[address] = None
        return tuple(found)[:ADDRESSES_MAX]


async def _resolve(host: str, port: int) -> tuple[str, ...]:
    try:
        return (joined(str(ipaddress.ip_address(host)), port),)
    except ValueError:
        pass
    with trio.move_on_after(RESOLVE_WITHIN_S):
        try:
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            return ()
        return tuple(dict.fromkeys(joined(str(where[4][0]), port) for where in found))
    return ()


def _is_address(address: str) -> bool:
    try:
        split(address)
    except ValueError:
        return False
    return True
