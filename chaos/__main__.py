"""`./dev chaos [SCENARIO...]`: faults on a real mesh in network namespaces; exit 1 when an invariant did not hold."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from chaos.netns import ChaosError, clean
from chaos.report import write_report
from chaos.running import run_scenario
from chaos.scenarios import CI, PLANS, named
from chaos.verdict import Verdict

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for. Returns 0: all green, 1: something was violated, 2: it cannot be run here."""
    options = _options(arguments)
    if options.list:
        for plan in PLANS.values():
            print(f"{plan.name:22} {plan.title}")
        print(f"{'mixture':22} two or three of them at a time, drawn from the seed")
        return 0
    if os.geteuid() != 0:
        print("chaos: needs root, for network namespaces; run it as root", file=sys.stderr)
        return 2
    for program, package in (("ip", "iproute2"), ("nft", "nftables"), ("curl", "curl")):
        if shutil.which(program) is None:
            print(f"chaos: {program} is not there: apt-get install {package}", file=sys.stderr)
            return 2
    if options.clean:
        for thing in clean():
            print(f"removed {thing}")
        return 0
    for name in options.scenarios:
        if name != "mixture":
            try:
                named(name)
            except KeyError as problem:
                print(f"chaos: no fault {problem}; `--list` names them", file=sys.stderr)
                return 2
    return _run(_names(options), options)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help="faults, `mixture`, or `mixture-N`"
    )
    parser.add_argument("--all", action="store_true", help="every fault alone, and ten mixtures")
    parser.add_argument("--ci", action="store_true", help=f"a few: {', '.join(CI)}, a mixture")
    parser.add_argument("--minutes", type=float, help="mixtures for so long")
    parser.add_argument("--seed", type=int, default=1, help="of victims, mixtures and load")
    parser.add_argument("--hosts", type=int, default=6)
    parser.add_argument("--rate", type=float, default=12.0, help="requests a second of each host")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("chaos-out"), help="folder of reports")
    parser.add_argument("--list", action="store_true", help="name the faults")
    parser.add_argument("--clean", action="store_true", help="remove what killed runs left")
    return parser.parse_args(arguments)


def _names(options: argparse.Namespace) -> Iterator[str]:
    """What is to be run, in order; without an end where a time is given instead."""
    names = list(options.scenarios)
    if options.all:
        names += [*PLANS, *["mixture"] * 10]
    if options.ci:
        names += [*CI, "mixture"]
    if not names and options.minutes is None:
        names = [*CI]
    mixtures = count(options.seed * 1000)
    for name in names:
        yield f"mixture-{next(mixtures)}" if name == "mixture" else name
    ends_s = time.monotonic() + 60 * (options.minutes or 0)
    while options.minutes is not None and time.monotonic() < ends_s:
        yield f"mixture-{next(mixtures)}"


def _run_here(name: str, options: argparse.Namespace) -> bool:
    """One run in this process; whether it was green."""
    scenario = named(name)
    for lack in {plan.name: plan.lacks() for step in scenario.steps for plan in step}.items():
        if lack[1]:
            print(f"left out: {lack[0]}: {lack[1]}", flush=True)
    if all(plan.lacks() for step in scenario.steps for plan in step):
        return True
    out = options.out / f"{name}-{options.seed}"
    began_s = time.monotonic()
    try:
        verdict = run_scenario(
            scenario, seed=options.seed, hosts=options.hosts, rate=options.rate, out=out
        )
    except ChaosError as problem:
        print(f"{name}: the rig failed: {problem}", flush=True)
        return False
    write_report(scenario, options.seed, verdict, out)
    print(_told(name, options, verdict, time.monotonic() - began_s, out), flush=True)
    return verdict.is_green


def _run_beside(name: str, options: argparse.Namespace, beside: set[subprocess.Popen[str]]) -> bool:
    """One run in a process of its own, beside others."""
    flags = {"seed": options.seed, "hosts": options.hosts, "rate": options.rate, "out": options.out}
    words = [str(word) for flag, value in flags.items() for word in (f"--{flag}", value)]
    command = [sys.executable, "-m", "chaos", name, *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        beside.add(child)
        told, _ = child.communicate()
        beside.discard(child)
    print(told, end="", flush=True)
    return child.returncode == 0


def _run(names: Iterator[str], options: argparse.Namespace) -> int:
    """One after another, or several at a time. An interruption ends all of them, and they clean up."""
    green, red = 0, 0
    lock, is_interrupted = threading.Lock(), threading.Event()
    beside: set[subprocess.Popen[str]] = set()

    def work() -> None:
        nonlocal green, red
        while not is_interrupted.is_set():
            with lock:
                name = next(names, None)
            if name is None:
                return
            if options.jobs == 1:
                is_green = _run_here(name, options)
            else:
                is_green = _run_beside(name, options, beside)
            with lock:
                green, red = green + is_green, red + (not is_green)

    signal.signal(signal.SIGTERM, _interrupted)
    workers = [threading.Thread(target=work) for _ in range(options.jobs)]
    try:
        if options.jobs == 1:
            work()
        else:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
    except KeyboardInterrupt:
        is_interrupted.set()
        for child in tuple(beside):
            child.terminate()
        print("interrupted", file=sys.stderr)
        return 130
    if green + red > 1:
        print(f"{green} green, {red} red", flush=True)
    return 1 if red else 0


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _told(
    name: str, options: argparse.Namespace, verdict: Verdict, took_s: float, out: Path
) -> str:
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
        flags = f"--seed {options.seed} --hosts {options.hosts} --rate {options.rate:g}"
        lines.append(f"      again: ./dev chaos {name} {flags}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
