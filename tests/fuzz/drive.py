"""`python -m tests.fuzz.drive [TARGET ...] [--minutes M]`: fuzz, guided by coverage (atheris, which is libFuzzer).

Each target runs in a process of its own. What it learnt is kept in `--corpus` (`.work/fuzz` unless told) and used the
next time. An input that breaks something is left there as `crash-...` and its command is printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

MEMORY_MB = 1500
INPUT_S_MAX = 20
"""An input that takes longer is a finding."""
_INSTRUMENTED = ["sidecar", "store"]


def main(arguments: Sequence[str]) -> int:
    """Run the targets one after the other; returns 1 when one of them found something."""
    parser = argparse.ArgumentParser(prog="dev fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all unless named")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--corpus", type=Path, default=Path(".work/fuzz"))
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input and stop")
    options = parser.parse_args(arguments)
    if options.inside:
        _fuzz(options.targets[0], options.minutes, options.corpus)
        return 0
    from tests.fuzz.targets import TARGETS

    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target {unknown[0]!r}; one of: {' '.join(TARGETS)}")
    if options.list:
        print("\n".join(TARGETS))
        return 0
    names = options.targets or list(TARGETS)
    if options.replay is not None:
        TARGETS[names[0]].run(options.replay.read_bytes())
        return 0
    if importlib.util.find_spec("atheris") is None:
        parser.error(
            "atheris is not installed here; it has wheels for Linux and CPython 3.11 to 3.13"
        )
    found = [_run(name, options.minutes, options.corpus) for name in names]
    return 0 if all(found) else 1


def _run(name: str, minutes: float, corpus: Path) -> bool:
    """Fuzz one target in a process, and say in one line what came of it; False when it found something."""
    (corpus / name).mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.drive", "--inside", name]
    command += ["--minutes", str(minutes), "--corpus", str(corpus)]
    log = (corpus / f"{name}.log").absolute()
    with log.open("wb") as out:
        ended = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
    text = log.read_text(errors="replace")
    covered = [int(found) for found in re.findall(r" cov: (\d+) ", text)]
    runs = re.findall(r"number_of_executed_units: *(\d+)", text) or re.findall(
        r"^#(\d+)", text, re.M
    )
    growth = f"coverage {covered[0]} -> {covered[-1]}" if covered else "no coverage"
    print(f"{name}: {runs[-1] if runs else 0} executions, {growth}, ", end="")
    if ended.returncode == 0:
        print("nothing found", flush=True)
        return True
    inputs = re.findall(r"Test unit written to (\S+)", text)
    print(f"FOUND something (exit status {ended.returncode}); see {log}")
    for one in inputs:
        print(f"  ./dev fuzz {name} --replay {one}")
    return False


def _fuzz(name: str, minutes: float, corpus: Path) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    kept = corpus / name
    for number, example in enumerate(target.examples):
        (kept / f"example-{number}").write_bytes(example)
    options = [
        f"-max_total_time={int(minutes * 60)}",
        f"-max_len={target.bytes_max}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={INPUT_S_MAX}",
        f"-artifact_prefix={corpus}/{name}-",
        "-print_final_stats=1",
        "-reload=0",
    ]
    atheris.Setup([f"fuzz-{name}", *options, str(kept)], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
