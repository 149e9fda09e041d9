"""The source of outcomes with an Envoy that is scripted; the real one is in tests/e2e/test_evidence_outcomes.py."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.outcomes import EVERY_S, WAITING_MAX, OutcomesSource
from sidecar.agent.outcomes_reports import EndpointLoad, LoadReported, Reporting
from sidecar.mesh.model import HostName
from sidecar.node.participants import ObservedCluster
from sidecar.outlier.events import EndpointName
from sidecar.outlier.model import Destination, Outcomes, Place
from sidecar.xds.local_ejections import EjectedUntil
from store.errors import AgentUnavailable

ONE = Place("10.0.0.1", 80)


def destination(name: str) -> Destination:
    return Destination(HostName(name), 80)


def bad(cluster: str, errors: int = 1) -> EndpointLoad:
    return EndpointLoad(cluster, ONE, errors=errors, begun=errors)


class ScriptedAdmin(AdminClient):
    """An admin interface that answers from what a test says."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.asked: list[str] = []
        self.timeouts: dict[str, int] = {}
        self.ejected: set[str] = set()
        self.takes_s = 0.0
        self.others = 0
        self.is_away = False

    async def clusters(self, pattern: str = "") -> Any:
        self.asked.append(pattern)
        await trio.sleep(self.takes_s)
        if self.is_away:
            raise AgentUnavailable("away")
        names = [re.sub(r"\\(.)", r"\1", name) for name in pattern[2:-2].split("|")]
        return {"cluster_statuses": [self._cluster(name) for name in names]}

    def _cluster(self, name: str) -> dict[str, Any]:
        host = {
            "address": {"socket_address": {"address": ONE.address, "port_value": ONE.port}},
            "stats": [{"name": "rq_timeout", "value": str(self.timeouts.get(name, 0))}],
            "health_status": {"failed_outlier_check": name in self.ejected},
        }
        more = [
            {
                "address": {
                    "socket_address": {"address": f"10.9.{n // 250}.{n % 250}", "port_value": 1}
                }
            }
            for n in range(self.others)
        ]
        return {"name": name, "host_statuses": [host, *more]}


@dataclass
class Bench:
    """A source at work and what it told."""

    admin: ScriptedAdmin = field(default_factory=ScriptedAdmin)
    wishes: list[Reporting] = field(default_factory=list)
    told: list[Mapping[EndpointName, Outcomes]] = field(default_factory=list)
    ejected: list[EjectedUntil] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = OutcomesSource(
            self.admin, self.wishes.append, self.told.append, self.ejected.append
        )

    async def observe(self, *names: str) -> None:
        self.source.observe({name: ObservedCluster(destination(name)) for name in names})
        await trio.sleep(1)

    async def report(self, *loads: EndpointLoad, first: bool = False) -> None:
        self.source.arrived(LoadReported(1, loads, first))
        await trio.sleep(EVERY_S)


@asynccontextmanager
async def working() -> AsyncIterator[Bench]:
    bench = Bench()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.source.run)
        yield bench
        nursery.cancel_scope.cancel()


async def test_envoy_is_asked_once_for_clusters_that_come_together(
    autojump_clock: MockClock,
) -> None:
    async with working() as bench:
        for names in (("a",), ("a", "b"), ("b", "c")):
            bench.source.observe({name: ObservedCluster(destination(name)) for name in names})
            await trio.sleep(0.01)
        await trio.sleep(1)
        assert bench.wishes == [Reporting(("b", "c"), EVERY_S)]
        bench.source.observe({name: ObservedCluster(destination(name)) for name in "cb"})
        await trio.sleep(1)
        assert len(bench.wishes) == 1
        await bench.observe()
        assert bench.wishes[-1].clusters == ()


async def test_in_a_healthy_mesh_nothing_but_reports_is_looked_at(
    autojump_clock: MockClock,
) -> None:
    async with working() as bench:
        await bench.observe("a")
        await bench.report(EndpointLoad("a", ONE, ok=2, begun=2))
        assert len(bench.admin.asked) == 1, "the first look"
        for _ in range(5):
            await bench.report(EndpointLoad("a", ONE, ok=2, begun=2))
        assert len(bench.admin.asked) == 1
        assert bench.told == [{(destination("a"), ONE): Outcomes(ok=2)}] * 6
        await bench.report()
        assert len(bench.told) == 6, "nothing is told of nothing"


