"""Read a request's authority: which host, which port, and how it may be spelt.

Envoy compares domains with the lower-case `:authority` as sent. Here the same text is taken apart so that
the mesh can be asked for it: case, brackets of an IPv6 address and the port are not part of a host's name
(RFC 3986 section 3.2.2, RFC 9110 section 4.2.3). A trailing dot is: `reviews.` is not short for anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Authority", "domains_for", "parse_authority"]

PORT_MAX = 65535
DIGITS_MAX = len(str(PORT_MAX))


class Authority(NamedTuple):
    """A host and, where the client named one, a port."""

    host: str
    """Lower case, without brackets; as sent where it cannot be read."""
    port: int | None
    """Port named by the client, None when there was none."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parse_authority(text: str) -> Authority:
    """Take an authority apart; text that is none becomes a host that no object can have."""
    lowered = text.strip().lower()
    if lowered.startswith("["):
        literal, bracket, rest = lowered[1:].partition("]")
        port = _port(rest.removeprefix(":")) if rest.startswith(":") else None
        if bracket and (rest == "" or port is not None):
            return Authority(literal, port)
        return Authority(lowered, None)
    if lowered.count(":") > 1:
        return Authority(lowered, None)
    host, colon, digits = lowered.partition(":")
    port = _port(digits) if colon else None
    if colon and port is None:
        return Authority(lowered, None)
    return Authority(host, port)


def _port(digits: str) -> int | None:
    """The port, where it is written as in domains: without leading zeros."""
    if not (digits.isascii() and digits.isdigit()) or digits[0] == "0" or len(digits) > DIGITS_MAX:
        return None
    port = int(digits)
    return port if port <= PORT_MAX else None


def domains_for(names: Iterable[str], port: int | None, *, bare: bool) -> tuple[str, ...]:
    """Envoy domains for names: with the port where one is given, and without where `bare`.

    IPv6 addresses get brackets. Order is that of `names`, the form with a port first; no duplicates.
    """
    domains: dict[str, None] = {}
    for name in names:
        host = f"[{name}]" if ":" in name else name
        if port is not None:
            domains[f"{host}:{port}"] = None
        if bare:
            domains[host] = None
    return tuple(domains)
