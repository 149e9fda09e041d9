from __future__ import annotations

from pathlib import Path

from meshd.cli import exits
from meshd.cli.main import VERBS
from meshd.cli.manual import manual
from store import errors

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def test_the_page_is_what_the_program_says(rewrite: bool) -> None:
    if rewrite:
        PAGE.write_text(manual())
    assert PAGE.read_text() == manual(), "make it anew: python -m meshd.cli.manual > docs/cli.md"


def test_every_verb_has_its_part() -> None:
    page = manual()
    for name in VERBS:
        assert f"\n## meshd {name}\n" in page
    assert "\n### meshd epoch accept\n" in page


def test_the_table_of_statuses_has_all_that_errors_end_with() -> None:
    page = manual()
    trees: list[type[errors.MeshError]] = [
        errors.MeshError,
        *errors.MeshError.__subclasses__(),
    ]
    for status in sorted({tree.exit_status for tree in trees}):
        assert f"| {status} |" in page
    for name in exits.__all__:
        assert f"| {getattr(exits, name)} |" in page
