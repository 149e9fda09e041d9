"""Scenarios one after another, or several at a time; what is said of each; how an interruption ends them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos.netns import ChaosError
from chaos.report import write_report
from chaos.running import run_scenario
from chaos.scenarios import named
from chaos.verdict import Verdict

__all__ = ["Way", "run_several"]

BUSY = 4.0
"""Load of each processor above which processes start many times slower than they should."""
GREEN, RED, LEFT_OUT, INTERRUPTED = 0, 1, 2, 130
"""Exits, of one run and of several."""


@dataclass(frozen=True)
class Way:
    """How scenarios are run."""

    seed: int
    hosts: int
    rate: float
    """Requests a second of each host."""
    out: Path
    """Folder of reports."""

    @property
    def flags(self) -> list[str]:
        """As flags of the command, without the folder."""
        return ["--seed", f"{self.seed}", "--hosts", f"{self.hosts}", "--rate", f"{self.rate:g}"]


@dataclass
class _Several:
    names: Iterator[str]
    way: Way
    ended: Counter[int] = field(default_factory=Counter)
    is_interrupted: bool = False
    beside: set[subprocess.Popen[str]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self) -> None:
        """Run one after another, each in a process of its own."""
        while (name := self._next()) is not None:
            command = [sys.executable, "-m", "chaos", name, *self.way.flags]
            with subprocess.Popen(
                [*command, "--out", str(self.way.out)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # a terminal's ^C is for us: we end it
            ) as child:
                self.beside.add(child)
                told, _ = child.communicate()
                self.beside.discard(child)
            print(told, end="", flush=True)
            with self.lock:
                self.ended[child.returncode] += 1

    def _next(self) -> str | None:
        with self.lock:
            return None if self.is_interrupted else next(self.names, None)

    def interrupt(self) -> None:
        """End all of them; each cleans up."""
        with self.lock:
            self.is_interrupted = True
        for child in tuple(self.beside):
            child.terminate()


def run_several(names: Iterator[str], way: Way, jobs: int) -> int:
    """Run scenarios; returns the exit of the command.

    Args:
        names: Faults by name, or `mixture-N`.
        way: How.
        jobs: How many at a time.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    several = _Several(names, way)
    try:
        if jobs == 1:
            for name in names:
                several.ended[_run(name, way)] += 1
        else:
            _beside(several, jobs)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    ended = several.ended
    if ended.total() > 1:
        left_out = f", {ended[LEFT_OUT]} left out" if ended[LEFT_OUT] else ""
        print(
            f"{ended[GREEN]} green, {ended.total() - ended[GREEN] - ended[LEFT_OUT]} red{left_out}"
        )
    if ended.total() == ended[LEFT_OUT]:
        return LEFT_OUT
    return GREEN if ended.total() == ended[GREEN] + ended[LEFT_OUT] else RED


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _beside(several: _Several, jobs: int) -> None:
    workers = [threading.Thread(target=several.work) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        several.interrupt()
        for worker in workers:
            worker.join()
        raise


def _run(name: str, way: Way) -> int:
    """One run in this process."""
    scenario = named(name)
    lacks = {plan.name: plan.lacks() for step in scenario.steps for plan in step}
    for plan, lack in lacks.items():
        if lack:
            print(f"left out: {plan}: {lack}", flush=True)
    if all(lacks.values()):
        return LEFT_OUT
    out = way.out / f"{name}-{way.seed}"
    began_s = time.monotonic()
    try:
        verdict = run_scenario(scenario, seed=way.seed, hosts=way.hosts, rate=way.rate, out=out)
    except ChaosError as problem:
        print(f"{name}: the rig failed: {problem}\n{_again(name, way)}", flush=True)
        return RED
    write_report(scenario, way.seed, verdict, out)
    print(_told(name, way, verdict, time.monotonic() - began_s, out), flush=True)
    return GREEN if verdict.is_green else RED


def _told(name: str, way: Way, verdict: Verdict, took_s: float, out: Path) -> str:
    figures = verdict.figures
    excused = sum(figures["failures_excused"].values())
    lines = [
        f"{'green' if verdict.is_green else 'RED':5} {name:22} {figures['requests']} requests, "
        f"{excused} failures, {figures['writes']['ok']} writes, "
        f"converged in {figures['converged_s']} s, {took_s:.0f} s"
    ]
    for checker, found in verdict.violations.items():
        lines += [f"      {checker}: {one.what}" for one in found[:5]]
        if len(found) > 5:
            lines.append(f"      {checker}: and {len(found) - 5} more: {out}/verdict.json")
    if not verdict.is_green:
        if figures["load"] > BUSY:
            waited = f"{figures['load']:g} processes waited for each processor"
            lines.append(f"      the machine was busy ({waited}): try fewer --jobs, or --hosts")
        lines.append(_again(name, way))
    return "\n".join(lines)


def _again(name: str, way: Way) -> str:
    return f"      again: ./dev chaos {name} {' '.join(way.flags)}"
