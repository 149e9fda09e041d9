"""Checkers before trust: each sown bug turns the right one red on the real rig; without it the same run is green."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.scenarios import PLANS
from chaos.verdict import CHECKERS
from tests.chaos.mutants import MUTANTS, Mutant, sow
from tests.chaos.test_command import needs_root

DEEP = bool(os.environ.get("MESHD_TEST_DEEP"))
names = [mutant.name for mutant in MUTANTS]


@pytest.mark.parametrize("mutant", MUTANTS, ids=names)
def test_a_mutant_fits_the_sources_and_is_a_program(mutant: Mutant, tmp_path: Path) -> None:
    assert mutant.scenario in PLANS
    assert mutant.checkers <= set(CHECKERS)
    sow(mutant, tmp_path)
    for edit in mutant.edits:
        source = (tmp_path / edit.file).read_text("utf-8")
        compile(source, edit.file, "exec")


@pytest.mark.root
@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_root
@pytest.mark.skipif(not DEEP, reason="MESHD_TEST_DEEP only: a minute for each of thirteen mutants")
@pytest.mark.parametrize("mutant", MUTANTS, ids=names)
def test_a_mutant_is_found_out_by_the_right_checker(mutant: Mutant, tmp_path: Path) -> None:
    sow(mutant, tmp_path)
    command = [sys.executable, "-m", "chaos", mutant.scenario, "--hosts", "4", "--out", "out"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    verdict_file = tmp_path / "out" / f"{mutant.scenario}-1" / "verdict.json"
    assert verdict_file.exists(), done.stdout + done.stderr
    verdict = json.loads(verdict_file.read_text("utf-8"))
    red = {name for name, found in verdict["violations"].items() if found}
    assert mutant.checkers <= red, f"not found: {red or 'all green'}\n{done.stdout}"
    assert done.returncode == 1
