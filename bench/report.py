"""What a bench found: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Report", "milliseconds", "quantile"]


@dataclass(frozen=True)
class Report:
    """One bench's result."""

    values: Mapping[str, Any]
    """The JSON object. A peer that could not be measured is None."""
    columns: Sequence[str]
    """Headings of the table."""
    rows: Sequence[Sequence[object]]
    """Its rows; None is shown as a dash, a float with two digits."""
    notes: Sequence[str] = field(default_factory=tuple)
    """Sentences for under the table: what was left out and why."""

    def table(self) -> str:
        """The table and its notes."""
        cells = [list(self.columns), *([_cell(value) for value in row] for row in self.rows)]
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.columns))]
        lines = [
            "  ".join(
                text.ljust(width) if place == 0 else text.rjust(width)
                for place, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in (*self.notes, _load()))])

    def json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.values)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are not above (nearest rank, so one that was really measured).

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("no quantile of no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def milliseconds(samples_s: Sequence[float]) -> dict[str, float]:
    """p50 and p99 of seconds, in milliseconds."""
    return {
        "p50": round(quantile(samples_s, 0.50) * 1e3, 3),
        "p99": round(quantile(samples_s, 0.99) * 1e3, 3),
    }


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _load() -> str:
    one, five, _ = os.getloadavg()
    return f"{os.cpu_count()} processors, load {one:.1f} now, {five:.1f} over five minutes"
