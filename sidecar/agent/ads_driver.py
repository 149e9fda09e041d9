"""Runs the delta-ADS session: feeds it from the ADS socket and the builder, obeys its effects, keeps its time.

No decision about resources is taken here. Events are handled one after another in trio's thread, in the call
that brings them (`desire` included), so that a change is on its way to Envoy when `desire` returns.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from pathlib import Path

import trio

from sidecar.agent.ads_server import AdsServer, StreamEvent
from sidecar.agent.outcomes_reports import LoadReported, Reporting
from sidecar.xds.events import (
    AskVirtualHosts,
    Desired,
    Effect,
    Event,
    InForce,
    ResourceRejected,
    SendResponse,
    SessionView,
    StreamClosed,
    StreamOpened,
    Tick,
)
from sidecar.xds.resource import DesiredChange
from sidecar.xds.session import REMOVAL_GRACE_S, Session

__all__ = ["AdsDriver", "Report"]

Report = InForce | ResourceRejected | AskVirtualHosts | StreamOpened | StreamClosed
"""What the driver tells its owner: the session's effects that are not messages, and Envoy's coming and going."""


class AdsDriver:
    """One Envoy's session on one socket.

    Args:
        socket_path: Where Envoy finds us.
        report: Called in trio's thread. It may call `desire` (to answer `AskVirtualHosts`, say).
        observe: Sees every event and effect in order, for a log of the dialogue; it must not call back.
        loads: Told of load reports, in trio's thread between its tasks: it must only note them.
        generation: Restart epoch of the Envoy that is to be served; None: any is.
        removal_grace_s: How long a cluster that no route names any more stays at Envoy.
    """

    def __init__(
        self,
        socket_path: Path,
        report: Callable[[Report], None],
        *,
        observe: Callable[[Event | Effect], None] | None = None,
        loads: Callable[[LoadReported], None] | None = None,
        generation: Callable[[], int] | None = None,
        removal_grace_s: float = REMOVAL_GRACE_S,
    ) -> None:
        self._session = Session(removal_grace_s=removal_grace_s)
        self._server = AdsServer(socket_path, self._arrived, loads, generation=generation)
        self._report = report
        self._observe = observe
        self._queue: deque[Event] = deque()
        self._draining = False
        self._wake = trio.Event()
        self._wakes_at_s: float | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; Envoy keeps what it has. `started` when the socket listens."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._server.run)
            task_status.started()
            while True:
                deadline = self._wakes_at_s = self._session.deadline()
                with trio.move_on_at(math.inf if deadline is None else deadline) as scope:
                    await self._wake.wait()
                self._wake = trio.Event()
                if scope.cancelled_caught:
                    self._queue.append(Tick())
                self._drain()

    def desire(self, change: DesiredChange) -> None:
        """Take a new desired state; what can go to Envoy now is queued when this returns."""
        self._queue.append(Desired(change))
        self._drain()
        if self._session.deadline() != self._wakes_at_s:
            self._wake.set()

    def report(self, reporting: Reporting) -> None:
        """Have Envoy report load so from now on; see `loads`."""
        self._server.report(reporting)

    @property
    def rejected(self) -> tuple[ResourceRejected, ...]:
        """What Envoy refuses now; cheaper than all of `view`."""
        return self._session.rejected

    def view(self) -> SessionView:
        """How far Envoy is, for status and metrics."""
        return self._session.snapshot()

    def _arrived(self, event: StreamEvent) -> None:
        # Runs between trio's tasks, where an exception would be an internal error: only note it.
        self._queue.append(event)
        self._wake.set()

    def _drain(self) -> None:
        if self._draining:
            return
        self._draining = True
        try:
            while self._queue:
                event = self._queue.popleft()
                if self._observe is not None:
                    self._observe(event)
                for effect in self._session.handle(event, trio.current_time()):
                    if self._observe is not None:
                        self._observe(effect)
                    if isinstance(effect, SendResponse):
                        self._server.send(effect)
                    else:
                        self._report(effect)
                if isinstance(event, StreamOpened | StreamClosed):
                    self._report(event)
        finally:
            self._draining = False
