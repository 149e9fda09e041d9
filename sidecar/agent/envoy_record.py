"""What one sidecar writes down about its Envoy for the next: which process it is, and how it was started.

A process id alone may have been given to another process meanwhile; with its start time (from /proc, clock
ticks since boot) it is unmistakable within one boot of the host.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from store.errors import InputError

__all__ = ["EnvoyRecord", "hold_lock", "start_ticks", "write_atomically"]


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


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by one with this text and mode 0600, so that a reader sees the old one or the new."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends.

    Raises:
        InputError: Another process holds it.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise InputError(
                f"another sidecar (process {owner}) holds {path}: it drives the Envoy of this node already",
                hint="Stop it, or give this sidecar another node name or run_dir",
            ) from problem
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
