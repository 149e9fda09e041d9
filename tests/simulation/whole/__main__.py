"""`./dev sim`: many seeds of the whole sidecar in virtual time, and one command for each seed that fails."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.whole.world import DURATION_S, Verdict, Whole

__all__ = ["main", "run_seed"]

HOSTS = 4


def run_seed(seed: int, hosts: int = HOSTS, only: Sequence[str] = ()) -> Verdict:
    """One run; a core that raises is a violation as any other."""
    try:
        return Whole(seed, hosts, only=only).run()
    except Exception:  # noqa: BLE001 (whatever is raised belongs to this seed, and the others are to run)
        text = traceback.format_exc(limit=-4)
        return Verdict(seed, (f"raised: {text}",), 0, None)


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="./dev sim", description=__doc__)
    parser.add_argument("--seeds", default="1-20", help="first and last seed, as 1-5000")
    parser.add_argument("--seed", type=int, help="one seed, told in full")
    parser.add_argument("--hosts", type=int, default=HOSTS, help="hosts of the mesh")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args(arguments)
    if options.hosts < 2:
        parser.error("a mesh has at least two hosts")
    if options.seed is not None:
        return _tell(options.seed, options.hosts)
    first, _, last = options.seeds.partition("-")
    if not first.isdigit() or not (last or first).isdigit():
        parser.error(f"--seeds {options.seeds}: two numbers are wanted, as 1-5000")
    return _many(range(int(first), int(last or first) + 1), options.hosts, options.jobs)


def _tell(seed: int, hosts: int) -> int:
    whole = Whole(seed, hosts)
    try:
        verdict = whole.run()
    finally:
        print("\n".join(whole.log))
    print("\n".join(verdict.violations) or f"seed {seed}: no violation")
    return 1 if verdict.violations else 0


def _many(seeds: range, hosts: int, jobs: int) -> int:
    began_s, failed, ran = time.monotonic(), 0, 0
    faults: Counter[str] = Counter()
    slowest = 0.0
    for verdict in _verdicts(seeds, hosts, jobs):
        ran += 1
        faults.update(verdict.counts)
        slowest = max(slowest, verdict.took_s or 0.0)
        if verdict.violations:
            failed += 1
            suffix = "" if hosts == HOSTS else f" --hosts {hosts}"
            print(f"seed {verdict.seed} fails; replay: ./dev sim --seed {verdict.seed}{suffix}")
            print("".join(f"  {text}\n" for text in verdict.violations[:4]), end="", flush=True)
        if ran % 100 == 0:
            print(f"... {ran} seeds, {failed} failed", file=sys.stderr, flush=True)
    told = ", ".join(f"{name} {count}" for name, count in sorted(faults.items()))
    print(f"faults: {told}")
    print(
        f"{ran} seeds of {DURATION_S:.0f} virtual seconds with {hosts} hosts: {failed} failed; "
        f"converged after at most {slowest:.1f} s; {time.monotonic() - began_s:.0f} s"
    )
    return 1 if failed else 0


def _verdicts(seeds: Iterable[int], hosts: int, jobs: int) -> Iterator[Verdict]:
    if jobs <= 1:
        yield from (run_seed(seed, hosts) for seed in seeds)
        return
    with ProcessPoolExecutor(min(jobs, os.cpu_count() or 1)) as pool:
        listed = list(seeds)
        yield from pool.map(run_seed, listed, [hosts] * len(listed), chunksize=4)


if __name__ == "__main__":
    sys.exit(main())
