"""Envoy's process: started in a session of its own, watched, restarted, adopted, replaced, stopped.

Envoy outlives its sidecar: it is started in a new session, writes to a log file, and is left running when the
sidecar ends for whatever reason. The next sidecar finds it by its record (process id and start time, so that a
reused id is not mistaken for it) and adopts it. Exit is noticed at once through a pidfd.

One that was started with other settings, or is another program than the next would be, is replaced by a hot restart:
the new one takes the very sockets over on which the old one listens, so no connection that waits in them is lost, and
the old one serves what it has until it is done. (Two Envoys side by side on sockets of their own, with SO_REUSEPORT,
were measured to lose what waited in the old one's when it closed them.) Source: Envoy, hot restart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import trio

from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.envoy_last_words import LastWords
from sidecar.agent.envoy_program import EnvoyLaunch, spawn
from sidecar.agent.envoy_record import EnvoyRecord, start_ticks
from sidecar.agent.run_files import hold_lock
from store.errors import AgentUnavailable, InputError

__all__ = [
    "EnvoyExited",
    "EnvoyNotReplaced",
    "EnvoyProcess",
    "EnvoyStarted",
    "restart_delay_s",
]

BACK_OFF_MAX_S = 10.0
"""Longest pause between restarts of an Envoy that keeps ending."""
STEADY_S = 10.0
"""An Envoy that ran this long ends the run of failures that the back-off counts."""
TAKE_OVER_S = 60.0
"""How long an Envoy that takes over may need until it serves: it waits for its whole configuration."""
ADMIN_WITHIN_S = 2.0
"""How long one look at it may take."""
KILL_AFTER_S = 5.0
"""How long Envoy may take to end after SIGTERM."""
POLL_S = 0.05
"""How often an end is looked for where the kernel has no pidfd."""


@dataclass(frozen=True, slots=True)
class EnvoyStarted:
    """An Envoy runs."""

    pid: int
    """Process id."""
    adopted: bool
    """Whether it ran before this sidecar did."""
    outdated: bool = False
    """Whether an adopted one was started with other settings; they take effect when it is replaced."""
    took_over: bool = False
    """Whether it took over from another one, which ends by itself."""


@dataclass(frozen=True, slots=True)
class EnvoyNotReplaced:
    """An outdated Envoy goes on: another one could not take over from it."""

    pid: int
    """Of the one that goes on."""
    reason: str
    """Why, in words."""


@dataclass(frozen=True, slots=True)
class EnvoyExited:
    """Envoy ended by itself, or was killed."""

    pid: int
    """Process id it had."""
    status: int | None
    """Exit status, negative for a signal. Of one that is another process's child the signal that it said it died of
    (faults such as SIGSEGV), else None."""
    ran_s: float
    """How long this sidecar has known it."""
    retry_in_s: float
    """When the next is started."""
    log_tail: str
    """End of its log."""


EnvoyEvent = EnvoyStarted | EnvoyExited | EnvoyNotReplaced


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
        self.is_outdated = False
        """Whether the running Envoy is another than would be started now."""
        self._report = report
        self._words = LastWords(launch.log_file)
        self._record: EnvoyRecord | None = None
        self._taking_over: EnvoyRecord | None = None
        self._settled = trio.Event()
        self._older: set[int] = set()
        self._looking = trio.CancelScope()
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Process id of the running Envoy."""
        return None if self._record is None else self._record.pid

    @property
    def generation(self) -> int:
        """Restart epoch of the Envoy that is to be served: the newest, from the moment on that it starts."""
        newest = self._taking_over or self._record
        return 0 if newest is None else newest.epoch or 0

    def is_running_already(self) -> bool:
        """Whether the next `run` will adopt an Envoy instead of starting one."""
        return EnvoyRecord.running(self.launch.record_file) is not None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Adopt or start Envoy and restart it whenever it ends; returns only after `stop`.

        Cancelling this leaves Envoy running. `started` when there is a process.

        Raises:
            InputError: Another sidecar already drives this Envoy, or the program cannot be started.
        """
        launch = self.launch
        launch.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with hold_lock(launch.run_dir / "envoy.lock"):
            self._record = self._adopt() or self._start()
            task_status.started()
            async with trio.open_nursery() as nursery:
                await self._keep(nursery)
                nursery.cancel_scope.cancel()

    async def _keep(self, nursery: trio.Nursery) -> None:
        """Restart Envoy whenever it ends, until it was stopped."""
        failures = 0
        while True:
            began_s, record = trio.current_time(), self._record
            self._words.begin()
            assert record is not None, "each turn begins with one that was started"
            with trio.CancelScope() as self._looking:
                await _ended(record.pid)
            if self._taking_over is not None:
                await self._settled.wait()
            if self._record is not record:  # another one has taken over
                nursery.start_soon(self._bury, record.pid)
                continue
            status = self._status(record.pid)
            self._record = None
            if self._stopping:
                return
            ran_s = trio.current_time() - began_s
            failures = 0 if ran_s >= STEADY_S else failures + 1
            delay_s = restart_delay_s(failures)
            self._report(EnvoyExited(record.pid, status, ran_s, delay_s, self._words.tail()))
            await trio.sleep(delay_s)
            self._record = self._start()
            self.restarts += 1

    async def replace(self) -> bool:
        """Have an Envoy as it would be started now take over from the one that runs; whether it has.

        Call it when the sidecar can serve the new one: it takes over once it has a whole configuration. Cancelling
        leaves that to the next sidecar.
        """
        before = self._record
        if before is None or self._stopping:
            return False
        if before.epoch is None or self.launch.hand_over_s is None:
            self._report(EnvoyNotReplaced(before.pid, "it was started without hot restart"))
            return False
        self._settled = trio.Event()
        try:
            reason = await self._take_over(before, before.epoch + 1)
        finally:
            self._taking_over = None
            self._settled.set()
        if reason:
            self._report(EnvoyNotReplaced(before.pid, reason))
        return not reason

    async def _take_over(self, before: EnvoyRecord, epoch: int) -> str:
        """Start the next one and wait until it serves; why it does not, or empty."""
        launch = self.launch
        _write(launch)
        pid = spawn(launch, epoch)
        after = EnvoyRecord(pid, start_ticks(pid) or 0, launch.digest(), epoch, before)
        after.write(launch.record_file)
        self._taking_over = after
        with trio.move_on_after(TAKE_OVER_S):
            while after.is_running() and not await self._serves(epoch):  # noqa: ASYNC110
                await trio.sleep(POLL_S)
            if after.is_running():
                self._record = dataclasses.replace(after, before=None)
                self._record.write(launch.record_file)
                self.is_outdated = False
                self._older.add(before.pid)
                self._report(EnvoyStarted(pid, adopted=False, took_over=True))
                self._looking.cancel()
                return ""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        await _ended(pid)
        status = self._reap(pid)
        before.write(launch.record_file)
        return f"the new one did not come to serve (status {status}): {self._words.tail()[-500:]}".strip()

    async def _serves(self, epoch: int) -> bool:
        """Whether the Envoy of this epoch answers, and is live."""
        with contextlib.suppress(AgentUnavailable), trio.move_on_after(ADMIN_WITHIN_S):
            info = await self.admin.server_info()
            options = info.get("command_line_options", {})
            return info.get("state") == "LIVE" and int(options.get("restart_epoch", 0)) == epoch
        return False

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
            self._end_older(number)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            with trio.move_on_after(KILL_AFTER_S) as scope:
                await _ended(pid)
            if not scope.cancelled_caught:
                break
        self.launch.record_file.unlink(missing_ok=True)
        self.launch.forget_shared_memory()

    async def _bury(self, pid: int) -> None:
        """See the end of one that was taken over from."""
        await _ended(pid)
        self._reap(pid)
        self._older.discard(pid)

    def _end_older(self, number: signal.Signals) -> None:
        """Signal those that were taken over from and are not done yet, and one that is about to take over."""
        others = set() if self._taking_over is None else {self._taking_over.pid}
        for pid in self._older | others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def _active_requests(self) -> int:
        stats = await self.admin.stats(r"^http\..*\.downstream_rq_active$")
        return sum(value for name, value in stats.items() if not name.startswith("http.admin."))

    def _adopt(self) -> EnvoyRecord | None:
        record = EnvoyRecord.running(self.launch.record_file)
        if record is None:
            return None
        self.is_outdated = record.settings != self.launch.digest()
        self._report(EnvoyStarted(record.pid, adopted=True, outdated=self.is_outdated))
        return record

    def _start(self) -> EnvoyRecord:
        launch = self.launch
        self._end_older(signal.SIGTERM)  # nobody takes over from them any more
        _write(launch)
        launch.admin_socket.unlink(missing_ok=True)
        pid = spawn(launch)
        self.is_outdated = False
        epoch = None if launch.hand_over_s is None else 0
        record = EnvoyRecord(pid, start_ticks(pid) or 0, launch.digest(), epoch)
        try:
            record.write(launch.record_file)
        except OSError as problem:
            os.kill(pid, signal.SIGKILL)  # nobody would ever find it again
            raise InputError(
                f"{launch.record_file} cannot be written: {problem.strerror}",
                hint="Make room for run_dir, or correct its permissions",
            ) from problem
        self._report(EnvoyStarted(pid, adopted=False))
        return record

    def _status(self, pid: int) -> int | None:
        """How the Envoy that was watched ended, as far as it can be known."""
        status = self._reap(pid)
        fault = self._words.fault() if status is None else None
        return status if fault is None else -fault

    def _reap(self, pid: int) -> int | None:
        """The exit status of one of our own children; None for any other (one started as nobody's child included)."""
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if not found:
            return None
        return os.waitstatus_to_exitcode(status)


def _write(launch: EnvoyLaunch) -> None:
    """Write what Envoy reads at its start.

    Raises:
        InputError: It cannot be written.
    """
    try:
        launch.write_files()
    except OSError as problem:
        raise InputError(
            f"{launch.bootstrap_file} cannot be written: {problem.strerror}",
            hint="Make room for run_dir, or correct its permissions",
        ) from problem


def restart_delay_s(failures: int) -> float:
    """Pause before the next start: none after a steady run or the first failure, then doubling from 0.1 s."""
    if failures <= 1:
        return 0.0
    return float(min(BACK_OFF_MAX_S, 0.1 * 2 ** min(failures - 2, 10)))


async def _ended(pid: int) -> None:
    """Return when the process has ended, whoever its parent is (it may still have to be reaped)."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:  # No pidfd in this kernel or sandbox, or no descriptor left.
        while _is_there(pid):  # noqa: ASYNC110 - nothing to wait on here
            await trio.sleep(POLL_S)
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def _is_there(pid: int) -> bool:
    """Whether it has not ended, as far as can be looked at."""
    try:
        return start_ticks(pid) is not None
    except OSError:
        return True
