"""A real Envoy whose outcomes are watched as the sidecar watches them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sidecar.agent.outcomes import OutcomesSource
from sidecar.agent.outcomes_reports import LoadReported
from sidecar.mesh.model import HostName
from sidecar.node.participants import ObservedCluster
from sidecar.outlier.events import EndpointName
from sidecar.outlier.model import Destination, Outcomes, Place
from sidecar.xds.local_ejections import EjectedUntil
from tests.harness.envoys import Lab
from tests.harness.processes import wait_until_async

__all__ = ["Watched", "destination", "place", "watch"]

WITHIN_S = 20.0
"""How long a report may take on a busy machine."""


def destination(name: str) -> Destination:
    """What a cluster of tests is counted for."""
    return Destination(HostName(name), 80)


def place(port: int) -> Place:
    """A port of loopback."""
    return Place("127.0.0.1", port)


@dataclass
class Watched:
    """Everything that was told, added up."""

    source: OutcomesSource = field(init=False)
    totals: dict[EndpointName, Outcomes] = field(default_factory=dict)
    ejected: EjectedUntil = field(default_factory=dict)
    reports: list[LoadReported] = field(default_factory=list)

    def counted(self, outcomes: Mapping[EndpointName, Outcomes]) -> None:
        """Add what came."""
        for at, more in outcomes.items():
            had = self.totals.get(at, Outcomes())
            self.totals[at] = Outcomes(
                had.ok + more.ok,
                had.external + more.external,
                had.gateway + more.gateway,
                had.local + more.local,
            )

    def ejects(self, until_s: EjectedUntil) -> None:
        """Note what Envoy has ejected."""
        self.ejected = until_s

    async def counting(self) -> None:
        """Wait for a report that comes from now on: a cluster that is new is counted from the next one on."""
        seen = len(self.reports)
        await wait_until_async(
            lambda: any(not report.is_first for report in self.reports[seen:]),
            WITHIN_S,
            "another report of Envoy",
        )

    def of(self, name: str, port: int) -> Outcomes:
        """Everything told of one endpoint."""
        return self.totals.get((destination(name), place(port)), Outcomes())

    async def until(self, name: str, port: int, expected: Outcomes) -> None:
        """Wait until exactly this is counted of an endpoint."""
        await wait_until_async(
            lambda: self.of(name, port) == expected,
            WITHIN_S,
            f"{expected} of {name} at {port}; have {self.totals}",
        )


@asynccontextmanager
async def watch(lab: Lab, **clusters: bool) -> AsyncIterator[Watched]:
    """Watch these clusters of the lab's Envoy, each by name with whether it is one of TCP."""
    watched = Watched()
    source = OutcomesSource(lab.admin, lab.report, watched.counted, watched.ejects)
    watched.source = source
    reports = watched.reports

    def arrived(report: LoadReported) -> None:
        reports.append(report)
        source.arrived(report)

    lab.loads = arrived
    lab.nursery.start_soon(source.run)
    source.observe(
        {
            name: ObservedCluster(destination(name), is_tcp=is_tcp, base_ejection_s=1.0)
            for name, is_tcp in clusters.items()
        }
    )
    # What Envoy does before it has our wish it does not count.
    await wait_until_async(
        lambda: any(not report.is_first for report in reports), WITHIN_S, "a first report of Envoy"
    )
    yield watched
