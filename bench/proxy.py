"""Requests a second and their latency through our Envoy as the sidecar configures it, beside other proxies.

The same Envoy with the least configuration that forwards, written by hand; the same again with the request metrics that
ours counts by default; nginx; Traefik; and two of ours, one behind the other, beside two by hand. One worker each, one
server behind all, 32 connections with one request under way on each, HTTP/1.1 and HTTP/2 without TLS. Contenders take
turns in rounds; figures are medians over the rounds, ratios medians of each round's ratio, so that a machine that gets
slower or faster meanwhile favours nobody.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contenders import (
    Contender,
    bare_envoy,
    counting,
    envoy_of_sidecar,
    nginx,
    publish_service,
    server,
    traefik,
    two_bare_envoys,
    two_sidecars,
)
from bench.h2load import PROTOCOLS, WARM_S, Load, Missing, load
from bench.processes import Processes
from bench.processor import cpu_s
from bench.report import Report
from bench.traefik import Unavailable

__all__ = ["NAME", "SUMMARY", "add_options", "run"]

NAME = "proxy"
SUMMARY = "requests a second through our Envoy, a bare one, nginx and Traefik; through two sidecars"
NO_METRICS = '[telemetry]\nmetrics = "off"\n'
"""Settings of the sidecar that is compared with the least configuration: the same features."""
OURS = ("meshd", "meshd_with_metrics", "two_sidecars")
BY_HAND = ("bare_envoy", "bare_envoy_with_metrics", "two_bare_envoys")
"""What each of ours is compared with."""


@dataclass(frozen=True)
class Sample:
    """One contender in one round."""

    load: Load
    cpu_us: float
    """Processor time of the proxy for each request, in microseconds, by the kernel."""


Samples = Mapping[str, Sequence[Sample]]
"""Samples of each contender, one for each round."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=7, help="rounds; medians count")
    parser.add_argument("--seconds", type=float, default=1.2, help="length of each measurement")


def run(options: argparse.Namespace) -> Report:
    notes: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="meshd-bench-") as home,
        Processes(Path(home)) as processes,
    ):
        try:
            contenders = _contenders(processes, notes)
            found = {
                protocol: _rounds(contenders, protocol, options, processes.home)
                for protocol in PROTOCOLS
            }
        except Missing as problem:
            return Report(dict.fromkeys(PROTOCOLS), ("nothing",), (), (str(problem),))
    values: dict[str, Any] = {name: _single(samples) for name, samples in found.items()}
    values["two_sidecars"] = {
        name: _compared(samples, "two_sidecars", "two_bare_envoys")
        for name, samples in found.items()
    }
    notes.append(
        "targets: ratio_to_bare_envoy at least 0.95; ratios are of each of ours to the same features by hand"
    )
    return Report(values, _COLUMNS, list(_rows(found)), notes)


def _contenders(processes: Processes, notes: list[str]) -> list[Contender]:
    upstream, etcd = server(processes), processes.etcd()
    publish_service(etcd, upstream)
    loggers = counting()
    contenders = [
        bare_envoy(processes, "bare_envoy", upstream),
        envoy_of_sidecar(processes, etcd, "meshd", NO_METRICS),
        bare_envoy(processes, "bare_envoy_with_metrics", upstream, loggers),
        envoy_of_sidecar(processes, etcd, "meshd_with_metrics"),
        two_bare_envoys(processes, upstream, loggers),
        two_sidecars(processes, etcd, upstream),
    ]
    for make in (nginx, traefik):
        try:
            contenders.append(make(processes, upstream))
        except (Missing, Unavailable) as problem:
            notes.append(f"{make.__name__} was not measured: {problem}")
    return contenders


def _rounds(
    contenders: Sequence[Contender], protocol: str, options: argparse.Namespace, home: Path
) -> Samples:
    samples: dict[str, list[Sample]] = {one.name: [] for one in contenders}
    for number in range(options.rounds):
        # There and back, so that nobody always comes after the same neighbour.
        for one in contenders if number % 2 else reversed(contenders):
            samples[one.name].append(_sample(one, protocol, options.seconds, home / "h2load.log"))
    return samples


def _sample(one: Contender, protocol: str, seconds: float, log: Path) -> Sample:
    before = sum(map(cpu_s, one.pids))
    done = load(one.port_of(protocol), one.host, protocol, seconds, log)
    used = sum(map(cpu_s, one.pids)) - before
    return Sample(done, used / (done.rps * (seconds + WARM_S)) * 1e6)


def _single(samples: Samples) -> dict[str, Any]:
    others = {
        f"{name}_rps": _median([one.load.rps for one in samples[name]]) if name in samples else None
        for name in ("nginx", "traefik")
    }
    return {
        **_compared(samples, "meshd", "bare_envoy"),
        **others,
        "with_metrics": _compared(samples, "meshd_with_metrics", "bare_envoy_with_metrics"),
    }


def _compared(samples: Samples, ours: str, by_hand: str) -> dict[str, float]:
    pairs = list(zip(samples[ours], samples[by_hand], strict=True))
    return {
        "meshd_rps": _median([one.load.rps for one, _ in pairs]),
        "bare_envoy_rps": _median([other.load.rps for _, other in pairs]),
        "ratio_to_bare_envoy": _median([one.load.rps / other.load.rps for one, other in pairs], 3),
        "p99_ratio_to_bare_envoy": _median(
            [one.load.p99_ms / other.load.p99_ms for one, other in pairs], 3
        ),
        "meshd_cpu_us": _median([one.cpu_us for one, _ in pairs], 1),
        "bare_envoy_cpu_us": _median([other.cpu_us for _, other in pairs], 1),
        "cpu_ratio_to_bare_envoy": _median([one.cpu_us / other.cpu_us for one, other in pairs], 3),
    }


_COLUMNS = ("proxy", "protocol", "requests/s", "ratio", "p50 ms", "p99 ms", "CPU us/request")


def _rows(found: Mapping[str, Samples]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for protocol, samples in found.items():
        for name, own in samples.items():
            other = dict(zip(OURS, BY_HAND, strict=True)).get(name)
            ratio = (
                None if other is None else _compared(samples, name, other)["ratio_to_bare_envoy"]
            )
            rows.append(
                (
                    name,
                    protocol,
                    round(_median([one.load.rps for one in own])),
                    ratio,
                    _median([one.load.p50_ms for one in own], 3),
                    _median([one.load.p99_ms for one in own], 3),
                    _median([one.cpu_us for one in own], 1),
                )
            )
    return rows


def _median(values: Sequence[float], digits: int = 1) -> float:
    return round(statistics.median(values), digits)
