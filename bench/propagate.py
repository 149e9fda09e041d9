"""From the acknowledged put to the first answer with the new route, through real etcd, sidecar and Envoy.

Each change alters one header of one route in a mesh of 1,000 services; the proxy is asked over one kept connection
without a pause until the answer has it. Beside it in the same run: the last of 12 sidecars on this machine, and
Traefik with its etcd provider, at its default throttle and with the throttle off.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from bench.polling import Poller, timed_changes, wait_until_all_serve
from bench.processes import Processes, Sidecar
from bench.published import probe, probe_key, publish
from bench.report import Report, milliseconds
from bench.traefik import Unavailable, measure_traefik

__all__ = ["NAME", "SUMMARY", "add_options", "run"]

NAME = "propagate"
SUMMARY = "put acknowledged -> new route served, beside Traefik with its etcd provider"
START_S = 180.0
"""How long the sidecars may take to start, all at once on one machine."""
LAST_OF_PAUSE_S = 0.0005
"""Pause between questions to many proxies: asking without one would take the processors from them."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--services", type=int, default=1000, help="services in the mesh")
    parser.add_argument(
        "--changes", type=int, default=300, help="changes measured with one sidecar"
    )
    parser.add_argument(
        "--hosts", type=int, default=12, help="sidecars for the last-of row; 0: skip"
    )
    parser.add_argument("--host-changes", type=int, default=100, help="changes measured with those")
    parser.add_argument(
        "--traefik-changes", type=int, default=30, help="changes measured with Traefik; 0: skip"
    )


def run(options: argparse.Namespace) -> Report:
    notes: list[str] = []
    found: dict[str, list[float] | None] = {
        "meshd": None,
        "traefik_default": None,
        "traefik_unthrottled": None,
        "meshd_last_of_12": None,
    }
    with tempfile.TemporaryDirectory(prefix="meshd-bench-") as home:
        found["meshd"] = measure(Path(home), 1, options.services, options.changes)
    if options.hosts:
        with tempfile.TemporaryDirectory(prefix="meshd-bench-") as home:
            found["meshd_last_of_12"] = measure(
                Path(home), options.hosts, options.services, options.host_changes
            )
        if options.hosts != 12:
            notes.append(f"meshd_last_of_12 was measured with {options.hosts} sidecars")
    if options.traefik_changes:
        for key, throttle in (("traefik_default", None), ("traefik_unthrottled", "0s")):
            try:
                with tempfile.TemporaryDirectory(prefix="meshd-bench-") as home:
                    found[key] = measure_traefik(
                        Path(home), options.services, options.traefik_changes, throttle
                    )
            except Unavailable as problem:
                notes.append(f"{key} was not measured: {problem}")
    else:
        notes.append("Traefik was not measured: --traefik-changes 0")
    return _report(found, options.services, notes)


def measure(home: Path, hosts: int, services: int, changes: int) -> list[float]:
    """Seconds from put to served by the last of so many sidecars, for each change."""
    with Processes(home) as processes:
        etcd = processes.etcd()
        publish(etcd, services)
        sidecars = [processes.sidecar(f"host-{number}", etcd.endpoint) for number in range(hosts)]
        pollers = [_serving(sidecar) for sidecar in sidecars]
        return timed_changes(
            lambda number: etcd.put(probe_key(), probe(number)),
            pollers,
            changes,
            pause_s=LAST_OF_PAUSE_S if hosts > 1 else 0.0,
        )


def _serving(sidecar: Sidecar) -> Poller:
    poller = Poller(sidecar.port, START_S)
    wait_until_all_serve([poller], 0, give_up_s=START_S)
    return poller


def _report(found: dict[str, list[float] | None], services: int, notes: list[str]) -> Report:
    values: dict[str, Any] = {}
    rows: list[tuple[object, ...]] = []
    for key, samples in found.items():
        quantiles: dict[str, float] | None = None if samples is None else milliseconds(samples)
        values[key] = None if quantiles is None else {"put_to_served_ms": quantiles}
        shown = (quantiles["p50"], quantiles["p99"]) if quantiles else (None, None)
        rows.append((key, len(samples or ()), *shown))
    notes[:0] = [
        f"a mesh of {services:,} services, a change 10 to 30 ms after the one before is served",
        "targets of meshd: p50 5 ms, p99 20 ms",
        "Traefik's default throttle holds back a change within 2 s of another; one after a quiet time goes unthrottled",
    ]
    return Report(values, ("put -> served", "changes", "p50 ms", "p99 ms"), rows, notes)
