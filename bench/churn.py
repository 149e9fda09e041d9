"""A hundred changes a second of every kind while requests flow: none may fail, none may come late, nothing may grow.

One sidecar in a mesh of 1,000 services, 200 requests a second to 50 of them and to a service that hosts register.
Changed are routes, rules (whose clusters are made anew), endpoints and registrations, of services in use and not in
use. Every second a route's change is timed, from before its `put` until Envoy answers with it; the last one comes right
behind the last change.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe, get_context
from pathlib import Path
from typing import Any

from bench.asking import Asker
from bench.churn_load import Answers, send_steadily
from bench.evidence_load import upstream
from bench.processes import Processes, Sidecar, free_port
from bench.processor import cpu_s, rss_mb
from bench.published import PROBE_HOST, probe, probe_key
from bench.report import Report, milliseconds
from bench.scale_mesh import (
    REGISTERED,
    changed_endpoint,
    changed_registration,
    changed_route,
    changed_rule,
    host,
    publish,
)
from store.etcd.client import EtcdClient
from store.transactions import Put

__all__ = ["NAME", "SUMMARY", "Churned", "add_options", "churn", "run"]

NAME = "churn"
SUMMARY = "100 changes a second of every kind while 200 requests a second flow"
IN_USE = 50
"""Services that requests go to."""
TOUCHED = 100
"""Services that are changed: half of them are in use."""
WRITERS = 4
START_S = 120.0
SERVED_S = 30.0
"""When a change that is not in force has failed."""
WARM_SHARE = 0.3
"""Part of the time after which memory must not grow any more."""


@dataclass(frozen=True)
class Churned:
    """What came of it."""

    changes: int
    """Changes made, those that were timed left out."""
    changes_per_s: float
    answers: Answers
    lags_s: list[float]
    """From before the put until served, of one change each second; the last one is that of the last change."""
    sidecar_mb: tuple[float, float]
    """Memory once it was warm, and at the end."""
    envoy_mb: tuple[float, float]
    not_in_force: list[str]
    """Objects quarantined and resources refused in the end."""
    cpu_percent: float
    """Of one processor, used by the sidecar meanwhile."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--services", type=int, default=1000, help="services in the mesh")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--changes", type=float, default=100.0, help="changes a second")
    parser.add_argument("--requests", type=float, default=200.0, help="requests a second")


def run(options: argparse.Namespace) -> Report:
    found = churn(options.services, options.seconds, options.changes, options.requests)
    last_ms = round(found.lags_s[-1] * 1e3, 1)
    values: dict[str, Any] = {
        "changes": found.changes,
        "changes_per_s": round(found.changes_per_s, 1),
        "requests": found.answers.sent,
        "failed_requests": len(found.answers.failures),
        "slowest_request_ms": round(found.answers.slowest_s * 1e3, 1),
        "last_change_in_force_ms": last_ms,
        "change_in_force_ms": milliseconds(found.lags_s),
        "sidecar_rss_mb": dict(zip(("warm", "end"), found.sidecar_mb, strict=True)),
        "envoy_rss_mb": dict(zip(("warm", "end"), found.envoy_mb, strict=True)),
        "not_in_force": len(found.not_in_force),
        "sidecar_cpu_percent": round(found.cpu_percent, 1),
    }
    notes = ["targets: no failed request, the last change in force within 100 ms, memory flat"]
    notes += [*found.answers.failures[:5], *found.not_in_force[:5]]
    return Report(
        values, ("what", "found"), [(name, str(value)) for name, value in values.items()], notes
    )


def churn(services: int, seconds: float, changes: float, requests: float) -> Churned:
    """Run it once."""
    port = free_port()
    server = get_context("spawn").Process(target=upstream, args=(port,), daemon=True)
    server.start()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="meshd-bench-") as home,
            Processes(Path(home)) as processes,
        ):
            etcd = processes.etcd()
            publish(etcd, services, port)
            for number in range(10):
                _write(etcd, changed_registration(number, port))
            etcd.put(probe_key(), probe(0))
            sidecar = processes.sidecar("churn", etcd.endpoint)
            return _churn(etcd, sidecar, port, seconds, changes, requests)
    finally:
        server.kill()
        server.join()


