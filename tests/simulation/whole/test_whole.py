"""The whole sidecar under faults: what must hold holds; the same seed is the same run. `./dev sim` runs thousands."""

from __future__ import annotations

import os

import pytest

from tests.simulation.whole.__main__ import main
from tests.simulation.whole.faults import FAULTS
from tests.simulation.whole.world import Whole

SEEDS = range(1, 101 if os.environ.get("MESHD_TEST_DEEP") else 3)


@pytest.mark.parametrize("number", SEEDS)
def test_whatever_happens_nothing_is_half_applied_empty_or_lost(number: int) -> None:
    whole = Whole(number)
    verdict = whole.run()
    told = "\n".join([*whole.log, *verdict.violations, f"replay: ./dev sim --seed {number}"])
    assert not verdict.violations, told


def test_without_faults_a_change_is_in_force_everywhere_at_once() -> None:
    whole = Whole(1, has_faults=False)
    verdict = whole.run()
    assert verdict.violations == ()
    assert verdict.took_s is not None
    assert verdict.took_s < 0.5
    assert all(place.envoy.was_served for place in whole.places.values())


def test_the_same_seed_is_the_same_run() -> None:
    first, second = Whole(7), Whole(7)
    assert first.run() == second.run()
    assert first.log == second.log
    assert [hash_of(first)] == [hash_of(second)]


def hash_of(whole: Whole) -> str:
    return whole.site.etcd.newest.hash


def test_a_schedule_comes_to_every_fault() -> None:
    seen: set[str] = set()
    for seed in range(60):
        whole = Whole(seed, hosts=3)
        assert whole.faults is not None
        whole.faults.plan()
        seen.update(whole.faults.planned)
    assert seen == {fault.__name__ for fault in FAULTS}


def test_the_command_line_counts_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3-3"]) == 0
    assert "1 seeds of 120 virtual seconds with 4 hosts: 0 failed" in capsys.readouterr().out
