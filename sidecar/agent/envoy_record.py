"""What one sidecar writes down about its Envoy for the next: which process it is, and how it was started.

A process id alone may have been given to another process meanwhile; with its start time (from /proc, clock
ticks since boot) it is unmistakable within one boot of the host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.agent.run_files import write_atomically

__all__ = ["EnvoyRecord", "start_ticks"]


@dataclass(frozen=True, slots=True)
class EnvoyRecord:
    """One running Envoy."""

    pid: int
    """Process id."""
    started: int
    """Start time in clock ticks since boot."""
    settings: str
    """Digest of bootstrap and command line."""

    @classmethod
    def read(cls, path: Path) -> EnvoyRecord | None:
        """The record in a file; None when there is none, or it is not whole."""
        try:
            values = json.loads(path.read_bytes())
            return cls(int(values["pid"]), int(values["started"]), str(values["settings"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        values = {"pid": self.pid, "started": self.started, "settings": self.settings}
        write_atomically(path, json.dumps(values) + "\n")

    def is_running(self) -> bool:
        """Whether this very process is still alive."""
        return self.started > 0 and start_ticks(self.pid) == self.started

    @staticmethod
    def digest(bootstrap: str, command: Sequence[str]) -> str:
        """A short text that differs when Envoy would be started differently."""
        text = "\0".join([bootstrap, *command])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None when it has ended (zombies have, too)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    state, started = fields[0], int(fields[19])
    return None if state in "ZX" else started