def _churn(
    etcd: EtcdClient, sidecar: Sidecar, port: int, seconds: float, changes: float, requests: float
) -> Churned:
    asker = Asker(sidecar.port, START_S)
    hosts = [host(number) for number in range(IN_USE)] + [REGISTERED]
    for name in (PROBE_HOST, *hosts):
        asker.until_served(name, START_S)
    lags: list[float] = []
    warm: tuple[float, float] | None = None
    with _requests(sidecar.port, hosts, requests) as answers:
        before, began = cpu_s(sidecar.pid), time.monotonic()
        with ThreadPoolExecutor(WRITERS) as writers:
            made = writers.map(
                lambda first: _write_steadily(etcd, port, first, changes / WRITERS, seconds),
                range(WRITERS),
            )
            while time.monotonic() - began < seconds - 0.5:
                lags.append(_lag(etcd, asker, len(lags) + 1))
                if warm is None and time.monotonic() - began > WARM_SHARE * seconds:
                    warm = _memory(sidecar)
                time.sleep(max(0.0, began + len(lags) - time.monotonic()))
            total = sum(made)
        took = time.monotonic() - began
        lags.append(_lag(etcd, asker, len(lags) + 1))
        used = cpu_s(sidecar.pid) - before
        end = _memory(sidecar)
        found = answers()
    asker.close()
    warm = warm or end
    return Churned(
        total,
        total / took,
        found,
        lags,
        (warm[0], end[0]),
        (warm[1], end[1]),
        _not_in_force(sidecar),
        100 * used / took,
    )


@contextmanager
def _requests(port: int, hosts: list[str], rate: float) -> Iterator[Callable[[], Answers]]:
    """Requests from another process; what is yielded ends them and tells what became of them."""
    here, there = Pipe()
    process = get_context("spawn").Process(
        target=send_steadily, args=(port, hosts, rate, there), daemon=True
    )
    process.start()

    def end() -> Answers:
        here.send("stop")
        found = here.recv()
        assert isinstance(found, Answers)
        return found

    try:
        yield end
    finally:
        process.kill()
        process.join()
        here.close()
        there.close()


def _write_steadily(etcd: EtcdClient, port: int, first: int, rate: float, seconds: float) -> int:
    """Make changes of all kinds in turn; returns how many."""
    began = time.monotonic()
    count = 0
    while time.monotonic() - began < seconds:
        number = first + count * WRITERS
        _write(etcd, _change(number, port))
        count += 1
        time.sleep(max(0.0, began + count / rate - time.monotonic()))
    return count


def _change(number: int, port: int) -> Put:
    which, kind = number // 4 % TOUCHED, number // WRITERS % 4
    match kind:
        case 0:
            return changed_route(which, number)
        case 1:
            return changed_rule(which, number)
        case 2:
            return changed_endpoint(which, number, port)
        case _:
            return changed_registration(number // 4, port)


def _write(etcd: EtcdClient, put: Put) -> None:
    etcd.put(put.key, put.value)


def _lag(etcd: EtcdClient, asker: Asker, number: int) -> float:
    """Seconds from before a put until Envoy answers with it."""
    began = time.perf_counter()
    etcd.put(probe_key(), probe(number))
    wanted, end = str(number).encode(), time.monotonic() + SERVED_S
    while asker.asked(PROBE_HOST)[1] != wanted:
        if time.monotonic() > end:
            raise TimeoutError(f"change {number} was not in force within {SERVED_S:g} s")
        time.sleep(0.001)
    return time.perf_counter() - began


def _not_in_force(sidecar: Sidecar) -> list[str]:
    status = sidecar.status()
    return [
        *(row["object"] for row in status["quarantined"]),
        *(row["name"] for row in status["rejected"]),
    ]


def _memory(sidecar: Sidecar) -> tuple[float, float]:
    return round(rss_mb(sidecar.pid), 1), round(rss_mb(sidecar.envoy_pid()), 1)
