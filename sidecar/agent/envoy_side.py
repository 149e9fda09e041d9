"""Envoy as one thing: its process, its ADS session and its admin socket.

Opened before the rest of the daemon is loaded, so that Envoy starts up while the sidecar imports its other half and
reads the last known good. What Envoy's side says before there is somebody to listen is kept, and told in order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import trio

from sidecar.agent.envoy import EnvoyEvent, EnvoyProcess
from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.launch import envoy_launch
from sidecar.agent.settings import SidecarSettings

if TYPE_CHECKING:
    from sidecar.agent.ads_driver import AdsDriver, Report
    from sidecar.agent.outcomes_reports import LoadReported
    from sidecar.xds.events import Effect as SessionEffect
    from sidecar.xds.events import Event as SessionEvent

__all__ = ["EnvoySide", "Listener"]


class Listener(Protocol):
    """Who is told what happens; always called in trio's thread."""

    def reported(self, report: Report) -> None:
        """The session: its effects that are not messages, Envoy's coming and going."""

    def observed(self, said: SessionEvent | SessionEffect) -> None:
        """Every event and effect of the session, in order; it must not call back."""

    def loads_reported(self, report: LoadReported) -> None:
        """Envoy reported load; called between trio's tasks, so it is only noted."""

    def process_event(self, event: EnvoyEvent) -> None:
        """The process started or ended."""


class EnvoySide:
    """This host's Envoy.

    Args:
        settings: The effective settings.

    Raises:
        NotFoundError: The sidecar is to start Envoy, and there is none.
    """

    def __init__(self, settings: SidecarSettings) -> None:
        self._run_dir = settings.run_dir / settings.node
        self.admin = AdminClient(self._run_dir / "admin.sock")
        """Asks Envoy about itself."""
        self.process: EnvoyProcess | None = None
        """The process; None where somebody else runs Envoy."""
        if settings.envoy.managed:
            self.process = EnvoyProcess(envoy_launch(settings), self._process_event)
        self._listener: Listener | None = None
        self._early: list[Callable[[Listener], None]] = []
        self.is_open = False
        """Whether `run` was called."""

    @cached_property
    def driver(self) -> AdsDriver:
        """The ADS session."""
        # gRPC and the messages take a tenth of a second to load; Envoy starts up meanwhile.
        from sidecar.agent.ads_driver import AdsDriver

        return AdsDriver(
            self._run_dir / "ads.sock",
            self._reported,
            observe=self._observed,
            loads=self._loads_reported,
            generation=None if self.process is None else self._generation,
        )

    def _generation(self) -> int:
        return 0 if self.process is None else self.process.generation

    def may_run_already(self) -> bool:
        """Whether an Envoy may run already: this sidecar's last, or one that a unit of its own starts."""
        return self.process is None or self.process.is_running_already()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run Envoy and serve it until cancelled; `started` when Envoy can connect. The second call does nothing.

        Raises:
            InputError: The socket cannot be listened on, or Envoy cannot be started.
        """
        if self.is_open:
            task_status.started()
            return
        self.is_open = True
        async with trio.open_nursery() as nursery:
            if self.process is not None:
                await nursery.start(self.process.run)
            await nursery.start(self.driver.run)
            task_status.started()

    async def renew(self, wait_ready: Callable[[], Awaitable[None]]) -> None:
        """Replace an Envoy that was started with other settings, or is another program, once it can be done unnoticed.

        Args:
            wait_ready: Returns when a whole configuration is in force: the next one gets it at once.
        """
        if self.process is not None and self.process.is_outdated:
            await wait_ready()
            await self.process.replace()

    async def abandon(self) -> None:
        """End an Envoy that was started for a daemon that cannot go on; one that ran before is left alone."""
        if self.is_open and self.process is not None:
            with trio.CancelScope(shield=True):
                await self.process.stop(0.0)

    def listen(self, listener: Listener) -> None:
        """Tell `listener` from now on, and what was said before first."""
        while self._early:
            self._early.pop(0)(listener)
        self._listener = listener

    def _reported(self, report: Report) -> None:
        self._tell(lambda listener: listener.reported(report))

    def _observed(self, said: SessionEvent | SessionEffect) -> None:
        self._tell(lambda listener: listener.observed(said))

    def _loads_reported(self, report: LoadReported) -> None:
        self._tell(lambda listener: listener.loads_reported(report))

    def _process_event(self, event: EnvoyEvent) -> None:
        self._tell(lambda listener: listener.process_event(event))

    def _tell(self, tell: Callable[[Listener], None]) -> None:
        if self._listener is None:
            self._early.append(tell)
        else:
            tell(self._listener)
