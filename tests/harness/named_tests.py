"""Pages that name tests in tables: their rows, and the tests that they name."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["TOP", "missing", "named_tests", "rows"]

TOP = Path(__file__).parents[2]
"""Where paths of tests begin."""
_NAMED = re.compile(r"`(tests/[^`]+)`")


def rows(page: str) -> list[list[str]]:
    """The cells of every row of every table, but for the lines under headings."""
    lines = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def named_tests(text: str) -> list[str]:
    """Tests, and files of tests, that a text names: `tests/file.py::test_name`."""
    return _NAMED.findall(text)


def missing(names: list[str]) -> list[str]:
    """Those of the names that there is no test of."""
    return [name for name in names if not _exists(name)]


def _exists(name: str) -> bool:
    file, _, function = name.partition("::")
    place = TOP / file
    return place.is_file() and (not function or f"def {function}(" in place.read_text())
