"""The evidence of this host's own Envoy: how requests to each endpoint end, and what its detector has ejected.

Load reports come twice a second over the socket of ADS, for the clusters that take part alone; a mesh in which none
does pays nothing. What they cannot tell is asked of the admin interface, of those clusters only that have errors,
ejections or connections of TCP. Measured in docs/xds.md (Evidence).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import trio

from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.outcomes_admin import CLUSTERS_A_LOOK_MAX, Readings, look
from sidecar.agent.outcomes_counting import EjectionClock, OutcomeCounter
from sidecar.agent.outcomes_reports import LoadReported, Reporting
from sidecar.node.participants import ObservedCluster
from sidecar.outlier.events import EndpointName
from sidecar.outlier.model import Outcomes
from sidecar.xds.local_ejections import EjectedUntil
from store.errors import AgentUnavailable

__all__ = ["EVERY_S", "OutcomesSource"]

EVERY_S = 0.5
"""How often Envoy reports: evidence is at most this old."""
SETTLE_S = 0.1
"""Clusters that come within this time are asked for together: each wish names all of them."""
WAITING_MAX = 64
"""Reports that may wait while Envoy's admin interface is asked; the oldest are lost beyond, and counted."""
LOOK_WITHIN_S = 1.0
"""How long one look may take; what it would have told is then missing, and errors count as external."""
LOOK_SHARE = 20
"""Looking takes Envoy at most one part in so many of the time."""
ENDPOINT_COST_S = 20e-6
"""What Envoy takes to tell of one endpoint (measured, docs/xds.md)."""
REST_SHARE = 2
"""After a look that took long, Envoy is left alone for so many times as long: it, or the machine, is busy."""


class OutcomesSource:
    """Watches one Envoy.

    Args:
        admin: Its admin interface.
        report: Has Envoy report load (`AdsDriver.report`).
        counted: Told what came since the last time, never of nothing.
        ejected: Told all that Envoy's own detector has ejected, whenever that changes.
    """

    def __init__(
        self,
        admin: AdminClient,
        report: Callable[[Reporting], None],
        counted: Callable[[Mapping[EndpointName, Outcomes]], None],
        ejected: Callable[[EjectedUntil], None],
    ) -> None:
        self._admin = admin
        self._report = report
        self._counted = counted
        self._ejected = ejected
        self._clusters: Mapping[str, ObservedCluster] = {}
        self._reporting = Reporting()
        self._counter = OutcomeCounter()
        self._clock = EjectionClock()
        self._waiting: deque[LoadReported] = deque(maxlen=WAITING_MAX)
        self._unseen: set[str] = set()
        self._look_again_s = float("-inf")
        self._wake = trio.Event()
        self.lost = 0
        """Reports that were lost because looking took too long."""
        self.failed_looks = 0
        """Looks at the admin interface that it did not answer."""

    def observe(self, clusters: Mapping[str, ObservedCluster]) -> None:
        """Watch these clusters from now on, by name, in the place of those before."""
        self._unseen = (self._unseen | (clusters.keys() - self._clusters.keys())) & clusters.keys()
        self._clusters = clusters
        self._counter.observe(clusters)
        self._wake.set()

    @property
    def reporting(self) -> Reporting:
        """What Envoy is asked to report."""
        return self._reporting

    @property
    def unseen(self) -> frozenset[str]:
        """Clusters whose counters were never looked at: older failures are not told from fresh ones there."""
        return frozenset(self._unseen)

    def arrived(self, report: LoadReported) -> None:
        """Note a report; may be called between trio's tasks."""
        self.lost += len(self._waiting) == WAITING_MAX
        self._waiting.append(report)
        self._wake.set()

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            await self._ask()
            if self._waiting:
                await self._take()

    async def _ask(self) -> None:
        """Tell Envoy what to report on, when that has changed."""
        if self._reporting.clusters != tuple(sorted(self._clusters)):
            await trio.sleep(SETTLE_S)
            self._reporting = Reporting(tuple(sorted(self._clusters)), EVERY_S)
            self._report(self._reporting)

    async def _take(self) -> None:
        reports = list(self._waiting)
        self._waiting.clear()
        if any(report.is_first for report in reports):
            self._unseen = set(self._clusters)  # Another Envoy, or one that we knew nothing of yet.
        loads = [load for report in reports for load in report.loads]
        found = await self._look(self._counter.suspects(loads))
        outcomes = self._counter.count(loads, found)
        if self._clock.read(found, self._clusters, trio.current_time()):
            self._ejected(self._clock.until())
        if outcomes:
            self._counted(outcomes)

    async def _look(self, suspects: frozenset[str]) -> Readings:
        """Look at the suspects, at what is ejected, then at what was never looked at, as far as they fit."""
        if trio.current_time() < self._look_again_s:
            return {}
        wanted = [*sorted(suspects), *sorted(self._clock.clusters()), *sorted(self._unseen)]
        names = list(dict.fromkeys(wanted))[:CLUSTERS_A_LOOK_MAX]
        if not names:
            return {}
        began_s = trio.current_time()
        found: Readings | None = None
        try:
            with trio.move_on_after(LOOK_WITHIN_S):
                found = await look(self._admin, names)
        except AgentUnavailable:
            pass
        took_s = trio.current_time() - began_s
        # What it took says less than what it cost: a busy machine would be blind for twenty times as long.
        cost_s = ENDPOINT_COST_S * sum(len(rows) for rows in (found or {}).values())
        rest_s = max(cost_s * LOOK_SHARE, took_s * REST_SHARE)
        self._look_again_s = trio.current_time() + rest_s
        if found is None:
            self.failed_looks += 1
            return {}
        self._unseen.difference_update(names)
        return found
