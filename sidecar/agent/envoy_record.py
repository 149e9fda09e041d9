"""What one sidecar writes down about its Envoy for the next: which process it is, and how it was started.

A process id alone may have been given to another process meanwhile; with its start time (from /proc, clock
ticks since boot) it is unmistakable within one boot of the host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
    """Digest of bootstrap, command line and program."""
    epoch: int | None = None
    """Its restart epoch; None: no other can take over from it."""
    before: EnvoyRecord | None = None
    """The one that it takes over from, while it is not known that it has."""

    @classmethod
    def read(cls, path: Path) -> EnvoyRecord | None:
        """The record in a file; None when there is none, or it is not whole."""
        try:
            return cls._of(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> EnvoyRecord:
        epoch, before = values.get("epoch"), values.get("before")
        return cls(
            int(values["pid"]),
            int(values["started"]),
            str(values["settings"]),
            None if epoch is None else int(epoch),
            None if before is None else cls._of(before),
        )

    @classmethod
    def running(cls, path: Path) -> EnvoyRecord | None:
        """The Envoy in a file that is alive; of two in the midst of a take-over the newer one, if it lives."""
        record = cls.read(path)
        while record is not None and not record.is_running():
            record = record.before
        return record

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        write_atomically(path, json.dumps(asdict(self)) + "\n")

    def is_running(self) -> bool:
        """Whether this very process is still alive; it is, where that cannot be looked at."""
        try:
            return self.started > 0 and start_ticks(self.pid) == self.started
        except OSError:
            return True

    @staticmethod
    def digest(bootstrap: str, command: Sequence[str]) -> str:
        """A short text that differs when Envoy would be started differently."""
        text = "\0".join([bootstrap, *command])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None when it has ended (zombies have, too).

    Raises:
        OSError: It cannot be looked at: this process has no descriptor left. That says nothing about the other one.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    state, started = fields[0], int(fields[19])
    return None if state in "ZX" else started
