"""What sharing evidence saves: one of ten endpoints breaks, and failures are counted until the last sidecar avoids it.

Real sidecars with their Envoys on one machine, twice: with gossip, and the same without it. Requests are Poisson,
retries are off, evidence is at most half a second old. Beside them stands an ideal observer: the same rule, but every
failure of the run without gossip is known to all at once. Each (fault, rate) has a service of its own, so that runs do
not touch.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import IO, Any

import trio

from bench.eject_world import ENDPOINTS, address
from bench.processes import Processes, Sidecar, free_port
from bench.report import Report
from sidecar.agent.envoy_admin import AdminClient
from store.codec import encode
from store.errors import AgentUnavailable
from store.etcd.client import EtcdClient

__all__ = ["NAME", "SUMMARY", "Run", "add_options", "ideal_failures", "run"]

NAME = "eject"
SUMMARY = "failures until the last sidecar avoids a broken endpoint, with and without gossip"

FAULTS = ("5xx", "hang", "refused")
WARM_S = 3.0
"""Requests before the fault: all sidecars use the destination, as they do in a mesh that lives."""
POLL_S = 0.1
"""How often the Envoys are asked whether they avoid the endpoint."""
GIVE_UP_S = 150.0
"""A fault that is not avoided by all within this time ends the run; the table then says the time as it is."""
AFTER_S = 1.5
"""Requests under way when the last sidecar avoids the endpoint may still fail: they count."""
DETECTOR_FAILURES = 5
"""Envoy's own detector: failures in a row."""
PREFIX = "/meshd/v1/"
MODEL_SHARES = {("5xx", 0.3): 0.25, ("5xx", 1.0): 0.57, ("5xx", 3.0): 0.98, ("5xx", 10.0): 1.0}
"""Failures as a share of those alone in the model that the rule was first tried in (`bench.ejection_tables`)."""