async def test_errors_are_looked_into_where_they_are(autojump_clock: MockClock) -> None:
    async with working() as bench:
        await bench.observe("a", "b")
        await bench.report(first=True)
        bench.admin.asked.clear()
        bench.admin.timeouts["b"] = 2
        await bench.report(EndpointLoad("a", ONE, ok=1, begun=1), bad("b", 3))
        assert bench.admin.asked == ["^(b)$"]
        assert bench.told[-1] == {
            (destination("a"), ONE): Outcomes(ok=1),
            (destination("b"), ONE): Outcomes(external=1, local=2),
        }


async def test_an_admin_interface_that_is_away_or_hangs_costs_only_the_kinds(
    autojump_clock: MockClock,
) -> None:
    async with working() as bench:
        await bench.observe("a")
        bench.admin.is_away = True
        await bench.report(bad("a"))
        bench.admin.is_away, bench.admin.takes_s = False, 1000.0
        await bench.report(bad("a"))
        await trio.sleep(5)
        assert bench.told == [{(destination("a"), ONE): Outcomes(external=1)}] * 2
        assert bench.source.failed_looks == 2


async def test_a_slow_look_is_followed_by_another_when_it_costs_little(
    autojump_clock: MockClock,
) -> None:
    """Else a host on a busy machine would not see for seconds what its Envoy has ejected."""
    async with working() as bench:
        await bench.observe("a")
        bench.admin.takes_s = 0.2
        for _ in range(20):
            await bench.report(bad("a"))
        assert len(bench.admin.asked) >= 10


async def test_looking_takes_a_twentieth_of_the_time_at_most(autojump_clock: MockClock) -> None:
    async with working() as bench:
        await bench.observe("a")
        bench.admin.takes_s, bench.admin.others = 0.2, 9_999
        began_s = trio.current_time()
        for _ in range(40):
            await bench.report(bad("a"))
        took_s = trio.current_time() - began_s
        assert len(bench.admin.asked) * 0.2 <= took_s / 20 + 0.4
        assert sum(one[destination("a"), ONE].external for one in bench.told) == 40


async def test_what_is_ejected_is_watched_until_it_returns(autojump_clock: MockClock) -> None:
    async with working() as bench:
        await bench.observe("a", "b")
        await bench.report(first=True)
        bench.admin.ejected.add("a")
        await bench.report(bad("a"))
        (until_s,) = bench.ejected[-1].values()
        assert list(bench.ejected[-1]) == [("a", ONE)]
        assert until_s == pytest.approx(trio.current_time() + 30, abs=2)
        for _ in range(3):
            await bench.report()
        assert len(bench.ejected) == 1
        assert bench.admin.asked[-1] == "^(a)$"
        bench.admin.ejected.clear()
        await bench.report()
        assert bench.ejected[-1] == {}
        asked = len(bench.admin.asked)
        await bench.report()
        assert len(bench.admin.asked) == asked


async def test_after_another_start_of_either_side_everything_is_looked_at_again(
    autojump_clock: MockClock,
) -> None:
    async with working() as bench:
        names = [f"c{number:03}" for number in range(120)]
        await bench.observe(*names)
        bench.admin.ejected.add("c119")
        await bench.report(first=True)
        assert bench.source.unseen
        for _ in range(4):
            await bench.report()
        assert not bench.source.unseen
        assert list(bench.ejected[-1]) == [("c119", ONE)]
        asked = len(bench.admin.asked)
        await bench.report(first=True)
        assert len(bench.admin.asked) > asked


async def test_reports_beyond_what_may_wait_are_lost_and_counted() -> None:
    bench = Bench()
    for _ in range(WAITING_MAX + 3):
        bench.source.arrived(LoadReported(1, (bad("a"),)))
    assert bench.source.lost == 3
