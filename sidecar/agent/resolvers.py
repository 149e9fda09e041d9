"""The resolvers of this machine, from resolv.conf(5)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

__all__ = ["Resolvers", "read_resolvers", "system_resolvers"]

RESOLV_CONF = Path("/etc/resolv.conf")
RESOLVERS_MAX = 3
"""As many as the C library asks."""


class Resolvers:
    """The resolvers to ask: as told, else those of the machine, read again when their file changes.

    Args:
        told: Addresses from the settings; empty for the machine's own.
        path: The machine's file.
    """

    def __init__(self, told: Sequence[str] = (), path: Path = RESOLV_CONF) -> None:
        self._told = tuple(told)
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._found: tuple[str, ...] = ()

    def addresses(self) -> Sequence[str]:
        """The addresses now."""
        if self._told:
            return self._told
        try:
            stat = self._path.stat()
        except OSError:
            return self._found
        seen = (stat.st_mtime_ns, stat.st_ino)
        if seen != self._seen:
            self._seen, self._found = seen, system_resolvers(self._path)
        return self._found


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
