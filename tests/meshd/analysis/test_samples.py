"""The samples that we ship: each is valid, and the corrected published objects make a whole mesh."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshd.analysis import analyze, given_twice, written_document
from store.diagnostics import Diagnostic, render
from store.manifest import read_paths
from store.validation import check_document
from tests.harness.catalogs import Store

SAMPLES = Path(__file__).parents[3] / "deploy" / "samples"
FILES = sorted(
    file for file in SAMPLES.rglob("*.yaml") if "broken" not in file.relative_to(SAMPLES).parts
)


def said(place: Path, store: Store | None = None) -> str:
    """All that is said about a file or folder."""
    manifest = read_paths([str(place)])
    problems: list[Diagnostic] = [*manifest.diagnostics]
    for document in manifest.documents:
        problems += check_document(document)
    written = [w for document in manifest.documents if (w := written_document(document))]
    problems += analyze(written, None if store is None else store.catalog)
    problems += given_twice(manifest.documents, "default")
    return render(problems, manifest.sources)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_nothing_is_wrong_with_a_sample(file: Path) -> None:
    assert said(file) == ""


def test_the_corrected_published_objects_need_nothing_else() -> None:
    assert said(SAMPLES / "seed", Store()) == ""


def test_the_broken_sample_is_broken() -> None:
    assert "error" in said(SAMPLES / "broken")
