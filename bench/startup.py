"""From the start of `meshd-sidecar` to the first request routed through its Envoy, and what it then holds in memory.

Two ways to begin, in meshes of several sizes: from etcd with empty directories, and from the last known good with
etcd away. Also how long the program takes to load.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.polling import Poller, wait_until_all_serve
from bench.processes import Processes, Sidecar, wait_for
from bench.published import publish
from bench.report import Report
from store.etcd.cache import NEWEST

__all__ = ["NAME", "SUMMARY", "add_options", "run"]

NAME = "startup"
SUMMARY = (
    "start of a sidecar -> first request routed, from etcd and from the last known good; memory"
)
PAUSE_S = 0.005
"""Pause between questions while it starts: asking without one would take the processor from it."""
START_S = 180.0
"""How long a start may take: on a busy machine, with the largest mesh."""
LAST_GOOD_S = 60.0
"""How long the last known good may take to be on disk."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--services", type=int, nargs="+", default=[10, 1000, 10_000], help="sizes of the mesh"
    )
    parser.add_argument(
        "--times", type=int, default=3, help="starts of each kind; the median counts"
    )


def run(options: argparse.Namespace) -> Report:
    loading = statistics.median(_load_s() for _ in range(options.times))
    values: dict[str, Any] = {"import_ms": round(loading * 1e3, 1)}
    rows: list[tuple[object, ...]] = []
    for services in options.services:
        with tempfile.TemporaryDirectory(prefix="meshd-bench-") as home:
            found = _measure(Path(home), services, options.times)
        values[str(services)] = found
        rows.append((f"{services:,} services", *found.values()))
    return Report(
        values,
        ("start -> served", "from etcd s", "last known good s", "memory MiB"),
        rows,
        (
            "last known good: etcd is down and Envoy has to be started as well",
            f"loading the program takes {values['import_ms']} ms of it",
        ),
    )


def _measure(home: Path, services: int, times: int) -> dict[str, float]:
    from_etcd: list[float] = []
    memory: list[float] = []
    with Processes(home) as processes:
        etcd = processes.etcd()
        publish(etcd, services)
        for number in range(times):
            sidecar = Sidecar(home, f"host-{number}", etcd.endpoint)
            from_etcd.append(_serving_after_s(sidecar, leave_running=True))
            kept = home / "data" / sidecar.node / NEWEST
            wait_for(f"the last known good in {kept}", kept.exists, LAST_GOOD_S)
            memory.append(sidecar.rss_mib())
            sidecar.end()
    # Here etcd has ended.
    sidecar = Sidecar(home, "host-0", etcd.endpoint)
    from_disk = [_serving_after_s(sidecar) for _ in range(times)]
    return {
        "from_etcd_s": round(statistics.median(from_etcd), 3),
        "last_known_good_s": round(statistics.median(from_disk), 3),
        "memory_mib": round(statistics.median(memory), 1),
    }


def _serving_after_s(sidecar: Sidecar, *, leave_running: bool = False) -> float:
    """Seconds from the start of the process to the first answer."""
    began = time.perf_counter()
    sidecar.start()
    try:
        poller = Poller(sidecar.port, START_S)
        served = wait_until_all_serve([poller], 0, pause_s=PAUSE_S, give_up_s=START_S)
        poller.close()
    except BaseException:
        sidecar.end()
        raise
    if not leave_running:
        sidecar.end()
    return served - began


def _load_s() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import sidecar.agent.daemon"], check=True)
    return time.perf_counter() - began
