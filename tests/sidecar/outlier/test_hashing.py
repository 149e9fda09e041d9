from __future__ import annotations

from sidecar.outlier.hashing import fraction, stable_hash


def test_the_hash_is_the_same_on_every_host_and_in_every_version() -> None:
    assert stable_hash("trial", "reviews", 9080) == 0x4AE743FAC6A6604F


def test_words_do_not_run_into_each_other() -> None:
    assert stable_hash("ab", "c") != stable_hash("a", "bc")


def test_fractions_spread_over_0_to_1() -> None:
    found = sorted(fraction("x", number) for number in range(1000))
    assert 0 <= found[0] < 0.01
    assert 0.99 < found[-1] < 1
    assert 0.45 < found[500] < 0.55
