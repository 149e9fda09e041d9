"""The daemon: one trio nursery that moves bytes between etcd, the node, Envoy, the disk and people.

    Mirror ─► Node ─► AdsDriver ─► Envoy          (snapshots and desired state)
      ▲         │▲                   │
    etcd        ▼└── in force, NACK, asked ──┘     LastGood, Registrar, status API, systemd

Every task lives in the nursery. An unexpected error ends the daemon loudly; Envoy goes on serving, and the next
daemon attaches to it again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from sidecar.agent.envoy import find_envoy
from sidecar.agent.http_api import serve_on
from sidecar.agent.log import configure, log
from sidecar.agent.node_shell import NodeShell
from sidecar.agent.notify import Notifier
from sidecar.agent.settings import SidecarSettings
from store.errors import InputError, MeshError

__all__ = ["run_daemon"]

DRAIN_S = 5.0
"""How long requests in flight may take when the daemon leaves with its Envoy."""


def run_daemon(settings: SidecarSettings, app: Sequence[str] = ()) -> int:
    """Run until told to stop (SIGTERM, SIGINT) or until the application ends; returns the exit status.

    Args:
        settings: The effective settings.
        app: Command of an application to run beside the sidecar; empty for none.

    Raises:
        MeshError: The daemon cannot start: a directory, a socket or Envoy is not to be had.
    """
    configure(settings.log_level, settings.node)
    _make_private(settings.run_dir, 0o755)
    _make_private(settings.run_dir / settings.node, 0o700)
    _make_private(settings.data_dir, 0o755)
    _make_private(settings.data_dir / settings.node, 0o700)
    if settings.envoy.managed:
        find_envoy(settings.envoy.path)
    try:
        return trio.run(_main, settings, tuple(app), strict_exception_groups=True)
    except* MeshError as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[MeshError]) -> MeshError:
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one


def _make_private(path: Path, mode: int) -> None:
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(
            f"directory {path} cannot be made: {problem.strerror}",
            hint="set run_dir and data_dir to directories that this user may write",
        ) from problem


async def _main(settings: SidecarSettings, app: tuple[str, ...]) -> int:
    shell = NodeShell(settings)
    notifier = Notifier()
    status = 0
    async with trio.open_nursery() as nursery:
        await nursery.start(shell.run)
        await nursery.start(serve_on, settings.run_dir / settings.node / "status.sock", shell)
        nursery.start_soon(_tell_systemd, shell, notifier)
        log.info("started", node=settings.node, run_dir=str(settings.run_dir))
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            if app:
                status = await _run_app(app, settings, shell, signals)
            else:
                await signals.__anext__()
        notifier.stopping()
        log.info("stopping")
        await shell.leave(DRAIN_S if app else 0.0)
        nursery.cancel_scope.cancel()
    return status


async def _tell_systemd(shell: NodeShell, notifier: Notifier) -> None:
    await shell.wait_ready()
    notifier.ready(shell.summary())
    while notifier.watchdog_s:
        notifier.alive()
        notifier.status(shell.summary())
        await trio.sleep(notifier.watchdog_s / 2)


async def _run_app(
    app: tuple[str, ...], settings: SidecarSettings, shell: NodeShell, signals: object
) -> int:
    """Run the application once requests can be routed; pass signals on; end when it does."""
    await shell.wait_ready()
    context = settings.effective_contexts()[0]
    proxy = f"http://{context.outbound_bind}:{context.outbound_port}"
    environment = {**os.environ, "MESHD_OUTBOUND": proxy}
    try:
        process = subprocess.Popen(app, env=environment)  # noqa: ASYNC220 - a fork, over at once
    except OSError as problem:
        raise InputError(
            f'the application "{app[0]}" cannot be started: {problem.strerror}'
        ) from problem
    log.info("app_started", command=app[0], pid=process.pid)
    ended = trio.Event()
    status = 0

    async def wait() -> None:
        nonlocal status
        status = await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        ended.set()

    async def forward() -> None:
        async for number in signals:  # type: ignore[attr-defined]
            log.info("draining", signal=signal.Signals(number).name)
            await shell.leave(DRAIN_S)
            process.send_signal(number)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(forward)
            await ended.wait()
            nursery.cancel_scope.cancel()
    finally:
        if process.poll() is None:
            process.kill()
    log.info("app_ended", status=status)
    sys.stdout.flush()
    return status if status >= 0 else 128 - status
