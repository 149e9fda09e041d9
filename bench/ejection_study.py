"""What sharing ejection wins and costs, simulated: the scenarios S1 to S13 beside the same Envoys alone and an ideal.

Real `Outlier` cores, a model of Envoy and of gossip (`tests/simulation/ejection`), Poisson requests, a virtual clock.
With `--write` the tables go to docs/ejection.md, between its markers. Everything is seeded: the same command gives
the same tables.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from bench.report import Report
from sidecar.outlier.model import EjectionPolicy
from tests.simulation.ejection.faults import Fault
from tests.simulation.ejection.figures import Figures, figures_of
from tests.simulation.ejection.gossiping import gossiping_mesh
from tests.simulation.ejection.mesh import POLICY, Arm, Setup
from tests.simulation.ejection.scenarios import SCENARIOS, WATCHES
from tests.simulation.ejection.scenarios import run as run_scenario

__all__ = ["BEGIN", "DOCUMENT", "END", "NAME", "SUMMARY", "Cell", "Found", "add_options", "run"]
__all__ += ["between_markers", "fingerprint", "gossip_bytes", "mean", "measured", "written"]

NAME = "ejection-study"
SUMMARY = (
    "shared ejection simulated beside Envoys alone and an ideal; --write renews docs/ejection.md"
)

DOCUMENT = Path(__file__).parents[1] / "docs" / "ejection.md"
BEGIN = "<!-- study: made by `./dev bench ejection-study --write`, fingerprint "
END = "<!-- study: end -->"


@dataclass(frozen=True)
class Cell:
    """One setting to measure; several runs of it, with other seeds, make a figure."""

    scenario: str = "S1"
    hosts: int = 30
    rate: float = 1.0
    endpoints: int = 10
    arm: Arm = Arm.SHARED
    retries: int = 0
    base_error: float = 0.0
    policy: EjectionPolicy = POLICY
    lifetime_s: float = 15.0
    brief: bool = False
    """Ends when all hosts avoid what is sick."""
    lasts_s: float | None = None
    """How long, where the scenario's own length does not do."""


Found = Mapping[Cell, Sequence[Figures]]
"""Figures of each seed."""


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    hosts: tuple[int, ...]
    rates: tuple[float, ...]
    endpoints: tuple[int, ...]
    errors: tuple[float, ...]
    runs: Mapping[int, int]
    """Of each setting, by the number of hosts: many hosts cost much, and vary less."""
    retried_max: int = 10
    """Hosts up to which the scenarios are also run with a retry, and health in every setting."""
    settings: int = 100
    """How many settings are turned."""
    hours: Mapping[int, float] = field(default_factory=dict)
    """Endpoint-hours that each kind of watch lasts, by the number of hosts; none: a few minutes."""

    def runs_of(self, cell: Cell) -> int:
        """How many runs of a setting are made."""
        if cell.lasts_s is None:
            return self.runs[cell.hosts]
        return max(
            1, math.ceil(self.hours.get(cell.hosts, 0) / (cell.endpoints * cell.lasts_s / 3600))
        )


WHOLE = Extent(
    (10, 30, 100),
    (0.1, 0.3, 1.0, 3.0, 10.0),
    (4, 10, 50),
    (0.001, 0.01, 0.05),
    {10: 1, 30: 1, 100: 1},
    hours={10: 40, 30: 10, 100: 2.5},
)
QUICK = Extent((10,), (1.0,), (4,), (0.05,), {10: 1}, retried_max=0, settings=1)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="one small size of everything")
    parser.add_argument("--seeds", type=int, default=1, help="times as many runs of each setting")
    parser.add_argument(
        "--hosts",
        type=int,
        nargs="+",
        choices=tuple(WHOLE.runs),
        help="sizes of the mesh; default all. 100 hosts take most of the time",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes; default 1")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/ejection.md")


def run(options: argparse.Namespace) -> Report:
    from bench.ejection_tables import cells_of, tables_of

    extent = QUICK if options.quick else WHOLE
    if options.hosts:
        extent = replace(extent, hosts=tuple(options.hosts))
    extent = replace(
        extent,
        runs={hosts: extent.runs[hosts] * options.seeds for hosts in extent.hosts},
        hours={hosts: hours * options.seeds for hosts, hours in extent.hours.items()},
    )
    found = measured(cells_of(extent), extent.runs_of, options.jobs)
    text = tables_of(extent, found)
    if options.write:
        DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8"), text), "utf-8")
    rows = [(_title(cell), *_summary(figures)) for cell, figures in found.items()]
    values = {
        _title(cell): [asdict(figures) for figures in several] for cell, several in found.items()
    }
    columns = ("setting", "failures", "last avoids s", "false by mesh", "worst share", "panics")
    return Report(values, columns, rows, ("means of several runs of each setting",))