@dataclass(frozen=True)
class Run:
    """One fault at one rate."""

    failures: Sequence[tuple[int, float]]
    """(sidecar, seconds since the fault) of each request that failed."""
    avoided_s: float
    """When the last sidecar avoided the endpoint."""
    false_ejections: int
    """Other endpoints left out, over all sidecars."""
    sent: int
    """Requests in all, from the warm-up on."""
    failed_before: int = 0
    """Requests that failed before the fault: the machine could not keep up, and the figures say nothing."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sidecars", type=int, default=12)
    parser.add_argument(
        "--rates",
        type=float,
        nargs="*",
        default=[0.3, 1.0, 3.0, 10.0],
        help="requests a second for each sidecar and endpoint",
    )
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=FAULTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--runs",
        type=int,
        default=1,
        help="runs of each fault at each rate; figures are their means: one run varies by a fifth",
    )


def run(options: argparse.Namespace) -> Report:
    cases = [(fault, rate) for fault in options.faults for rate in options.rates]
    found: dict[bool, dict[tuple[str, float], list[Run]]] = {}
    for gossip in (True, False):
        with tempfile.TemporaryDirectory(prefix="eject-") as home, Processes(Path(home)) as started:
            several = cases * options.runs
            fleet = Fleet(started, options.sidecars, several, gossip=gossip, seed=options.seed)
            found[gossip] = trio.run(fleet.measure)
    return _report(options, cases, found[True], found[False])


def ideal_failures(alone: Run, sidecars: int) -> int:
    """Failures until an observer that sees all at once has seen enough.

    Enough is what the rule wants: two failures in a row at two sidecars, at three where there are ten or more.
    """
    quorum = 3 if sidecars >= 10 else 2
    seen: dict[int, int] = {}
    for count, (sidecar, _) in enumerate(sorted(alone.failures, key=lambda row: row[1]), start=1):
        seen[sidecar] = seen.get(sidecar, 0) + 1
        if sum(1 for times in seen.values() if times >= 2) >= quorum:
            return count
    return len(alone.failures)


class Fleet:
    """Sidecars of one kind, the endpoints behind them, and their clients.

    Args:
        started: Where processes are started.
        sidecars: How many.
        cases: (fault, rate): each gets a service; one that stands there twice is measured twice.
        gossip: Whether they gossip.
        seed: For the requests.
    """

    def __init__(
        self,
        started: Processes,
        sidecars: int,
        cases: Sequence[tuple[str, float]],
        *,
        gossip: bool,
        seed: int,
    ) -> None:
        self._cases = cases
        self._gossip = gossip
        self._home = started.home
        ports = [free_port() for _ in cases]
        self._endpoints = _spawn(started, "endpoints", ports)
        assert _line(self._endpoints.stdout).strip() == "ready"
        etcd = started.etcd()
        _publish(etcd, cases, ports)
        url = etcd.settings.endpoints[0]
        self.sidecars = [
            started.sidecar(f"h{n}", url, _options(started.home, n, gossip=gossip))
            for n in range(sidecars)
        ]
        self._clients = _spawn(started, "clients", [seed, *(one.port for one in self.sidecars)])
        self._admins = [
            AdminClient(_run_dir(started.home, one) / "admin.sock") for one in self.sidecars
        ]

    async def measure(self) -> dict[tuple[str, float], list[Run]]:
        """Every case, one after another."""
        with trio.fail_after(180):
            await self._ready()
        found: dict[tuple[str, float], list[Run]] = {}
        for number, case in enumerate(self._cases):
            found.setdefault(case, []).append(await self._case(number, *case))
        return found

    async def _ready(self) -> None:
        """All clusters are there, and all members know each other."""
        for number in range(len(self._cases)):
            await _until(partial(self._uses_all, number))
        for one in self.sidecars if self._gossip else ():
            await _until(partial(self._knows_all, one))

    async def _uses_all(self, number: int) -> bool:
        return await self._healthy(number) == [ENDPOINTS] * len(self.sidecars)

    async def _knows_all(self, sidecar: Sidecar) -> bool:
        status = AdminClient(_run_dir(self._home, sidecar) / "status.sock")
        try:
            members = json.loads(await status.get("/v1/status"))["gossip"].get("members", {})
        except AgentUnavailable:
            return False
        return bool(members.get("alive") == len(self.sidecars) - 1)

    async def _is_avoided(self, number: int) -> bool:
        return max(await self._healthy(number)) < ENDPOINTS

    async def _case(self, number: int, fault: str, rate: float) -> Run:
        host = _host(number)
        _tell(self._clients, f"go {host} {rate * ENDPOINTS}")
        await trio.sleep(WARM_S)
        _tell(self._endpoints, f"{number} {fault}")
        broke_s = float(await trio.to_thread.run_sync(_line, self._endpoints.stdout))
        avoided_s = GIVE_UP_S
        with trio.move_on_after(GIVE_UP_S):
            await _until(partial(self._is_avoided, number))
            avoided_s = time.monotonic() - broke_s
        await trio.sleep(AFTER_S)
        healthy = await self._healthy(number)
        _tell(self._clients, "stop")
        sent, failures = json.loads(await trio.to_thread.run_sync(_line, self._clients.stdout))
        _tell(self._endpoints, f"{number} ok")
        await trio.to_thread.run_sync(_line, self._endpoints.stdout)
        return Run(
            [(int(who), when - broke_s) for who, when in failures if when >= broke_s],
            avoided_s,
            sum(max(0, ENDPOINTS - 1 - count) for count in healthy),
            int(sent),
            sum(1 for _, when in failures if when < broke_s),
        )

    async def _healthy(self, number: int) -> list[int]:
        """Endpoints that each Envoy uses for a case; 0 while it does not know the cluster."""
        name = re.escape(f"cluster.outbound|80||{_host(number)}.membership_healthy")
        counts = []
        for admin in self._admins:
            try:
                counts.append(sum((await admin.stats(f"^{name}$")).values()))
            except AgentUnavailable:
                counts.append(0)
        return counts


async def _until(is_so: Callable[[], Awaitable[bool]]) -> None:
    while not await is_so():  # noqa: ASYNC110 - states of other processes
        await trio.sleep(POLL_S)


def _report(
    options: argparse.Namespace,
    cases: Sequence[tuple[str, float]],
    shared: dict[tuple[str, float], list[Run]],
    alone: dict[tuple[str, float], list[Run]],
) -> Report:
    faults: dict[str, dict[str, Any]] = {}
    rows: list[tuple[object, ...]] = []
    for fault, rate in cases:
        one, other = shared[fault, rate], alone[fault, rate]
        ideal = fmean(ideal_failures(each, options.sidecars) for each in other)
        failures, failures_alone = (
            fmean(len(each.failures) for each in several) for several in (one, other)
        )
        avoided_s, alone_s = (fmean(each.avoided_s for each in several) for several in (one, other))
        share = failures / max(1.0, failures_alone)
        model = MODEL_SHARES.get((fault, rate))
        values = {
            "failures": round(failures, 1),
            "failures_alone": round(failures_alone, 1),
            "last_avoids_s": round(avoided_s, 2),
            "last_avoids_alone_s": round(alone_s, 2),
            "false_ejections": sum(each.false_ejections for each in one),
            "failures_ideal": round(ideal, 1),
            "share": round(share, 3),
            "share_model": model,
            "failures_each_run": [len(each.failures) for each in one],
            "failed_before": sum(each.failed_before for each in (*one, *other)),
        }
        faults.setdefault(fault, {})[f"{rate:g}"] = values
        rows.append(
            (
                f"{fault} at {rate:g}",
                values["failures"],
                values["failures_alone"],
                values["failures_ideal"],
                f"{share:.0%}",
                "-" if model is None else f"{model:.0%}",
                avoided_s,
                alone_s,
                values["false_ejections"],
            )
        )
    busy = [
        f"{fault} at {rate:g}"
        for fault, rate in cases
        if faults[fault][f"{rate:g}"]["failed_before"]
    ]
    notes = [
        "rate: requests a second for each sidecar and endpoint; failures: seen by users, without retries",
        f"alone, each Envoy needs {DETECTOR_FAILURES} failures in a row: {DETECTOR_FAILURES * options.sidecars} in all",
        "at 10 there is nothing to gain: Envoy's own detector is done before evidence has travelled",
        "model: the study behind the defaults, 30 proxies, answers of 5xx, hold-off of one poll",
    ]
    if busy:
        notes.append(
            f"requests failed before the fault, this machine could not keep up: {', '.join(busy)}"
        )
    measured = ("failures", "alone", "ideal", "share", "model", "last s", "alone s", "false")
    found = {"sidecars": options.sidecars, "runs": options.runs, "faults": faults}
    return Report(found, ("fault", *measured), rows, notes)


def _options(home: Path, number: int, *, gossip: bool) -> str:
    keys = home / "gossip.keys"
    if not keys.exists():
        keys.touch(mode=0o600)
        keys.write_text(base64.b64encode(b"k" * 32).decode() + "\n", encoding="utf-8")
    state = "on" if gossip else "off"
    return (
        f'address = "127.0.1.{number + 1}"\n'
        f'[gossip]\nenabled = "{state}"\nkey_file = "{keys}"\nport = 0\n'
    )


def _publish(etcd: EtcdClient, cases: Sequence[tuple[str, float]], ports: Sequence[int]) -> None:
    for number, (port, _) in enumerate(zip(ports, cases, strict=True)):
        host, name = _host(number), f"s{number}"
        places = [{"address": address(n), "ports": {"http": port}} for n in range(ENDPOINTS)]
        web = {"number": 80, "name": "http", "protocol": "HTTP"}
        entry = {"hosts": [host], "ports": [web], "resolution": "STATIC", "endpoints": places}
        detection = {
            "consecutive5xxErrors": DETECTOR_FAILURES,
            "baseEjectionTime": "300s",
            "maxEjectionPercent": 50,
        }
        policy = {"loadBalancer": {"simple": "RANDOM"}, "outlierDetection": detection}
        route = {
            "route": [{"destination": {"host": host}}],
            "timeout": "1s",
            "retries": {"attempts": 0},
        }
        _put(etcd, "ServiceEntry", "serviceentries", name, entry)
        _put(
            etcd,
            "DestinationRule",
            "destinationrules",
            name,
            {"host": host, "trafficPolicy": policy},
        )
        _put(etcd, "VirtualService", "virtualservices", name, {"hosts": [host], "http": [route]})


def _put(etcd: EtcdClient, kind: str, plural: str, name: str, spec: dict[str, Any]) -> None:
    document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }
    etcd.put(f"{PREFIX}ns/default/{plural}/{name}", encode(document))


def _host(number: int) -> str:
    return f"s{number}.example.com"


def _run_dir(home: Path, sidecar: Sidecar) -> Path:
    return home / "run" / sidecar.node


def _spawn(started: Processes, role: str, words: Sequence[int]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.eject_world", role, *map(str, words)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    started.callback(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    with process:  # waits, and closes the pipes
        process.kill()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    line = stream.readline()
    if not line:
        raise RuntimeError("a process of the bench ended before its time")
    return line
