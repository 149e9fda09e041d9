"""How long a person waits for the programs to start, beside a bare Python that does nothing."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.report import Report

__all__ = ["NAME", "SUMMARY", "add_options", "run"]

NAME = "cli"
SUMMARY = "start of `meshd` and `meshd-sidecar`, beside python -c pass"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--times", type=int, default=15, help="starts of each; the median counts")


def run(options: argparse.Namespace) -> Report:
    programs = Path(sys.executable).parent
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "meshd_help": [str(programs / "meshd"), "--help"],
        "meshd_validate_help": [str(programs / "meshd"), "validate", "--help"],
        "meshd_sidecar_help": [str(programs / "meshd-sidecar"), "--help"],
    }
    samples: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.times):
        # In turn, so that a busy moment of the machine falls on all of them.
        for name, command in commands.items():
            samples[name].append(_seconds(command))
    medians = {name: statistics.median(taken) for name, taken in samples.items()}
    bare = medians["python"]
    return Report(
        {f"{name}_ms": round(median * 1e3, 1) for name, median in medians.items()},
        ("command", "ms", "above python ms"),
        [
            (
                " ".join([Path(command[0]).name, *command[1:]]),
                medians[name] * 1e3,
                (medians[name] - bare) * 1e3,
            )
            for name, command in commands.items()
        ],
        ("target: meshd --help below 150 ms",),
    )


def _seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
