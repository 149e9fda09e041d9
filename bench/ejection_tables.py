"""The tables of the ejection study: which settings each needs, and how it is written in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from bench.ejection_study import Cell, Extent, Found, gossip_bytes, mean
from sidecar.outlier.model import EjectionPolicy
from tests.simulation.ejection.figures import Figures
from tests.simulation.ejection.mesh import POLICY, Arm
from tests.simulation.ejection.scenarios import SCENARIOS, WATCHES

__all__ = ["cells_of", "tables_of"]

REFERENCE = {
    (10, 0.1): (13, 11),
    (10, 1.0): (32, 2),
    (30, 0.1): (23, 6),
    (30, 0.3): (37, 3),
    (30, 1.0): (86, 2),
    (30, 3.0): (147, 2),
    (100, 0.1): (50, 4),
    (100, 1.0): (290, 2),
}
"""Failures and seconds of the model that the rule was first tried in (polls of 1 s, hold-off of one poll)."""


def cells_of(extent: Extent) -> list[Cell]:
    """All settings that the tables need."""
    return [
        *(cell for pair in _grid(extent) for cell in _arms(pair)),
        *(cell for sized in _sizes(extent) for cell in _arms(sized)),
        *(cell for one in _scenarios(extent) for cell in _arms(one)),
        *(
            cell
            for one in _scenarios(extent)
            if one.hosts <= extent.retried_max
            for cell in _retried(one)
        ),
        *_healthy(extent),
        *_poisoned(extent),
        *(cell for _, several in _turned(extent) for cell in several),
    ]


def tables_of(extent: Extent, found: Found) -> str:
    """All tables, as Markdown."""
    several = ", ".join(
        f"{count} run{'s' * (count > 1)} of {hosts} hosts"
        for hosts, count in extent.runs.items()
        if hosts in extent.hosts
    )
    parts = [
        f"Means over the runs of each setting ({several}). *alone*: the same Envoys, each for itself. "
        "*ideal*: everybody knows every "
        "outcome at once and who is really sick, same thresholds. Failures are user-visible requests; seconds count "
        "from the first moment of the fault.",
        "### One endpoint answers 5xx: failures until all hosts avoid it, and when the last does",
        _grid_table(extent, found),
        "### The same, by the number of endpoints",
        _size_table(extent, found),
        "### All scenarios, one request a second from each host to each endpoint, 10 endpoints",
        _scenario_table(extent, found),
        "### Recovery (S11)",
        _recovery_table(extent, found),
        "### False ejections with nothing wrong, for each hour of each healthy endpoint",
        _healthy_table(extent, found),
        "### Poisoned observers: ejections at hosts that reach the endpoint",
        _poisoned_table(extent, found),
        "### What it costs the network",
        _bytes_table(extent),
        "### What turning a setting does",
        _turned_table(extent, found),
    ]
    return "\n\n".join(parts)


def _arms(cell: Cell) -> tuple[Cell, Cell, Cell]:
    return (
        replace(cell, arm=Arm.ALONE),
        replace(cell, arm=Arm.SHARED),
        replace(cell, arm=Arm.IDEAL),
    )


def _retried(cell: Cell) -> tuple[Cell, Cell]:
    return replace(cell, arm=Arm.ALONE, retries=1), replace(cell, arm=Arm.SHARED, retries=1)


def _grid(extent: Extent) -> list[Cell]:
    return [
        Cell(hosts=hosts, rate=rate, brief=True) for hosts in extent.hosts for rate in extent.rates
    ]


def _sizes(extent: Extent) -> list[Cell]:
    rates = [rate for rate in extent.rates if 0.1 <= rate <= 1.0]
    hosts = extent.hosts[min(1, len(extent.hosts) - 1)]
    return [
        Cell(hosts=hosts, rate=rate, endpoints=endpoints, brief=True)
        for endpoints in extent.endpoints
        for rate in rates
    ]


def _scenarios(extent: Extent) -> list[Cell]:
    return [Cell(name, hosts=hosts) for name in SCENARIOS if name != "S0" for hosts in extent.hosts]


def _healthy(extent: Extent) -> list[Cell]:
    rates = [rate for rate in extent.rates if rate in (0.1, 1.0, 10.0)]
    return [
        Cell("S0", hosts=hosts, rate=rate, base_error=error, lasts_s=_watch_s(extent, hosts))
        for hosts in extent.hosts
        for rate in rates
        for error in extent.errors
        if hosts <= extent.retried_max or (rate == 1.0 and error == extent.errors[-1])
    ]


def _poisoned(extent: Extent) -> list[Cell]:
    return [
        Cell(name, hosts=hosts, rate=rate, base_error=0.01, lasts_s=_watch_s(extent, hosts))
        for name in WATCHES
        for hosts in extent.hosts[:2]
        for rate in extent.rates
        if rate == 1.0 or (rate == 0.3 and hosts <= extent.retried_max)
    ]


def _watch_s(extent: Extent, hosts: int) -> float:
    """An hour, less in the largest mesh: long watches are cut up, so that processors share them."""
    if not extent.hours:
        return 60.0
    return 3600.0 if hosts <= 30 else 900.0


TURNED: tuple[tuple[str, EjectionPolicy, float], ...] = (
    ("defaults", POLICY, 15.0),
    ("`quorum: 2`", replace(POLICY, quorum=2), 15.0),
    ("`quorum: 5`", replace(POLICY, quorum=5), 15.0),
    ("`failures: 1`", replace(POLICY, failures=1), 15.0),
    ("`failures: 3`", replace(POLICY, failures=3), 15.0),
    ("`holdOff: 0s`", replace(POLICY, hold_off_s=0.0), 15.0),
    ("`holdOff: 2s`", replace(POLICY, hold_off_s=2.0), 15.0),
    ("`agreementPercent: 50`", replace(POLICY, agreement=0.5), 15.0),
    ("`agreementPercent: 80`", replace(POLICY, agreement=0.8), 15.0),
    ("`baseEjectionTime: 10s`", replace(POLICY, base_ejection_s=10.0), 15.0),
    ("`baseEjectionTime: 60s`", replace(POLICY, base_ejection_s=60.0), 15.0),
    ("`evidenceLifetime: 5s`", POLICY, 5.0),
)
"""Settings turned one at a time, as an operator writes them."""


def _turned(extent: Extent) -> list[tuple[str, list[Cell]]]:
    """Each setting in turn: S1 at a low and a middle rate, S5, S11, and health with many errors."""
    hosts = extent.hosts[0]
    bare = [
        Cell("S1", hosts=hosts, rate=0.3, brief=True),
        Cell("S1", hosts=hosts, rate=1.0, brief=True),
        Cell("S5", hosts=hosts, rate=0.3),
        Cell("S5", hosts=hosts, rate=1.0),
        Cell("S11", hosts=hosts, rate=1.0),
        Cell("S0", hosts=hosts, rate=1.0, base_error=0.05),
    ]
    return [
        (title, [replace(cell, policy=policy, lifetime_s=lifetime_s) for cell in bare])
        for title, policy, lifetime_s in TURNED[: extent.settings]
    ]


def _turned_table(extent: Extent, found: Found) -> str:
    rows = []
    for title, cells in _turned(extent):
        low, middle, few, many, healed, well = (found[cell] for cell in cells)
        rows.append(
            [
                title,
                _pair(_failures(low), _last(low)),
                _pair(_failures(middle), _last(middle)),
                f"{_number(mean(few, _false))}, {_number(mean(many, _false))}",
                _seconds(mean(healed, lambda f: f.restored_last_s)),
                _number(mean(healed, lambda f: f.failures_all)),
                _number(mean(well, _false)),
            ]
        )
    head = ["setting", "S1 at 0.3/s: failures / last avoids", "S1 at 1/s"]
    head += ["S5: hosts that lose an endpoint that works for them, at 0.3/s, 1/s"]
    head += ["S11: well until back everywhere", "S11: failures in all"]
    return _table([*head, "5 % errors, two minutes: false ejections, hosts"], rows)


def _bytes_table(extent: Extent) -> str:
    rows = []
    for hosts in extent.hosts[:2]:
        idle, one, ten = (gossip_bytes(hosts, failing) for failing in (0, 1, 10))
        rows.append([str(hosts), *(f"{found:,.0f} B/s" for found in (idle, one, ten))])
    head = ["hosts", "nothing wrong", "10 s from when one endpoint of 50 fails", "ten fail at once"]
    note = "UDP and TCP with their headers, sent by each host, over the real gossip cores."
    return f"{note}\n\n{_table(head, rows)}"


def _false(figures: Figures) -> float:
    return figures.false_by_mesh


def _grid_table(extent: Extent, found: Found) -> str:
    rows = []
    for cell in _grid(extent):
        alone, shared, ideal = (found[one] for one in _arms(cell))
        model = REFERENCE.get((cell.hosts, cell.rate))
        rows.append(
            [
                str(cell.hosts),
                f"{cell.rate:g}",
                *(_pair(_failures(one), _last(one)) for one in (alone, shared, ideal)),
                _share(_failures(shared), _failures(alone)),
                _seconds(mean(shared, lambda f: f.avoidance.first_s if f.avoidance else None)),
                _seconds(mean(shared, lambda f: f.avoidance.median_s if f.avoidance else None)),
                f"{model[0]} / {model[1]} s" if model else "",
            ]
        )
    head = ["hosts", "requests/s", "alone", "**meshd**", "ideal", "meshd : alone"]
    return _table([*head, "first", "median", "first model"], rows)


def _size_table(extent: Extent, found: Found) -> str:
    rows = []
    for cell in _sizes(extent):
        several = [found[one] for one in _arms(cell)]
        pairs = (_pair(_failures(one), _last(one)) for one in several)
        share = _share(_failures(several[1]), _failures(several[0]))
        rows.append([str(cell.hosts), str(cell.endpoints), f"{cell.rate:g}", *pairs, share])
    head = ["hosts", "endpoints", "requests/s", "alone", "**meshd**", "ideal", "meshd : alone"]
    return _table(head, rows)


def _scenario_table(extent: Extent, found: Found) -> str:
    rows = []
    for cell in _scenarios(extent):
        alone, shared, ideal = (found[one] for one in _arms(cell))
        known = [ideal] if ideal[0].avoidance is not None else []  # else it has nothing to decide
        retried = [found[one] for one in _retried(cell)] if cell.hosts <= extent.retried_max else []
        rows.append(
            [
                f"{cell.scenario} {SCENARIOS[cell.scenario].title}",
                str(cell.hosts),
                _triple([alone, shared, *known], lambda f: f.failures_all),
                _triple(retried, lambda f: f.failures_all),
                _triple([alone, shared, ideal], _last_of, "s"),
                _number(mean(shared, lambda f: f.false_by_mesh)),
                _triple([alone, shared], lambda f: 100 * f.ejected_share, "%"),
                _triple([alone, shared], lambda f: 100 * f.worst_share, "%"),
                _triple([alone, shared], lambda f: f.panics),
                _seconds(mean(shared, lambda f: f.disagreement_s)),
            ]
        )
    head = ["scenario", "hosts", "failures: alone / meshd / ideal", "with a retry: alone / meshd"]
    head += ["last avoids: alone / meshd / ideal", "ejected by the mesh though well, hosts"]
    head += ["capacity out, mean", "most out at one host", "panics", "hosts differ"]
    return _table(head, rows)


def _recovery_table(extent: Extent, found: Found) -> str:
    rows = []
    for hosts in extent.hosts:
        for arm in (Arm.ALONE, Arm.SHARED):
            several = found[Cell("S11", hosts=hosts, arm=arm)]
            rows.append(
                [
                    str(hosts),
                    "meshd" if arm is Arm.SHARED else "alone",
                    _seconds(mean(several, lambda f: f.restored_first_s)),
                    _seconds(mean(several, lambda f: f.restored_last_s)),
                    _number(mean(several, lambda f: f.peak_load)),
                ]
            )
    head = ["hosts", "", "well until the first host is back", "until the last is back"]
    return _table([*head, "most load in a second, fair share = 1"], rows)


def _healthy_table(extent: Extent, found: Found) -> str:
    rows = []
    for cell in _healthy(extent):
        several = found[cell]
        hours, count, each_hour = _false_ejections(cell, several)
        local = sum(figures.false_by_envoy for figures in several) / cell.hosts / hours
        row = [str(cell.hosts), f"{cell.rate:g}", f"{cell.base_error:.1%}", f"{hours:.1f}"]
        rows.append([*row, str(count), each_hour, f"{local:.3f}"])
    head = ["hosts", "requests/s", "errors in health", "endpoint-hours", "by the mesh (hosts)"]
    return _table([*head, "each hour (95 % bound if none)", "by a host's own Envoy"], rows)


def _poisoned_table(extent: Extent, found: Found) -> str:
    rows = []
    for cell in _poisoned(extent):
        hours, count, each_hour = _false_ejections(cell, found[cell])
        row = [WATCHES[cell.scenario].title, str(cell.hosts), f"{cell.rate:g}", f"{hours:.1f}"]
        rows.append([*row, str(count), each_hour])
    head = ["what is wrong, all the time", "hosts", "requests/s", "endpoint-hours"]
    return _table([*head, "by the mesh (hosts)", "each hour (95 % bound if none)"], rows)


def _false_ejections(cell: Cell, several: Sequence[Figures]) -> tuple[float, int, str]:
    """Endpoint-hours, false ejections by the mesh at all hosts together, and what that is for each hour.

    None in T hours is compatible, at 95 %, with any rate below 3 / T (the rule of three).
    """
    hours = sum(figures.healthy_hours for figures in several)
    count = sum(figures.false_by_mesh for figures in several)
    return hours, count, f"{count / cell.hosts / hours:.3f}" if count else f"< {3.0 / hours:.3f}"


def _failures(several: Sequence[Figures]) -> float | None:
    return mean(several, lambda f: f.failures)


def _last_of(figures: Figures) -> float | None:
    return figures.avoidance.last_s if figures.avoidance else None


def _last(several: Sequence[Figures]) -> float | None:
    return mean(several, _last_of)


def _pair(failures: float | None, last_s: float | None) -> str:
    return f"{_number(failures)} / {_seconds(last_s)}"


def _triple(
    several: Iterable[Sequence[Figures]], take: Callable[[Figures], float | None], unit: str = ""
) -> str:
    found = [mean(one, take) for one in several]
    if all(value is None for value in found):
        return "-"
    if unit == "s":
        return " / ".join(_seconds(value) for value in found)
    return " / ".join(_number(value) for value in found) + (f" {unit}" if unit else "")


def _share(part: float | None, whole: float | None) -> str:
    return f"{part / whole:.0%}" if part is not None and whole else "-"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if 0 < value < 10 else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    if math.isinf(value):
        return "not all"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
