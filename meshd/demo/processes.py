"""The demo's processes: started in sessions of their own, ended in order, none left behind.

Ctrl-C in a terminal reaches only the demo, which then ends the others itself. An Envoy outlives its sidecar on
purpose; should a sidecar not have ended its own, it is found by its bootstrap file in the demo's directory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from store.errors import MeshError

__all__ = ["Processes", "clean_environment"]

TERM_S = 15.0
"""How long a process may take to end in order before it is killed: a sidecar withdraws and drains for 8 s at most."""
KILL_S = 5.0
LOG_TAIL = 2000


@dataclass(slots=True)
class Processes:
    """Everything that the demo started.

    Args:
        directory: The demo's own; logs go to `log/` below it.
        environment: Of every process.
    """

    directory: Path
    environment: Mapping[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a program under a name of its own.

        Raises:
            MeshError: The program cannot be started.
        """
        log_file = self.log_file(name)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with log_file.open("ab") as log:
                self.running[name] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.directory,
                    env=dict(self.environment),
                    start_new_session=True,
                )
        except OSError as problem:
            raise MeshError(f"{name}: {command[0]} cannot be started: {problem}") from problem

    def log_file(self, name: str) -> Path:
        """Where what `name` prints goes."""
        return self.directory / "log" / f"{name}.log"

    def check(self) -> None:
        """Raise MeshError, with the end of its log, when a process has ended by itself."""
        for name, process in self.running.items():
            if process.poll() is not None:
                tail = self.log_file(name).read_bytes()[-LOG_TAIL:].decode(errors="replace")
                raise MeshError(f"{name} ended with status {process.returncode}:\n{tail}")

    def stop(self, names: Iterable[str]) -> None:
        """End these together: SIGTERM, then SIGKILL for what does not end in time."""
        chosen = [self.running.pop(name) for name in names]
        for process in chosen:
            _signal(process.pid, signal.SIGTERM)
        end = time.monotonic() + TERM_S
        for process in chosen:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
            if process.poll() is None:
                _signal(process.pid, signal.SIGKILL)
                process.wait(KILL_S)

    def sweep(self) -> list[int]:
        """Kill Envoys whose bootstrap lies in the demo's directory; returns their process ids."""
        found = _envoys_below(self.directory)
        for pid in found:
            _signal(pid, signal.SIGKILL)
        end = time.monotonic() + KILL_S
        while any(_is_alive(pid) for pid in found) and time.monotonic() < end:
            time.sleep(0.01)
        return found


def clean_environment() -> dict[str, str]:
    """This process's environment without what would steer the demo's programs elsewhere: MESHD_*, proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MESHD_") and not name.lower().endswith("_proxy")
    }


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _envoys_below(directory: Path) -> list[int]:
    wanted = b"--config-path\0" + os.fsencode(directory) + b"/"
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "cmdline").read_bytes() and _is_alive(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _is_alive(pid: int) -> bool:
    """Whether it runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
