"""What a sidecar costs in meshes of 100, 1,000 and 10,000 services: its start, its memory, a change, a cold request.

Real etcd, sidecar and Envoy; each service has a ServiceEntry with ten endpoints, a DestinationRule with three subsets
and a VirtualService. Processor time is the kernel's, of all threads of the sidecar, over many changes 5 ms apart, less
what it uses when nothing happens; bytes are those that Envoy received from it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.asking import Asker
from bench.evidence_load import upstream
from bench.processes import Processes, Sidecar, free_port, wait_for
from bench.processor import cpu_s, rss_mb
from bench.report import Report, milliseconds
from bench.scale_mesh import changed_endpoint, changed_route, host, publish
from sidecar.xds.bootstrap import ADS_CLUSTER
from store.etcd.client import EtcdClient
from store.transactions import Put

__all__ = ["NAME", "SUMMARY", "add_options", "run"]

NAME = "scale"
SUMMARY = "start, memory, one change, a cold request: in meshes of 100 to 10,000 services"
USED = 100
"""Services in use."""
COLD = 200
"""Further services asked for the first time, so that the last percent is more than one request."""
GAP_S = 0.005
"""From one change to the next: 200 a second, which is more than a mesh has."""
TAKEN_IN = "meshd_config_compile_seconds_count"
"""The sidecar's count of states that it took in: one for each change, unless it was too slow to take each by itself."""
START_S = 120.0
LAST_S = 0.5
"""Within which the last change of many is in force."""
REST_S = 120.0
"""How long it may take until nothing is left to do: the last known good is written at leisure."""
RECEIVED = f"cluster.{ADS_CLUSTER}.upstream_cx_rx_bytes_total"
"""Envoy's counter of what its sidecar sent it."""
TARGETS = (
    "targets at 10,000 services: first request 3 s, Envoy 150 MB, sidecar 200 MB, change 3 ms and at most 1.5 times "
    "that at 100 services, cold request p50 15 ms, change of an unused object 0.5 ms, idle 0.5 %"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--services", type=int, nargs="+", default=[100, 1000, 10_000], help="sizes of the mesh"
    )
    parser.add_argument("--starts", type=int, default=3, help="starts; the median counts")
    parser.add_argument("--changes", type=int, default=1000, help="changes of each kind")
    parser.add_argument("--idle", type=float, default=8.0, help="seconds of doing nothing")


def run(options: argparse.Namespace) -> Report:
    port = free_port()
    server = get_context("spawn").Process(target=upstream, args=(port,), daemon=True)
    server.start()
    try:
        found = {str(services): _mesh(services, port, options) for services in options.services}
    finally:
        server.kill()
        server.join()
    columns = ("services", *next(iter(found.values())), "cold p99 ms")
    rows = [
        (
            f"{int(services):,}",
            *(value["p50"] if isinstance(value, dict) else value for value in one.values()),
            one["cold_request_ms"]["p99"],
        )
        for services, one in found.items()
    ]
    notes = ["cold_request_ms is the median", TARGETS, *_ratio(found)]
    return Report({"services": found}, columns, rows, notes)


def _ratio(found: dict[str, Any]) -> Iterable[str]:
    sizes = sorted(found, key=int)
    if len(sizes) > 1:
        small, large = (found[size]["change_cpu_ms"] for size in (sizes[0], sizes[-1]))
        yield f"a change costs {large / small:.2f} times at {sizes[-1]} services what it costs at {sizes[0]}"


def _mesh(services: int, port: int, options: argparse.Namespace) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="meshd-bench-") as home,
        Processes(Path(home)) as processes,
    ):
        etcd = processes.etcd()
        publish(etcd, services, port)
        starts = []
        for number in range(options.starts):
            began = time.perf_counter()
            sidecar = processes.sidecar(f"host-{number}", etcd.endpoint)
            asker = Asker(sidecar.port, START_S)
            processes.callback(asker.close)
            asker.until_served(host(0), START_S)
            starts.append(time.perf_counter() - began)
            if number + 1 < options.starts:
                sidecar.end()
        measured = _Measured(services, port, etcd, sidecar, asker, options)
        return {
            "first_request_s": round(statistics.median(starts), 3),
            **measured.all(),
            "changes_taken_together": measured.together,
        }


