"""`./dev chaos [SCENARIO...]`: faults on a real mesh in network namespaces; exit 1 when an invariant did not hold."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

from chaos.netns import clean
from chaos.scenarios import CI, PLANS, named
from chaos.several import Way, run_several

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for.

    Returns 0: all green, 1: something was violated or a rig failed, 2: it cannot be run here, 130: it was interrupted.
    """
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
    way = Way(options.seed, options.hosts, options.rate, options.out)
    return run_several(_names(options), way, options.jobs)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help="faults, `mixture`, or `mixture-N`"
    )
    parser.add_argument("--all", action="store_true", help="every fault alone, and ten mixtures")
    parser.add_argument("--ci", action="store_true", help=f"a few: {', '.join(CI)}, a mixture")
    parser.add_argument("--minutes", type=_positive, help="mixtures for so long")
    seed = _count(0, 1_000_000)
    parser.add_argument("--seed", type=seed, default=1, help="of victims, mixtures and load")
    parser.add_argument("--hosts", type=_count(3, 100), default=6)
    rate = "requests a second of each host"
    parser.add_argument("--rate", type=_positive, default=12.0, help=rate)
    parser.add_argument("--jobs", type=_count(1, 64), default=1, help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("chaos-out"), help="folder of reports")
    parser.add_argument("--list", action="store_true", help="name the faults")
    parser.add_argument("--clean", action="store_true", help="remove what killed runs left")
    return parser.parse_args(arguments)


def _count(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")
        return int(text)

    return number


def _positive(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return found


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
