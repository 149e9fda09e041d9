"""What it costs to see the outcomes of each endpoint's requests: Envoy's load reports beside polling `/clusters`.

One Envoy with N clusters of 10 endpoints, 200 requests a second over 50 of them (or none), and either source at the
same freshness. Counted is the processor time of Envoy, and of this process in the sidecar's place, each less what it
used with no source at all.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from bench.evidence_load import load
from bench.report import Report
from sidecar.agent.ads_driver import AdsDriver
from sidecar.agent.envoy import EnvoyProcess
from sidecar.agent.envoy_program import EnvoyLaunch, find_envoy
from sidecar.agent.outcomes_admin import readings
from sidecar.agent.outcomes_reports import LoadReported, Reporting
from sidecar.xds import protos as pb
from sidecar.xds.bootstrap import BootstrapSettings, bootstrap_json
from sidecar.xds.compile.encoding import ads, duration, packed
from sidecar.xds.resource import DesiredChange, Resource, TypeUrl

__all__ = ["NAME", "SUMMARY", "add_options", "run"]

NAME = "evidence"
SUMMARY = "processor time of load reports beside that of polling /clusters"

ENDPOINTS = 10
CLUSTERS_IN_USE = 50
RATE = 200.0
SETTLE_S = 1.0


@dataclass
class Cost:
    """Processor time, in percent of one processor, and what was told a second."""

    envoy: float
    sidecar: float
    told: float


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clusters", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--every", type=float, nargs="*", default=[0.25, 0.5, 1.0], help="seconds")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")


def run(options: argparse.Namespace) -> Report:
    found: dict[str, Any] = {}
    rows: list[tuple[Any, ...]] = []
    for clusters in options.clusters:
        measured = trio.run(_measure, clusters, tuple(options.every), options.seconds)
        found[str(clusters)] = {
            name: {"envoy_percent": cost.envoy, "sidecar_percent": cost.sidecar}
            for name, cost in measured.items()
        }
        rows += [
            (clusters, name, cost.envoy, cost.sidecar, cost.told) for name, cost in measured.items()
        ]
    return Report(
        found,
        ("clusters", "source", "Envoy %", "sidecar %", "told /s"),
        rows,
        ("percent of one processor beyond what the same takes without a source",),
    )


async def _measure(clusters: int, every: Iterable[float], seconds: float) -> dict[str, Cost]:
    async with _bed(clusters) as bed:
        measured = {}
        for busy in (False, True):
            bed.traffic(busy=busy)
            await trio.sleep(SETTLE_S)
            base = await bed.cost(_nothing, seconds)
            for every_s in every:
                for name, source in (("reports", bed.reports), ("admin", bed.polls)):
                    cost = await bed.cost(partial(source, every_s), seconds)
                    label = f"{name} {every_s:g} s {'busy' if busy else 'idle'}"
                    measured[label] = Cost(
                        round(cost.envoy - base.envoy, 2),
                        round(cost.sidecar - base.sidecar, 2),
                        round(cost.told, 1),
                    )
        return measured


async def _nothing() -> None:
    await trio.sleep_forever()


class _Bed:
    """An Envoy with its clusters, and this process in the place of its sidecar."""

    def __init__(self, directory: Path, clusters: int, upstream_port: int) -> None:
        admin = directory / "admin.sock"
        bootstrap = bootstrap_json(
            BootstrapSettings("bench", str(directory / "ads.sock"), str(admin))
        )
        launch = EnvoyLaunch(find_envoy(), directory, directory / "log", bootstrap, admin)
        self.process = EnvoyProcess(launch, lambda _: None)
        self.driver = AdsDriver(directory / "ads.sock", lambda _: None, loads=self._reported)
        self.names = [
            f"outbound|80||service-{n}.default.svc.cluster.local" for n in range(clusters)
        ]
        self.port = _free_port()
        self._upstream_port = upstream_port
        self._told = 0
        self._busy: Any = None

    async def start(self, nursery: trio.Nursery) -> None:
        """Bring Envoy up with everything."""
        await nursery.start(self.driver.run)
        await nursery.start(self.process.run)
        upserts: dict[TypeUrl, dict[str, Resource]] = {}
        for number, name in enumerate(self.names):
            for made in (_cluster(name), _endpoints(name, number, self._upstream_port)):
                upserts.setdefault(made.type_url, {})[name] = made
        upserts[TypeUrl.LISTENER] = {"in": _listener(self.port, self.names[:CLUSTERS_IN_USE])}
        self.driver.desire(DesiredChange("bench", upserts))
        with trio.fail_after(120):
            while self.driver.view().in_force != "bench":  # noqa: ASYNC110 - another process's state
                await trio.sleep(0.05)

    def traffic(self, *, busy: bool) -> None:
        """Requests to the clusters in use, from another process, or none."""
        if self._busy is not None:
            self._busy.kill()
            self._busy.join()
            self._busy = None
        if busy:
            context = multiprocessing.get_context("spawn")
            hosts = [f"h{n}" for n in range(min(CLUSTERS_IN_USE, len(self.names)))]
            self._busy = context.Process(target=load, args=(self.port, hosts, RATE), daemon=True)
            self._busy.start()

    async def cost(self, source: Callable[[], Awaitable[None]], seconds: float) -> Cost:
        """What a source costs while it runs."""
        assert self.process.pid is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source)
            await trio.sleep(SETTLE_S)
            self._told = 0
            began, envoy, own = time.monotonic(), _cpu_s(self.process.pid), time.process_time()
            await trio.sleep(seconds)
            took = time.monotonic() - began
            cost = Cost(
                100 * (_cpu_s(self.process.pid) - envoy) / took,
                100 * (time.process_time() - own) / took,
                self._told / took,
            )
            nursery.cancel_scope.cancel()
        self.driver.report(Reporting())
        return cost

    async def reports(self, every_s: float) -> None:
        """Load reports of all clusters."""
        self.driver.report(Reporting(tuple(sorted(self.names)), every_s))
        await trio.sleep_forever()

    async def polls(self, every_s: float) -> None:
        """The admin interface, read as a whole."""
        while True:
            began = trio.current_time()
            self._told += len(readings(await self.process.admin.clusters()))
            await trio.sleep(max(0.0, every_s - (trio.current_time() - began)))

    def _reported(self, report: LoadReported) -> None:
        self._told += len({load.cluster for load in report.loads})


@asynccontextmanager
async def _bed(clusters: int) -> AsyncIterator[_Bed]:
    from bench.evidence_load import upstream

    context = multiprocessing.get_context("spawn")
    port = _free_port()
    server = context.Process(target=upstream, args=(port,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory(prefix="evidence-") as directory:
        async with trio.open_nursery() as nursery:
            bed = _Bed(Path(directory), clusters, port)
            try:
                await bed.start(nursery)
                yield bed
            finally:
                bed.traffic(busy=False)
                server.kill()
                with trio.CancelScope(shield=True):
                    await bed.process.stop(0)
            nursery.cancel_scope.cancel()


def _cluster(name: str) -> Resource:
    cluster = pb.Cluster(name=name, type=pb.Cluster.EDS, connect_timeout=duration(1))
    cluster.eds_cluster_config.eds_config.CopyFrom(ads(5))
    return _made(TypeUrl.CLUSTER, name, cluster)


def _endpoints(name: str, number: int, port: int) -> Resource:
    group = pb.LocalityLbEndpoints()
    for position in range(number * ENDPOINTS, (number + 1) * ENDPOINTS):
        address = f"127.{1 + position // 62500}.{position // 250 % 250}.{1 + position % 250}"
        place = group.lb_endpoints.add().endpoint.address.socket_address
        place.address, place.port_value = address, port
    return _made(
        TypeUrl.ENDPOINTS, name, pb.ClusterLoadAssignment(cluster_name=name, endpoints=[group])
    )


def _listener(port: int, clusters: Iterable[str]) -> Resource:
    manager = pb.HttpConnectionManager(stat_prefix="in")
    for number, cluster in enumerate(clusters):
        host = manager.route_config.virtual_hosts.add(name=f"h{number}", domains=[f"h{number}"])
        route = host.routes.add()
        route.match.prefix = "/"
        route.route.cluster = cluster
    router = manager.http_filters.add(name="envoy.filters.http.router")
    router.typed_config.CopyFrom(packed(pb.Router()))
    listener = pb.Listener(name="in")
    listener.address.socket_address.address = "127.0.0.1"
    listener.address.socket_address.port_value = port
    chain = listener.filter_chains.add().filters.add(
        name="envoy.filters.network.http_connection_manager"
    )
    chain.typed_config.CopyFrom(packed(manager))
    return _made(TypeUrl.LISTENER, "in", listener)


def _made(kind: TypeUrl, name: str, message: Any) -> Resource:
    body = message.SerializeToString(deterministic=True)
    return Resource(kind, name, hashlib.blake2b(body, digest_size=8).hexdigest(), body)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
