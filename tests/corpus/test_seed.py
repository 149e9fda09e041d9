"""The eight objects that the project was created from, exactly as published: what is wrong with each, in our words."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.diagnostics import Diagnostic, Level, render, summary
from store.manifest import read_paths
from store.validation import check_document

SEED = Path(__file__).parents[3] / "shared" / "corpus" / "seed"
EXPECTED = Path(__file__).parents[1] / "data" / "seed_diagnostics.txt"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        not SEED.is_dir(), reason="the published objects are not here (looked in ../shared)"
    ),
]

FAULTY = {
    "cookie-regex-virtual-service.yaml",
    "gateway-virtual-service.yaml",
    "namespace-uri-virtual-service.yaml",
    "wildcard-virtual-service.yaml",
}


def problems_of_the_seed(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Diagnostic], str]:
    monkeypatch.chdir(SEED)
    manifest = read_paths([file.name for file in sorted(SEED.glob("*.yaml"))])
    problems = list(manifest.diagnostics)
    for document in manifest.documents:
        problems += check_document(document)
    return problems, render(problems, manifest.sources) + summary(problems, 8) + "\n"


def test_what_is_said_about_the_seed(monkeypatch: pytest.MonkeyPatch, rewrite: bool) -> None:
    _, text = problems_of_the_seed(monkeypatch)
    if rewrite:
        EXPECTED.write_text(text)
    assert text == EXPECTED.read_text()


def test_the_other_four_are_valid_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    problems, _ = problems_of_the_seed(monkeypatch)
    assert {p.file for p in problems if p.level is Level.ERROR} == FAULTY


def test_every_problem_of_the_seed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    problems, _ = problems_of_the_seed(monkeypatch)
    assert [problem for problem in problems if not problem.hint or not problem.line] == []


def test_a_seed_file_with_its_mends_made_is_valid(tmp_path: Path) -> None:
    text = (SEED / "cookie-regex-virtual-service.yaml").read_text()
    head, _, rest = text.partition("  hosts:\n")
    rule = (
        "  hosts:\n    - my-vtl-svc\n  http:\n    - match:\n      - headers:\n          cookie:\n"
    )
    assert "regex:" in rest
    regex = next(line for line in rest.splitlines() if "regex:" in line)
    mended = (
        head
        + rule
        + regex
        + "\n      route:\n      - destination:\n          host: my-svc\n          subset: v2\n"
    )
    mended += "    - route:\n      - destination:\n          host: my-svc\n          subset: v1\n"
    (tmp_path / "mended.yaml").write_text(mended)
    manifest = read_paths([str(tmp_path / "mended.yaml")])
    assert manifest.diagnostics == ()
    assert check_document(manifest.documents[0]) == []