def measured(
    cells: Iterable[Cell], runs_of: Callable[[Cell], int], jobs: int = 1
) -> dict[Cell, list[Figures]]:
    """Run all settings with all seeds.

    Args:
        cells: What to run; repetitions are run once.
        runs_of: How often each.
        jobs: Processes to use.
    """
    wanted = list(dict.fromkeys(cells))
    tasks = [(cell, seed) for cell in wanted for seed in range(1, runs_of(cell) + 1)]
    if jobs == 1:
        results = [_measure(task) for task in tasks]
    else:
        with ProcessPoolExecutor(jobs) as pool:
            results = list(pool.map(_measure, tasks))
    found: dict[Cell, list[Figures]] = {cell: [] for cell in wanted}
    for (cell, _), figures in zip(tasks, results, strict=True):
        found[cell].append(figures)
    return found


def mean(several: Sequence[Figures], take: Callable[[Figures], float | None]) -> float | None:
    """Mean of one figure over the runs; None where some run has none, inf where it did not come in some."""
    values = [take(figures) for figures in several]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def gossip_bytes(hosts: int, failing: int) -> float:
    """Bytes a second that each host sends, over the real gossip cores, in the ten seconds after endpoints fell.

    Args:
        hosts: How many.
        failing: Endpoints, of fifty, that begin to answer 5xx.
    """
    faults = (Fault(frozenset(range(failing))),) if failing else ()
    mesh, _ = gossiping_mesh(Setup(hosts=hosts, rate=0.3, endpoints=50, faults=faults), seed=1)
    mesh.run_to(0.0)
    before = sum(host.bytes_out + host.bytes_streamed for host in mesh.world.hosts.values())
    mesh.run_to(10.0)
    after = sum(host.bytes_out + host.bytes_streamed for host in mesh.world.hosts.values())
    return (after - before) / 10.0 / hosts


def written(document: str, tables: str) -> str:
    """The document with the tables in place of those between the markers.

    Raises:
        ValueError: The markers are not there.
    """
    head, tail = _around(document)
    return f"{head}{BEGIN}{fingerprint(tables)} -->\n\n{tables.strip()}\n\n{END}{tail}"


def between_markers(document: str) -> tuple[str, str]:
    """The fingerprint that the document claims, and the tables that it has.

    Raises:
        ValueError: The markers are not there.
    """
    head, tail = _around(document)
    inner = document[len(head) : len(document) - len(tail)]
    claimed, _, rest = inner.removeprefix(BEGIN).partition(" -->\n")
    return claimed, rest.removesuffix(END).strip()


def fingerprint(tables: str) -> str:
    """What the marker says of the tables, so that a change by hand shows."""
    return sha256(tables.strip().encode()).hexdigest()[:16]


def _around(document: str) -> tuple[str, str]:
    begins, ends = document.find(BEGIN), document.find(END)
    if begins < 0 or ends < begins:
        raise ValueError(
            f"{DOCUMENT.name}: the markers of the study are not there; put the lines "
            f"'{BEGIN}0 -->' and '{END}' where its tables belong"
        )
    return document[:begins], document[ends + len(END) :]


def _measure(task: tuple[Cell, int]) -> Figures:
    cell, seed = task
    mesh = run_scenario(
        cell.scenario,
        seed=seed,
        arm=cell.arm,
        hosts=cell.hosts,
        rate=cell.rate,
        endpoints=cell.endpoints,
        retries=cell.retries,
        base_error=cell.base_error,
        policy=cell.policy,
        lifetime_s=cell.lifetime_s,
        brief=cell.brief,
        lasts_s=cell.lasts_s,
    )
    return figures_of(mesh)


def _title(cell: Cell) -> str:
    scenario = (SCENARIOS | WATCHES)[cell.scenario].title
    parts = f"{cell.hosts} hosts, {cell.rate:g}/s, {cell.endpoints} endpoints, {cell.arm.value}"
    retried = f", {cell.retries} retry" if cell.retries else ""
    errors = f", {cell.base_error:.1%} errors" if cell.base_error else ""
    turned = {
        key: value
        for key, value in (asdict(cell.policy) | {"lifetime_s": cell.lifetime_s}).items()
        if value != (asdict(POLICY) | {"lifetime_s": 15.0})[key]
    }
    settings = "".join(f", {key}={value:g}" for key, value in turned.items())
    brief = ", until all avoid" if cell.brief else ""
    lasts = f", {cell.lasts_s:g} s" if cell.lasts_s else ""
    return f"{cell.scenario} {scenario}: {parts}{retried}{errors}{settings}{brief}{lasts}"


def _summary(several: Sequence[Figures]) -> tuple[float | None, ...]:
    return (
        mean(several, lambda f: f.failures),
        mean(several, lambda f: f.avoidance.last_s if f.avoidance else None),
        mean(several, lambda f: f.false_by_mesh),
        mean(several, lambda f: f.worst_share),
        mean(several, lambda f: f.panics),
    )
