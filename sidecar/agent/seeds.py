"""Where other members may be: addresses of the settings, names resolved anew each time, hosts registered in etcd.

Registered hosts come from what the sidecar holds in memory, so the last known good serves while etcd is away. Nothing
here decides whom to ask: the core picks.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence

import trio

from sidecar.agent.gossip_sockets import joined, split

__all__ = ["SEED_PORT", "Seeds", "check_seed"]

SEED_PORT = 7946
"""Of seeds that name none; serf's, and memberlist's."""
RESOLVE_WITHIN_S = 3.0
"""For one name; DNS that is away must not hold up the seeds that are known by address."""
ADDRESSES_MAX = 10_000
"""As many as there may be members."""
_DNS = "dns:"


def check_seed(seed: str) -> str:
    """`seed` itself, when it is `address[:port]`, `name[:port]` or `dns:name[:port]`.

    Raises:
        ValueError: It is none.
    """
    _parse(seed)
    return seed


class Seeds:
    """All of them.

    Args:
        listed: Those of the settings.
        registered: `address:port` of hosts registered in etcd, as far as is known now.
    """

    def __init__(
        self, listed: Sequence[str], registered: Callable[[], Iterable[str]] = tuple
    ) -> None:
        self._listed = [_parse(seed) for seed in listed]
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


def _parse(seed: str) -> tuple[str, int]:
    rest = seed.removeprefix(_DNS)
    if rest.count(":") > 1 and not rest.startswith("["):
        host, port = rest, ""  # an IPv6 address without a port
    elif rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.partition(":")
    port = port or str(SEED_PORT)
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f'the seed "{seed[:80]}" has no port from 1 to 65535')
    if not host or len(host) > 253 or not all("!" <= letter <= "~" for letter in host):
        raise ValueError(f'the seed "{seed[:80]}" is no address:port, name:port or dns:name:port')
    return host, int(port)


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
