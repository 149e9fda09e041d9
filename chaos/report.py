"""The report of a run: one HTML page that needs nothing else, to be read offline."""

from __future__ import annotations

import html
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from chaos import history as records
from chaos.checkers.requests import word_of
from chaos.checkers.violation import at_most
from chaos.history import History
from chaos.running import Scenario
from chaos.verdict import Verdict

__all__ = ["page", "write_report"]

WIDTH, ROW, LEFT = 1000, 18, 170
_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:1250px}table{border-collapse:collapse}"
    "td,th{border:1px solid #bbb;padding:2px 8px;text-align:left}.red{color:#b00}.green{color:#070}"
    "svg text{font:11px sans-serif}"
)


def write_report(scenario: Scenario, seed: int, verdict: Verdict, out: Path) -> None:
    """Write `report.html` from the records in the folder."""
    history = records.load(out / "records")
    (out / "report.html").write_text(page(scenario, seed, verdict, history), "utf-8")


def page(scenario: Scenario, seed: int, verdict: Verdict, history: History) -> str:
    """The whole page."""
    word = "green" if verdict.is_green else "red"
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td class={'red' if found else 'green'}>"
        f"{len(found) or 'held'}</td><td>"
        + "<br>".join(html.escape(one.what) for one in at_most(found))
        + "</td></tr>"
        for name, found in verdict.violations.items()
    )
    figures = "".join(
        f"<tr><td>{html.escape(str(key))}</td><td>{html.escape(str(value))}</td></tr>"
        for key, value in verdict.figures.items()
    )
    return (
        "<!doctype html><meta charset=utf-8>"
        f"<title>{html.escape(scenario.name)}: {word}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(scenario.name)}, seed {seed}: <span class={word}>{word}</span></h1>"
        f"<p>{html.escape(scenario.title)}</p><h2>Timeline</h2>{_timeline(history)}"
        "<h2>Invariants</h2><table><tr><th>invariant</th><th>violations</th><th></th></tr>"
        f"{rows}</table><h2>Figures</h2><table>{figures}</table>"
    )


def _timeline(history: History) -> str:
    """Faults, failed requests, revisions of each host, ejections: seconds from the run's beginning."""
    times = [one.at_s for one in history.requests] + [one.at_s for one in history.looks]
    if not times:
        return "<p>nothing was recorded</p>"
    begins_s = min(times)
    length_s = max([history.ended_s, *times]) - begins_s or 1.0
    drawn: list[str] = []
    row = 0

    def x(at_s: float) -> float:
        return LEFT + (at_s - begins_s) / length_s * (WIDTH - LEFT)

    def label(text: str) -> None:
        drawn.append(f'<text x="0" y="{row * ROW + 13}">{html.escape(text)}</text>')

    for fault in sorted(history.faults, key=lambda one: one.began_s):
        label(fault.name)
        wide = max(2.0, x(fault.ended_s) - x(fault.began_s))
        drawn.append(_bar(x(fault.began_s), row, wide, "#e8a33d", f"{fault.name}"))
        row += 1
    label("failed requests a second")
    failed = Counter(int(one.at_s - begins_s) for one in history.requests if word_of(one))
    for second, count in sorted(failed.items()):
        high = min(1.0, 0.2 + count / 20)
        shade = f"rgba(190,0,0,{high:.2f})"
        drawn.append(_bar(x(begins_s + second), row, (WIDTH - LEFT) / length_s, shade, str(count)))
    row += 1
    hosts: dict[str, list[tuple[float, int, int]]] = defaultdict(list)
    for look in history.looks:
        hosts[look.host].append((look.at_s, look.in_force, len(look.ejected)))
    newest = max((look.in_force for look in history.looks), default=1) or 1
    for host, looks in sorted(hosts.items()):
        label(f"{host}: revision, ejections")
        drawn.append(_curve(looks, row, x, newest))
        for at_s, _, ejected in looks:
            if ejected:
                drawn.append(_bar(x(at_s), row, 3, "#7a3db8", f"{ejected} ejected"))
        row += 1
    high = row * ROW + 20
    healed = x(history.healed_s)
    drawn.append(
        f'<line x1="{healed:.1f}" x2="{healed:.1f}" y1="0" y2="{row * ROW}" stroke="#070"/>'
        f'<text x="{healed + 3:.1f}" y="{high - 5}">healed</text>'
    )
    return f'<svg width="{WIDTH + 20}" height="{high}">{"".join(drawn)}</svg>'


def _bar(x: float, row: int, wide: float, colour: str, title: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{row * ROW + 3}" width="{wide:.1f}" height="{ROW - 6}" '
        f'fill="{colour}"><title>{html.escape(title)}</title></rect>'
    )


def _curve(
    looks: Sequence[tuple[float, int, int]], row: int, x: Callable[[float], float], newest: int
) -> str:
    points = " ".join(
        f"{x(at_s):.1f},{(row + 1) * ROW - 3 - revision / newest * (ROW - 6):.1f}"
        for at_s, revision, _ in looks
    )
    return f'<polyline points="{points}" fill="none" stroke="#2a6fb0"/>'
