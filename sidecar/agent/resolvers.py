"""The resolvers of this machine, from resolv.conf(5)."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address
from pathlib import Path

__all__ = ["read_resolvers", "system_resolvers"]

RESOLV_CONF = Path("/etc/resolv.conf")
RESOLVERS_MAX = 3
"""As many as the C library asks."""


def system_resolvers(path: Path = RESOLV_CONF) -> tuple[str, ...]:
    """Addresses of the resolvers in `path`; none where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return read_resolvers(text)


def read_resolvers(text: str) -> tuple[str, ...]:
    """Addresses of the `nameserver` lines, without zones of link-local ones; wrong lines are passed over."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):
                found[str(ip_address(words[1].partition("%")[0]))] = None
    return tuple(found)[:RESOLVERS_MAX]
