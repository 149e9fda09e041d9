"""Virtual addresses for services that have none, so that captured bytes can be told apart by where they go.

One number for each host name gives an address of each family: 240.240.x.y and 2001:2::n, the ranges that Istio takes
(serviceentry/auto_allocation.go). The number follows from the name, so that hosts mostly agree without talking; where
two names want one number, the one that came first here has it. A name keeps its number for ever: clients may have
looked it up long ago. The addresses have a meaning on this host alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from sidecar.mesh.model import HostName, Resolution, Service

__all__ = ["NUMBERS", "VirtualAddresses", "is_virtual", "wants_address"]

_V4, _V6 = IPv4Address("240.240.0.0"), IPv6Address("2001:2::")
_V4_RANGE, _V6_RANGE = IPv4Network("240.240.0.0/16"), IPv6Network("2001:2::/48")
_LAST_OCTETS = 254
"""Last octets in use: 0 and 255 look like a network and its broadcast to some programs."""
NUMBERS = 256 * _LAST_OCTETS
"""How many names can have one."""
_TRIES = 64
"""Numbers that a name asks for before it takes the next free one."""


def wants_address(service: Service) -> bool:
    """Whether a service is to have a virtual address: it has none, one name, and endpoints to stand for."""
    return (
        not service.addresses
        and not service.host.startswith("*")
        and service.resolution not in (Resolution.NONE, Resolution.DYNAMIC_DNS)
    )


def is_virtual(address: str) -> bool:
    """Whether an address is from the ranges that virtual ones are given from."""
    at = ip_address(address)
    return at in (_V4_RANGE if at.version == 4 else _V6_RANGE)


class VirtualAddresses:
    """The numbers of names. What is new is told once, to be kept on disk before anybody hears of it.

    Args:
        kept: Numbers that were given before, by name.
        ipv6: Whether this host has IPv6.
    """

    def __init__(
        self, kept: Mapping[HostName, int] | Mapping[str, int] | None = None, *, ipv6: bool = False
    ) -> None:
        self._numbers: dict[HostName, int] = {}
        self._names: dict[int, HostName] = {}
        self._new: dict[HostName, int] = {}
        self._ipv6 = ipv6
        for host, number in (kept or {}).items():
            if 0 <= number < NUMBERS and number not in self._names:
                self._numbers[HostName(host)] = number
                self._names[number] = HostName(host)

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, host: HostName) -> tuple[str, ...]:
        """The addresses of a name, IPv4 first; none where all numbers are taken."""
        number = self._numbers.get(host)
        if number is None:
            number = self._choose(host)
            if number is None:
                return ()
            self._numbers[host], self._names[number] = number, host
            self._new[host] = number
        octets, last = divmod(number, _LAST_OCTETS)
        v4 = str(_V4 + (octets << 8) + last + 1)
        return (v4, str(_V6 + number + 1)) if self._ipv6 else (v4,)

    def name_at(self, address: str) -> HostName | None:
        """The name that has an address; None for one that nobody has."""
        at = ip_address(address)
        if at.version == 4:
            octets, last = divmod(int(at) - int(_V4), 256)
            number = octets * _LAST_OCTETS + last - 1
            is_one = 0 < last <= _LAST_OCTETS
        else:
            number, is_one = int(at) - int(_V6) - 1, True
        return self._names.get(number) if is_one else None

    def take_new(self) -> Mapping[HostName, int]:
        """Numbers that were given since this was last asked."""
        new, self._new = self._new, {}
        return new

    def _choose(self, host: HostName) -> int | None:
        for number in _wanted(host):
            if number not in self._names:
                return number
        if len(self._names) >= NUMBERS:
            return None
        return next(number for number in range(NUMBERS) if number not in self._names)


def _wanted(host: HostName) -> Iterable[int]:
    """The numbers that a name asks for, in order, the same on every host."""
    for attempt in range(_TRIES):
        digest = sha256(f"{attempt} {host}".encode()).digest()
        yield int.from_bytes(digest[:8], "big") % NUMBERS
