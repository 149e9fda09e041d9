"""The samples that people copy from: each is valid, and what is said to be broken is broken as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshd.demo.steps import BROKEN, STEPS
from store.diagnostics import Level
from store.manifest import read_paths
from store.validation import check_document

SAMPLES = Path(__file__).parents[1] / "deploy" / "samples"
SHOWN = sorted((SAMPLES / "bookinfo").glob("*.yaml"))
GOOD = [*SHOWN, *sorted((SAMPLES / "ejection").glob("*.yaml"))]


def problems(file: Path) -> list[tuple[Level, str, str]]:
    manifest = read_paths([str(file)])
    found = list(manifest.diagnostics)
    for document in manifest.documents:
        found += check_document(document)
    return [(problem.level, problem.code, problem.path) for problem in found]


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.name)
def test_a_sample_has_no_problem_not_even_a_warning(file: Path) -> None:
    assert problems(file) == []


def test_the_broken_sample_has_the_one_fault_that_it_is_for() -> None:
    assert problems(SAMPLES / BROKEN) == [(Level.ERROR, "MESH0102", "spec.http[0].route[0].wieght")]


def test_the_demo_shows_every_sample_of_the_bookinfo() -> None:
    shown = {SAMPLES / file for step in STEPS for file in step.files}
    assert set(SHOWN) <= shown
    assert all(file.is_file() for file in shown)
