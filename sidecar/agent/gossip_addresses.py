"""How places of gossip are written: `address:port`, and seeds. Text only; no name is looked up here."""

from __future__ import annotations

import ipaddress

__all__ = ["SEED_PORT", "joined", "parse_seed", "split"]

SEED_PORT = 7946
"""Of seeds that name none; serf's, and memberlist's."""
_DNS = "dns:"


def joined(host: str, port: int) -> str:
    """`address:port`, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(address: str) -> tuple[str, int]:
    """Address and port of `address:port`.

    Raises:
        ValueError: It is none.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f'"{address}" is no address:port')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return str(ipaddress.ip_address(host)), int(port)


def parse_seed(seed: str) -> tuple[str, int]:
    """Host and port of a seed: `address[:port]`, `name[:port]` or `dns:name[:port]`.

    Raises:
        ValueError: It is none.
    """
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
