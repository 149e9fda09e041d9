"""Requirement 4: suspicion times follow Lifeguard's formula."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.gossip.settings import (
    LAN,
    GossipSettings,
    confirmations_wanted,
    retransmit_limit,
    scaled_gap_s,
    suspicion_min_s,
    suspicion_timeout_s,
)

MEMBERLIST = replace(LAN, suspicion_mult=4, confirmations=2)
"""memberlist's LAN profile, whose values are known."""


@pytest.mark.parametrize(
    ("n", "confirmed", "seconds"),
    [
        (3, 0, 4.0),  # k = 0: too few others to confirm
        (10, 0, 24.0),
        (10, 1, 11.38),
        (10, 2, 4.0),
        (30, 0, 35.45),
        (30, 1, 16.81),
        (30, 2, 5.909),
        (100, 0, 48.0),
        (100, 2, 8.0),
        (1000, 0, 72.0),
        (1000, 1, 34.14),
        (1000, 2, 12.0),
    ],
)
def test_04_suspicion_is_as_in_the_table_of_memberlist(
    n: int, confirmed: int, seconds: float
) -> None:
    assert suspicion_timeout_s(MEMBERLIST, n, confirmed) == pytest.approx(seconds, abs=0.02)


def test_04_dogpile_of_three_takes_the_known_steps() -> None:
    # memberlist's own test: shortest 0.5 s, longest 1 s, three confirmations wanted.
    settings = replace(LAN, suspicion_mult=1, probe_interval_s=0.5, suspicion_max_mult=2)
    times = [suspicion_timeout_s(settings, 10, c) for c in range(4)]
    assert times == [1.0, 0.75, 0.603, 0.5]


@pytest.mark.parametrize(("n", "wanted"), [(1, 0), (2, 0), (4, 0), (5, 3), (1000, 3)])
def test_04_no_confirmations_are_wanted_where_too_few_could_give_them(n: int, wanted: int) -> None:
    assert confirmations_wanted(LAN, n) == wanted


@pytest.mark.parametrize("n", [1, 2, 9, 10])
def test_suspicion_has_a_floor_in_small_meshes(n: int) -> None:
    assert suspicion_min_s(LAN, n) == 2.0


@pytest.mark.parametrize(("n", "limit"), [(9, 4), (10, 8), (99, 8), (100, 12), (1000, 16)])
def test_news_are_sent_so_often(n: int, limit: int) -> None:
    assert retransmit_limit(LAN, n) == limit


@pytest.mark.parametrize(("n", "times"), [(1, 1), (32, 1), (33, 2), (100, 3), (1000, 6)])
def test_gaps_between_exchanges_grow_with_the_mesh(n: int, times: int) -> None:
    assert scaled_gap_s(3.0, n) == 3.0 * times


def test_tombstones_outlive_everybody_that_could_bring_back_the_dead() -> None:
    assert GossipSettings().forget_after_s < GossipSettings().tombstone_s
