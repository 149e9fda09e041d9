"""Counts over the corpus, shown at the end of a run, also of one that is spread over processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

COLUMNS = ("files", "objects", "refused", "exceptions", "warnings", "other kinds")


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Callable[[str, str, int], None]:
    """Add to one of the counts that are shown at the end: row, column, amount."""
    return lambda row, column, amount: record_property("corpus", (row, column, amount))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the counts as a table."""
    table: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "corpus":
                    row, column, amount = value
                    table[row][column] += amount
    if not table:
        return
    terminalreporter.section("objects that no one here wrote")
    width = max(map(len, table))
    terminalreporter.write_line(" " * width + "".join(f"{column:>13}" for column in COLUMNS))
    for row, counts in table.items():
        cells = "".join(f"{counts[column]:>13}" for column in COLUMNS)
        terminalreporter.write_line(f"{row:<{width}}{cells}")
