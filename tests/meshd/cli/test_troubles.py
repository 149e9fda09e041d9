"""Durations as people say them; the order of hosts is held by test_health and test_members."""

from __future__ import annotations

import pytest

from meshd.cli.troubles import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "250ms"),
        (1, "1s"),
        (59.9, "59s"),
        (60, "1m"),
        (250, "4m 10s"),
        (3600, "1h"),
        (3601, "1h"),
        (7800, "2h 10m"),
        (90000, "1d 1h"),
    ],
)
def test_durations_are_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text
