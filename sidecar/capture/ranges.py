"""Ports and addresses as people write them: `22`, `8000-8100`, `10.0.0.0/8`, `fd00::1`.

Decides what such a text means, and says of a wrong one what would be right. nftables refuses overlapping intervals
unless it merges them itself, so ranges are kept as given and merged there.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

__all__ = ["Network", "PortRange", "parse_network", "parse_ports"]

PORT_MAX = 65_535

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last


def parse_ports(text: str) -> PortRange:
    """One port or one range of ports.

    Raises:
        ValueError: It is neither; says what was found and what is allowed.
    """
    first, dash, last = text.strip().partition("-")
    ends = (first.strip(), last.strip() if dash else first.strip())
    if not all(end.isascii() and end.isdigit() for end in ends):
        raise ValueError(f'"{text}" is neither a port nor a range of ports such as 8000-8100')
    low, high = (int(end) for end in ends)
    if not 1 <= low <= PORT_MAX or not 1 <= high <= PORT_MAX:
        raise ValueError(f'"{text}": ports are 1 to {PORT_MAX}')
    if low > high:
        raise ValueError(f'"{text}": a range begins with its lower end: {high}-{low}')
    return PortRange(low, high)


def parse_network(text: str) -> Network:
    """One address or one range of addresses.

    Raises:
        ValueError: It is neither; says what was found and what is allowed.
    """
    written = text.strip()
    try:
        return ip_network(written)
    except ValueError:
        pass
    try:
        meant = ip_network(written, strict=False)
    except ValueError:
        raise ValueError(
            f'"{text}" is neither an IP address nor a range of them such as 10.0.0.0/8'
        ) from None
    raise ValueError(f'"{text}" has bits beyond its length: write {meant}')
