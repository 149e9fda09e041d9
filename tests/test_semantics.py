"""docs/semantics.md: every rule names tests, and every test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).parent.parent
PAGE = (TOP / "docs" / "semantics.md").read_text()


def test_every_named_test_exists() -> None:
    named = re.findall(r"`(tests/[^`]+)`", PAGE)
    assert len(named) > 40
    for name in named:
        file, _, function = name.partition("::")
        assert (TOP / file).is_file(), name
        assert f"def {function}(" in (TOP / file).read_text() or not function, name


def test_every_rule_is_pinned() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
    unpinned = [row for row in rows if "`tests/" not in row and "pinned by" not in row]
    assert not unpinned
