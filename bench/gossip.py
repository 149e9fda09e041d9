"""Gossip of 30 members beside 30 agents of serf (Debian's package, LAN profile, encrypted), on one machine at one time.

Ours are lean processes that run the sidecar's gossip alone. Both probe once a second. Killed members (SIGKILL) are
started again before the next one is killed; meshd's and serf's are killed in turn. Bytes and packets are counted by a
packet socket on loopback, headers and TCP's acknowledgements included, for both alike; per member, sent (as much comes
in). Processor time is the kernel's, per member. A larger mesh is simulated: `bench gossip-scale` says more.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.gossip_fleets import Fleet, MeshdProgram, Program, SerfProgram
from bench.gossip_scale import simulate_losses
from bench.loopback import Loopback
from bench.report import Report

__all__ = ["NAME", "SUMMARY", "add_options", "run"]

NAME = "gossip"
SUMMARY = "gossip of 30 members beside serf: detection, join, bytes, CPU; larger meshes simulated"
SETTLE_S = 20.0
"""After joining, before idle is measured: news of the join are told by then."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--members", type=int, default=30, help="processes of each program")
    parser.add_argument("--kills", type=int, default=10, help="members killed, of each program")
    parser.add_argument("--joins", type=int, default=3, help="joins of all; the median counts")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds of idleness measured")
    parser.add_argument(
        "--simulate",
        type=int,
        nargs="*",
        default=[100, 1000, 5000],
        help="sizes simulated, after the processes have ended; 5000 take a quarter of an hour",
    )
    parser.add_argument("--minutes", type=float, help="virtual minutes simulated at each loss")


def run(options: argparse.Namespace) -> Report:
    notes = [
        "idle: each member, sent; headers included; counted on loopback by a packet socket for both",
        "dead at all: from SIGKILL until the last other member says so",
    ]
    with tempfile.TemporaryDirectory(prefix="meshd-bench-") as home:
        programs: dict[str, Program] = {"meshd": MeshdProgram(Path(home))}
        if shutil.which("serf") is None:
            notes.append("serf is not installed (Debian: apt-get install serf): it is left out")
        else:
            programs["serf"] = SerfProgram()
        measured = _measure(programs, Path(home), options)
    values: dict[str, Any] = {"meshd": None, "serf": None, **measured}
    values["simulated"] = _simulate(options.simulate, options.minutes)
    return Report(values, _COLUMNS, _rows(measured), notes)


def _simulate(sizes: Sequence[int], minutes: float | None) -> dict[str, Any]:
    """Each size at 0, 10 and 30 % loss; one process each, the longest first."""
    if not sizes:
        return {}
    with ProcessPoolExecutor(min(len(sizes), os.cpu_count() or 1)) as pool:
        running = {
            size: pool.submit(simulate_losses, size, minutes=minutes)
            for size in sorted(sizes, reverse=True)
        }
        return {str(size): running[size].result() for size in sizes}


def _measure(
    programs: Mapping[str, Program], home: Path, options: argparse.Namespace
) -> dict[str, Any]:
    joins: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(options.joins - 1):
        for name, program in programs.items():
            fleet = Fleet(program, home, options.members)
            try:
                fleet.start()
                joins[name].append(fleet.join())
            finally:
                fleet.close()
    with ExitStack() as stack:
        loopback = Loopback()
        stack.callback(loopback.close)
        fleets: dict[str, Fleet] = {}
        for name, program in programs.items():
            fleet = fleets[name] = Fleet(program, home, options.members)
            stack.callback(fleet.close)
            fleet.start()
            joins[name].append(fleet.join())
        time.sleep(SETTLE_S)
        idle = _idle(fleets, loopback, options.idle)
        dead = _kill(fleets, options.kills)
    return {
        name: {
            "dead_at_all_s": {
                "p50": round(statistics.median(dead[name]), 2),
                "worst": round(max(dead[name]), 2),
            },
            **idle[name],
            "join_s": round(statistics.median(joins[name]), 2),
            "join_worst_s": round(max(joins[name]), 2),
        }
        for name in programs
    }


def _idle(
    fleets: Mapping[str, Fleet], loopback: Loopback, window_s: float
) -> dict[str, dict[str, float]]:
    began_s = time.monotonic()
    before = {name: (loopback.count(f.network), f.cpu_s()) for name, f in fleets.items()}
    time.sleep(window_s)
    took_s = time.monotonic() - began_s
    found: dict[str, dict[str, float]] = {}
    for name, fleet in fleets.items():
        (count, cpu_s), after = before[name], loopback.count(fleet.network)
        members = len(fleet.names()) + 1
        found[name] = {
            "idle_bytes_per_s": round((after.octets - count.octets) / took_s / members, 1),
            "idle_packets_per_s": round((after.packets - count.packets) / took_s / members, 2),
            "idle_cpu_percent": round((fleet.cpu_s() - cpu_s) / took_s / members * 100, 3),
            "rss_mb": round(fleet.rss_mib(), 1),
            "false_deaths": fleet.false_deaths(began_s),
        }
    return found


def _kill(fleets: Mapping[str, Fleet], kills: int) -> dict[str, list[float]]:
    dead: dict[str, list[float]] = {name: [] for name in fleets}
    victims = random.Random(1)
    for _ in range(kills):
        for name, fleet in fleets.items():
            victim = victims.choice(fleet.names())
            dead[name].append(fleet.kill(victim))
            fleet.revive(victim)
    return dead


_COLUMNS = (
    "30 members",
    "dead at all p50 s",
    "worst s",
    "join s",
    "idle B/s",
    "packets/s",
    "CPU %",
    "RSS MiB",
)


def _rows(measured: Mapping[str, Any]) -> Sequence[Sequence[object]]:
    return [
        (
            name,
            found["dead_at_all_s"]["p50"],
            found["dead_at_all_s"]["worst"],
            found["join_s"],
            found["idle_bytes_per_s"],
            found["idle_packets_per_s"],
            found["idle_cpu_percent"],
            found["rss_mb"],
        )
        for name, found in measured.items()
    ]
