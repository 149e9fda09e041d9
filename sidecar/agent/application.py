"""`meshd-sidecar run -- APP`: one application beside the sidecar, which ends when the application does.

The application starts when requests can be routed. Told to stop, the sidecar first withdraws the registration,
so that no request comes any more, and only then passes the signal on. The application has a process group of its
own: Ctrl-C in a terminal reaches it through the sidecar, in that order.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Sequence

import trio

from sidecar.agent.log import log
from sidecar.agent.stopping import StopRequest
from store.errors import InputError

__all__ = ["check_application", "run_application"]

SIGNALLED = 128
"""Shells report a process that a signal ended as 128 and its number."""


def check_application(command: Sequence[str]) -> None:
    """See that the application can be started, before anything else is.

    Raises:
        InputError: There is no such program.
    """
    if shutil.which(command[0]) is None:
        raise InputError(
            f'the application "{command[0]}" is no program that can be started',
            hint="Give its path as it is from here, or a name on PATH, after --",
        )


async def run_application(
    command: Sequence[str],
    outbound: str,
    stop: StopRequest,
    *,
    wait_ready: Callable[[], Awaitable[None]],
    withdraw: Callable[[], Awaitable[None]],
) -> int:
    """Run the application to its end; cancelled, it is killed.

    Args:
        command: Program and arguments.
        outbound: URL of the outbound listener, for `MESHD_OUTBOUND`.
        stop: The request to stop.
        wait_ready: Returns when requests can be routed.
        withdraw: Takes the registration back; called once, before the signal is passed on.

    Returns:
        Its exit status, or 128 and the number of the signal that ended it, also when it never started.

    Raises:
        InputError: It cannot be started.
    """
    await _first(wait_ready, stop.wait)
    if stop.is_asked:
        return SIGNALLED + stop.number
    try:
        process = await trio.lowlevel.open_process(
            list(command), env={**os.environ, "MESHD_OUTBOUND": outbound}, process_group=0
        )
    except OSError as problem:
        raise InputError(
            f'the application "{command[0]}" cannot be started: {problem.strerror}'
        ) from problem
    log.info("app_started", command=command[0], pid=process.pid)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pass_on, process, stop, withdraw)
            status = await process.wait()
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
    log.info("app_ended", status=status)
    return status if status >= 0 else SIGNALLED - status


async def _pass_on(
    process: trio.Process, stop: StopRequest, withdraw: Callable[[], Awaitable[None]]
) -> None:
    """Withdraw, then tell the application; a second signal goes to it without waiting any longer."""
    await stop.wait()
    log.info("draining", signal=signal.Signals(stop.number).name)
    await _first(withdraw, stop.wait_again)
    process.send_signal(stop.number)
    while True:
        await stop.wait_again()
        process.send_signal(stop.number)


async def _first(*waits: Callable[[], Awaitable[None]]) -> None:
    """Return when one of them does; the others are cancelled."""
    async with trio.open_nursery() as nursery:

        async def end_with(wait: Callable[[], Awaitable[None]]) -> None:
            await wait()
            nursery.cancel_scope.cancel()

        for wait in waits:
            nursery.start_soon(end_with, wait)
