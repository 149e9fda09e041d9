"""The page on threats names tests: each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).parents[1]


def test_every_test_that_the_page_names_exists() -> None:
    page = (TOP / "docs" / "threat-model.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    sources = (path.read_text(encoding="utf-8") for path in (TOP / "tests").rglob("test_*.py"))
    written = {name for text in sources for name in re.findall(r"def (test_\w+)\(", text)}
    assert len(named) > 30
    assert sorted(named - written) == []
