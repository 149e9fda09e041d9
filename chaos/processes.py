"""Processes of a run: started inside a host, killed, paused, looked at."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Process", "usage_of"]


@dataclass
class Process:
    """One program; may be started again after it ended."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    """Working directory."""
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """Its process id; None: it does not run."""
        return self.child.pid if self.child is not None and self.child.poll() is None else None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.pid is not None:
            return
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                cwd=self.folder,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, where it runs."""
        if self.pid is not None and self.child is not None:
            self.child.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.signal(signal.SIGKILL)
        if self.child is not None:
            self.child.wait()

    def stop(self, grace_s: float = 15.0) -> None:
        """SIGTERM, and SIGKILL after the grace."""
        self.signal(signal.SIGTERM)
        if self.child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(grace_s)
        self.kill()

    def tail(self, bytes_max: int = 2000) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[-bytes_max:].decode(errors="replace")


def usage_of(pid: int) -> tuple[int, int, int] | None:
    """Resident KiB, descriptors and threads of a process; None: it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
        facts = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        return int(facts["VmRSS"].split()[0]), descriptors, int(facts["Threads"])
    except (OSError, KeyError, ValueError):
        return None
