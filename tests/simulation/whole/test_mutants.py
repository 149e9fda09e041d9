"""The checkers catch sown bugs: each of them is red within a few seeds, with the right verdict."""

from __future__ import annotations

import pytest

from tests.simulation.whole.__main__ import run_seed
from tests.simulation.whole.mutants import MUTANTS, Mutant

SEEDS_MAX = 12


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_sown_bug_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.plant(monkeypatch)
    seen: set[str] = set()
    for seed in range(1, SEEDS_MAX + 1):
        verdict = run_seed(seed, mutant.hosts, mutant.only)
        seen.update(
            name for text in verdict.violations for name in mutant.caught_by if f"{name}:" in text
        )
        if seen:
            return
    pytest.fail(
        f'{SEEDS_MAX} seeds with the bug "{mutant.name}" and none of {set(mutant.caught_by)} saw it'
    )


def test_the_same_runs_without_the_bug_are_green() -> None:
    assert run_seed(1).violations == ()
    assert run_seed(1, 3, ["sick_in_turn"]).violations == ()
