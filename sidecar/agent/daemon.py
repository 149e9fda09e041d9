"""The daemon: one trio nursery that moves bytes between etcd, the node, Envoy, the disk and people.

    Mirror ─► Node ─► AdsDriver ─► Envoy          (snapshots and desired state)
      ▲         │▲                   │
    etcd        ▼└── in force, NACK, asked ──┘     LastGood, Registrar, status API, systemd

Every task lives in the nursery. An unexpected error ends the daemon loudly; Envoy goes on serving, and the next
daemon attaches to it again.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from sidecar.agent.application import check_application, run_application
from sidecar.agent.collection import Collection
from sidecar.agent.envoy_side import EnvoySide
from sidecar.agent.log import configure, log
from sidecar.agent.notify import Notifier, tell_systemd
from sidecar.agent.run_files import hold_lock
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.stopping import SIGNALS, StopRequest
from store.errors import InputError, MeshError

if TYPE_CHECKING:
    from sidecar.agent.node_shell import NodeShell

__all__ = ["run_daemon"]

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter from the others: Python's 5 ms would hold up a change while the last known
good is packed, and each hand-over from gRPC's threads."""
PRIVATE = 0o700
"""Mode of the directories: what is in them is for this user alone."""
DRAIN_S = 5.0
"""How long requests in flight may take when the daemon leaves with its Envoy."""


def run_daemon(settings: SidecarSettings, app: Sequence[str] = ()) -> int:
    """Run until told to stop (SIGTERM, SIGINT) or until the application ends; returns the exit status.

    Args:
        settings: The effective settings.
        app: Command of an application to run beside the sidecar; empty for none.

    Raises:
        MeshError: The daemon cannot start: a directory, a socket or Envoy is not to be had, or another daemon
            serves this node already.
    """
    collection = Collection()
    sys.setswitchinterval(SWITCH_S)
    configure(settings.log_level, settings.node)
    own, kept = settings.run_dir / settings.node, settings.data_dir / settings.node
    for directory in (own, kept):
        _make_own(directory)
    envoy_side = EnvoySide(settings)
    if app:
        check_application(app)
    # Held for the whole life of the process: a successor must not find half of this one's sockets.
    with hold_lock(own / "sidecar.lock"), hold_lock(kept / "data.lock"):
        try:
            return trio.run(
                _main, settings, tuple(app), envoy_side, collection, strict_exception_groups=True
            )
        except BaseExceptionGroup as group:
            problem = _operating_error(group)
            if problem is None:
                raise
            raise problem from group


def _operating_error(group: BaseExceptionGroup[BaseException]) -> MeshError | None:
    """The first of a group of errors that all are somebody else's fault; None when one is a bug."""
    _, bugs = group.split(MeshError)
    if bugs is not None:
        return None
    one = group.exceptions[0]
    if isinstance(one, BaseExceptionGroup):
        return _operating_error(one)
    return one if isinstance(one, MeshError) else None


def _make_own(directory: Path) -> None:
    """A directory that only this user can open; one that somebody else made is refused (it may be in /tmp)."""
    try:
        directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        directory.mkdir(mode=PRIVATE, exist_ok=True)
        if directory.stat().st_uid != os.geteuid():
            raise InputError(
                f"directory {directory} belongs to another user",
                hint="Set run_dir and data_dir to directories of this user's own",
            )
        if stat.S_IMODE(directory.stat().st_mode) != PRIVATE:
            directory.chmod(PRIVATE)
    except OSError as problem:
        raise InputError(
            f"directory {directory} cannot be made: {problem.strerror}",
            hint="Set run_dir and data_dir to directories that this user may write",
        ) from problem


async def _main(
    settings: SidecarSettings,
    app: tuple[str, ...],
    envoy_side: EnvoySide,
    collection: Collection,
) -> int:
    notifier = Notifier()
    stop = StopRequest()
    status = 0
    failed: InputError | None = None
    with trio.open_signal_receiver(*SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop.listen, signals)
            if not envoy_side.may_run_already():
                await nursery.start(envoy_side.run)
            shell = await _load(settings, envoy_side, collection)
            # Starting waits for nothing that may never come: a signal meanwhile is heeded right after it.
            await nursery.start(shell.run)
            from sidecar.agent.http_api import serve_on

            await nursery.start(
                serve_on, settings.run_dir / settings.node / "status.sock", shell.answers
            )
            nursery.start_soon(tell_systemd, notifier, shell.wait_ready, shell.answers.summary)
            log.info("started", node=settings.node, run_dir=str(settings.run_dir))
            if app:
                try:
                    status = await _beside(app, settings, shell, stop)
                except InputError as problem:
                    failed = problem
            else:
                await stop.wait()
            notifier.stopping()
            log.info("stopping")
            if app or settings.on_stop == "leave":
                await shell.end(DRAIN_S)
            else:
                await shell.stay()
            nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return status


async def _load(
    settings: SidecarSettings,
    envoy_side: EnvoySide,
    collection: Collection,
) -> NodeShell:
    """The daemon's other half. Its modules take a third of a second to load: Envoy starts up meanwhile."""
    try:
        from sidecar.agent.node_shell import NodeShell
        from sidecar.agent.own_address import find_address

        address = await find_address(settings)
        return NodeShell(settings, address, envoy_side, collection)
    except BaseException:
        await envoy_side.abandon()
        raise


async def _beside(
    app: tuple[str, ...], settings: SidecarSettings, shell: NodeShell, stop: StopRequest
) -> int:
    context = settings.effective_contexts()[0]
    return await run_application(
        app,
        f"http://{context.outbound_bind}:{context.outbound_port}",
        stop,
        wait_ready=shell.wait_ready,
        withdraw=partial(shell.withdraw, DRAIN_S),
    )