class _Measured:
    """What one running sidecar shows."""

    def __init__(
        self,
        services: int,
        port: int,
        etcd: EtcdClient,
        sidecar: Sidecar,
        asker: Asker,
        options: argparse.Namespace,
    ) -> None:
        self._services = services
        self._port = port
        self._etcd = etcd
        self._sidecar = sidecar
        self._asker = asker
        self._changes: int = options.changes
        self._idle_s: float = options.idle
        self.together = 0
        """Changes that were taken in together with another: their cost is understated."""

    def all(self) -> dict[str, Any]:
        """Everything, in the order of the table."""
        used = min(USED, self._services)
        cold = [self._asker.timed(host(number)) for number in range(1, used)]
        self._settle()
        memory = {
            "envoy_rss_mb": round(rss_mb(self._sidecar.envoy_pid()), 1),
            "sidecar_rss_mb": round(rss_mb(self._sidecar.pid), 1),
        }
        further = range(used, min(used + COLD, self._services - 1))
        cold += [self._asker.timed(host(number)) for number in further]
        self._settle()
        idle = self._idle()
        route = self._cost(lambda number: changed_route(number % used, number), idle)
        wait_for("the last change", lambda: self._asker.asked(host(self._last(used)))[1] == self._n)
        moved = self._cost(lambda number: changed_endpoint(number % used, number, self._port), idle)
        unused = self._cost(lambda number: changed_route(self._services - 1, number), idle)
        return {
            **memory,
            "change_cpu_ms": route[0],
            "endpoint_change_cpu_ms": moved[0],
            "change_bytes": route[1],
            "endpoint_change_bytes": moved[1],
            "unused_change_cpu_ms": unused[0] if used < self._services else None,
            "idle_cpu_percent": round(100 * idle, 3),
            "cold_request_ms": milliseconds(cold),
        }

    @property
    def _n(self) -> bytes:
        return str(self._changes - 1).encode()

    def _last(self, used: int) -> int:
        return (self._changes - 1) % used

    def _settle(self) -> None:
        """Until there is nothing left to do: what was put off is checked, the last known good is written."""
        wait_for("the sidecar's rest", self._rests, REST_S, every_s=0.5)

    def _rests(self) -> bool:
        try:
            status = self._sidecar.status()
        except OSError:
            return False  # requests are routed a moment before the status API listens
        return not status["config"]["unchecked"] and not status["last_known_good"]["pending"]

    def _idle(self) -> float:
        """Share of one processor that the sidecar uses when nothing happens."""
        before, began = cpu_s(self._sidecar.pid), time.perf_counter()
        time.sleep(self._idle_s)
        return (cpu_s(self._sidecar.pid) - before) / (time.perf_counter() - began)

    def _cost(self, change: Callable[[int], Put], idle: float) -> tuple[float, int]:
        """Milliseconds of processor time and bytes to Envoy of one change."""
        self._settle()
        pid = self._sidecar.pid
        received, taken = self._sidecar.envoy_counter(RECEIVED), self._sidecar.metric(TAKEN_IN)
        before, began = cpu_s(pid), time.perf_counter()
        for number in range(self._changes):
            put = change(number)
            self._etcd.put(put.key, put.value)
            time.sleep(max(0.0, began + (number + 1) * GAP_S - time.perf_counter()))
        time.sleep(LAST_S)
        used = cpu_s(pid) - before - idle * (time.perf_counter() - began)
        taken = self._sidecar.metric(TAKEN_IN) - taken
        self.together += self._changes - round(taken)
        received = self._sidecar.envoy_counter(RECEIVED) - received
        return round(used * 1e3 / self._changes, 3), round(received / self._changes)
