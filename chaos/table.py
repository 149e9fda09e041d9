"""Faults by invariants, from the records of real runs: `python -m chaos.table FOLDER [--write PAGE]`.

Every run in the folder is judged again from what it recorded, so that the table says what the checkers of today say.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos import history as records
from chaos.scenarios import PLANS
from chaos.verdict import Verdict, judge

__all__ = ["BEGIN", "END", "main", "row", "table", "written"]

BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
_HEAD = (
    "fault",
    "`registers`, `members`: writes ok / refused / unknown, reads",
    "`monotonic`, `hashes`: looks",
    "`convergence`, `served`: s",
    "`requests`: failed and excused, of all",
    "`mixtures`: probes",
    "`rotation`, `caps`: most left out",
    "`holds`: ejections",
    "`resources`: most MiB more",
)
_CHECKERS = (
    ("registers", "members"),
    ("monotonic", "hashes"),
    ("convergence", "served"),
    ("requests",),
    ("mixtures",),
    ("rotation", "caps"),
    ("holds",),
    ("resources", "restarts", "activity", "left behind"),
)


def row(name: str, verdict: Verdict) -> list[str]:
    """One fault: what each invariant was held against, and how often it did not hold."""
    figures: Mapping[str, Any] = verdict.figures
    writes, failed = figures["writes"], sum(figures["failures_excused"].values())
    cells = (
        f"{writes['ok']} / {writes['conflict']} / {writes['unknown']}, {figures['reads']}",
        f"{figures['looks']}",
        f"{figures['converged_s']}",
        f"{failed} of {figures['requests']}",
        f"{figures['probes']}",
        f"{figures['left_out_most']}",
        f"{figures['mesh_ejections']}",
        f"{figures['growth_mib']}",
    )
    told = []
    for cell, checkers in zip(cells, _CHECKERS, strict=True):
        violated = sum(len(verdict.violations[checker]) for checker in checkers)
        told.append(f"**{violated} violations**; {cell}" if violated else cell)
    return [name, *told]


def table(folder: Path) -> str:
    """All runs in a folder, in the order of the list of faults, mixtures last."""
    order = {name: number for number, name in enumerate(PLANS)}
    found = []
    for run in folder.iterdir():
        if (run / "records" / "run.json").exists():
            name = run.name.rpartition("-")[0]
            found.append((order.get(name, len(order)), name, judge(records.load(run / "records"))))
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    lines += [_line(row(name, verdict)) for _, name, verdict in sorted(found, key=lambda f: f[:2])]
    return "".join(lines)


def written(page: str, rows: str) -> str:
    """The page with the table in its place.

    Raises:
        ValueError: The page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{begin}\n{rows}\n{end}{after}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def main(arguments: Sequence[str]) -> int:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(prog="chaos.table", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    options = parser.parse_args(arguments)
    rows = table(options.folder)
    if options.write is None:
        print(rows, end="")
    else:
        options.write.write_text(written(options.write.read_text("utf-8"), rows), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
