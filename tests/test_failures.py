"""docs/failures.md: all failures have a row, every row shows something or says why not, and what it names exists."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import pytest

from bench.__main__ import BENCHES
from chaos.scenarios import PLANS
from tests.harness.named_tests import TOP, missing, named_tests, rows

PAGE = (TOP / "docs" / "failures.md").read_text()
FAILURES = range(1, 56)
REASONS = ("cannot happen here", "Not built")
TABLE = {int(row[0]): row for row in rows(PAGE) if row[0].isdecimal()}


def faults(text: str) -> list[str]:
    """Faults of chaos that a text names, options left out."""
    commands = re.findall(r"`\./dev chaos ?([^`]*)`", text)
    return [name for words in commands for name in words.split() if not name.startswith("-")]


def benches(text: str) -> list[str]:
    """Benches that a text names."""
    return re.findall(r"`\./dev bench ([a-z-]+)`", text)


def test_every_failure_has_one_row() -> None:
    numbers = [int(row[0]) for row in rows(PAGE) if row[0].isdecimal()]
    assert numbers == list(FAILURES)
    assert {len(row) for row in TABLE.values()} == {4}
    assert all(cell for row in TABLE.values() for cell in row)


@pytest.mark.parametrize("number", FAILURES)
def test_a_row_names_what_shows_it_or_the_reason_why_nothing_does(number: int) -> None:
    shown = TABLE[number][-1]
    assert named_tests(shown) or faults(shown) or any(reason in shown for reason in REASONS)


def test_every_named_test_exists() -> None:
    named = named_tests(PAGE)
    assert len(named) > 120
    assert missing(named) == []


@pytest.mark.parametrize(("found", "known"), [(faults, PLANS), (benches, BENCHES)])
def test_every_named_scenario_exists(
    found: Callable[[str], list[str]], known: Collection[str]
) -> None:
    named = set(found(PAGE))
    assert len(named) >= 3
    assert named - set(known) == set()
