"""Who failed is left alone, longer each time, until it does what is asked."""

from __future__ import annotations

from sidecar.relay.backoffs import Backoffs
from tests.sidecar.relay.words import voice_of


def test_failures_double_the_pause_up_to_a_bound_and_a_success_ends_it() -> None:
    one = Backoffs(voice_of("a"))
    pauses = [one.fail("a", 0.0, 1.0) for _ in range(14)]
    for number, pause_s in enumerate(pauses):
        assert 0.8 * min(600.0, 2.0**number) <= pause_s <= 1.2 * min(600.0, 2.0**number)
    assert not one.is_free("a", 100.0)
    one.succeeded("a")
    assert one.is_free("a", 0.0)
    assert one.fail("a", 0.0, 1.0) <= 1.2


def test_a_pause_without_fault_is_not_counted_and_never_shortens_another() -> None:
    one = Backoffs(voice_of("a"))
    one.pause("a", 0.0, 50.0)
    one.pause("a", 0.0, 1.0)
    assert not one.is_free("a", 49.0)
    assert one.is_free("a", 50.0)
    assert one.fail("a", 60.0, 1.0) <= 1.2


def test_the_first_who_is_free_is_known() -> None:
    one = Backoffs(voice_of("a"))
    one.pause("a", 0.0, 5.0)
    one.pause("b", 0.0, 3.0)
    assert one.first_free_s(["a", "b"]) == 3.0
    assert one.first_free_s(["a", "new"]) == 0.0
    assert one.first_free_s([]) is None
    assert one.active(4.0) == (("a", 1.0),)


def test_peers_remembered_are_bounded() -> None:
    one = Backoffs(voice_of())
    for number in range(10_050):
        one.fail(f"n{number}", 0.0, 100.0)
    assert len(one.active(1.0)) == 10_000
    assert one.is_free("n0", 1.0), "the oldest are forgotten"
