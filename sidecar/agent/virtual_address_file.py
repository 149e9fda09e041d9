"""Virtual addresses on disk: one line a name, only ever added to, so that no address changes its meaning.

A line is written before anybody can hear of its address. One that is torn at the end, by a crash, was never heard of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from sidecar.agent.log import log
from sidecar.mesh.model import HostName
from sidecar.mesh.virtual_addresses import VirtualAddresses

__all__ = ["VirtualAddressFile"]

NAME = "virtual-addresses"


class VirtualAddressFile:
    """The file of one sidecar.

    Args:
        directory: Where it is; only this sidecar writes there.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME

    def load(self, *, ipv6: bool) -> VirtualAddresses:
        """What was given before; wrong lines are told in the log and passed over."""
        kept: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError):
            text = self._path.read_text(encoding="utf-8", errors="replace")
            wrong = 0
            for line in text.splitlines():
                host, _, number = line.partition(" ")
                if number.isascii() and number.isdigit():
                    kept.setdefault(host, int(number))
                else:
                    wrong += 1
            if wrong:
                log.warning("virtual_addresses_passed_over", file=str(self._path), lines=wrong)
            if text and not text.endswith("\n"):
                self._append("\n")
        return VirtualAddresses(kept, ipv6=ipv6)

    def keep(self, new: Mapping[HostName, int]) -> None:
        """Add names; a failure is told in the log, and the addresses hold until the next start."""
        if new:
            self._append("".join(f"{host} {number}\n" for host, number in new.items()))

    def _append(self, text: str) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as problem:
            log.error("virtual_addresses_not_kept", file=str(self._path), reason=str(problem))
