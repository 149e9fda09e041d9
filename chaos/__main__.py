"""`./dev chaos [SCENARIO...]`: faults on a real mesh in network namespaces; exit 1 when an invariant did not hold."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from chaos.netns import ChaosError, clean
from chaos.report import write_report
from chaos.running import Scenario, run_scenario
from chaos.scenarios import CI, PLANS, alone, mixture
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
    try:
        scenarios = list(_scenarios(options))
    except KeyError as problem:
        print(f"chaos: no fault {problem}; `--list` names them", file=sys.stderr)
        return 2
    return _run(scenarios, options)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="faults, or `mixture`")
    parser.add_argument("--all", action="store_true", help="every fault alone, and ten mixtures")
    parser.add_argument("--ci", action="store_true", help=f"a few: {', '.join(CI)}, a mixture")
    parser.add_argument("--minutes", type=float, help="mixtures for so long")
    parser.add_argument("--seed", type=int, default=1, help="of victims, mixtures and load")
    parser.add_argument("--hosts", type=int, default=6)
    parser.add_argument("--rate", type=float, default=12.0, help="requests a second of each host")
    parser.add_argument("--out", type=Path, default=Path("chaos-out"), help="folder of reports")
    parser.add_argument("--list", action="store_true", help="name the faults")
    parser.add_argument("--clean", action="store_true", help="remove what killed runs left")
    return parser.parse_args(arguments)


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    """What is to be run, in order.

    Raises:
        KeyError: There is no such fault.
    """
    names = list(options.scenarios)
    if options.all:
        names += [*PLANS, *["mixture"] * 10]
    if options.ci:
        names += [*CI, "mixture"]
    if not names and options.minutes is None:
        names = [*CI]
    found = []
    mixtures = 0
    for name in names:
        if name == "mixture":
            found.append(mixture(options.seed * 100 + mixtures))
            mixtures += 1
        else:
            found.append(alone(name))
    return found


def _run(scenarios: list[Scenario], options: argparse.Namespace) -> int:
    ended_s = time.monotonic() + 60 * (options.minutes or 0)
    is_green, number = True, 0
    while scenarios or (options.minutes is not None and time.monotonic() < ended_s):
        scenario = scenarios.pop(0) if scenarios else mixture(options.seed * 1000 + number)
        number += 1
        out = options.out / f"{scenario.name}-{options.seed}"
        began_s = time.monotonic()
        try:
            verdict = run_scenario(
                scenario, seed=options.seed, hosts=options.hosts, rate=options.rate, out=out
            )
        except ChaosError as problem:
            print(f"{scenario.name}: the rig failed: {problem}", flush=True)
            is_green = False
            continue
        write_report(scenario, options.seed, verdict, out)
        _say(scenario, options, verdict, time.monotonic() - began_s, out)
        is_green = is_green and verdict.is_green
    return 0 if is_green else 1


def _say(
    scenario: Scenario, options: argparse.Namespace, verdict: Verdict, took_s: float, out: Path
) -> None:
    figures = verdict.figures
    excused = sum(figures["failures_excused"].values())
    told = (
        f"{figures['requests']} requests, {excused} failures, {figures['writes']['ok']} writes, "
        f"converged in {figures['converged_s']} s, {took_s:.0f} s"
    )
    print(f"{'green' if verdict.is_green else 'RED':5} {scenario.name:22} {told}", flush=True)
    for name, found in verdict.violations.items():
        for one in found[:5]:
            print(f"      {name}: {one.what}")
        if len(found) > 5:
            print(f"      {name}: and {len(found) - 5} more: {out}/verdict.json")
    if not verdict.is_green:
        name = "mixture" if scenario.name.startswith("mixture") else scenario.name
        print(f"      again: ./dev chaos {name} --seed {options.seed} --hosts {options.hosts}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
