"""Pauses between tries."""

from __future__ import annotations

import pytest

from sidecar.agent.pauses import FIRST_S, pause_s


@pytest.mark.parametrize("failures", [1, 3, 10, 1_000, 10**6])
def test_pauses_stay_between_their_bounds_however_often_it_failed(failures: int) -> None:
    pauses = [pause_s(failures, 5.0) for _ in range(200)]
    assert min(pauses) >= FIRST_S
    assert max(pauses) <= min(5.0, 0.2 * 2 ** min(failures, 10))


def test_hosts_do_not_try_in_step() -> None:
    assert len({pause_s(9, 5.0) for _ in range(50)}) > 40
