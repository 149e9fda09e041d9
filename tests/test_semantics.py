"""docs/semantics.md: every rule names tests, and every test that it names exists."""

from __future__ import annotations

from tests.harness.named_tests import TOP, missing, named_tests, rows

PAGE = (TOP / "docs" / "semantics.md").read_text()


def test_every_named_test_exists() -> None:
    named = named_tests(PAGE)
    assert len(named) > 40
    assert missing(named) == []


def test_every_rule_is_pinned() -> None:
    rules = [row for row in rows(PAGE) if row[-1] != "pinned by"]
    assert len(rules) > 40
    assert [row for row in rules if not named_tests(row[-1])] == []
