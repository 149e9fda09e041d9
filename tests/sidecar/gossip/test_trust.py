"""Whose key may speak for whom: admission prevails, the first one seen is kept, and absence frees a name."""

from __future__ import annotations

from sidecar.gossip import Record, Topic
from sidecar.gossip import trust as trust_module
from sidecar.gossip.trust import Basis, Refusal, Trust

KEY, OTHER = b"k" * 32, b"o" * 32


def _said(key: bytes, epoch: int = 5, node: str = "n1") -> Record:
    return Record(Topic.STANDING, node, 0, epoch, 1, b"", key, b"")


def _seen(epoch: int = 5) -> Trust:
    trust = Trust()
    trust.bind(_said(KEY, epoch))
    return trust


def test_first_key_seen_is_bound_and_another_refused() -> None:
    trust = Trust()
    assert trust.key_of("n1") is None
    assert trust.refusal(_said(KEY)) is None
    trust.bind(_said(KEY))
    assert trust.key_of("n1") == (KEY, Basis.FIRST_SIGHT)
    assert trust.refusal(_said(KEY, 9)) is None
    assert trust.refusal(_said(OTHER)) is Refusal.OTHER_KEY
    assert trust.refusal(_said(OTHER, epoch=9)) is Refusal.OTHER_KEY, (
        "a later life alone is not enough"
    )


def test_later_life_after_an_absence_may_bring_another_key() -> None:
    trust = _seen()
    trust.free("n1", 6)
    assert trust.refusal(_said(OTHER, epoch=5)) is Refusal.OTHER_KEY, (
        "not in the name of the old life"
    )
    assert trust.refusal(_said(OTHER, epoch=6)) is None
    trust.bind(_said(OTHER, epoch=6))
    assert trust.key_of("n1") == (OTHER, Basis.FIRST_SIGHT)
    assert trust.refusal(_said(KEY, epoch=6)) is Refusal.OTHER_KEY


def test_who_comes_back_with_its_own_key_keeps_its_name() -> None:
    trust = _seen()
    trust.free("n1", 6)
    trust.bind(_said(KEY, epoch=6))
    assert trust.refusal(_said(OTHER, epoch=6)) is Refusal.OTHER_KEY


def test_same_life_that_was_held_dead_frees_nothing() -> None:
    trust = _seen()
    trust.free("n1", 5)
    assert trust.refusal(_said(OTHER, epoch=5)) is Refusal.OTHER_KEY


def test_admission_prevails_whatever_was_seen() -> None:
    trust = _seen()
    trust.set({"n1": OTHER}, is_closed=False)
    assert trust.key_of("n1") == (OTHER, Basis.ADMITTED)
    assert trust.refusal(_said(KEY)) is Refusal.OTHER_KEY
    assert trust.refusal(_said(OTHER)) is None
    trust.free("n1", 9)
    assert trust.refusal(_said(KEY, epoch=9)) is Refusal.OTHER_KEY, "nor does absence free the name"
    trust.bind(_said(OTHER))
    trust.set({}, is_closed=False)
    assert trust.key_of("n1") == (KEY, Basis.FIRST_SIGHT)


def test_closed_mesh_binds_nothing_by_sight() -> None:
    trust = _seen()
    trust.set({"n2": OTHER}, is_closed=True)
    assert trust.key_of("n1") is None
    assert trust.refusal(_said(KEY)) is Refusal.NOT_ADMITTED
    trust.bind(_said(KEY, node="n3"))
    trust.set({}, is_closed=False)
    assert trust.key_of("n3") is None
    assert trust.key_of("n1") == (KEY, Basis.FIRST_SIGHT)


def test_forgotten_host_is_a_stranger_again() -> None:
    trust = _seen()
    trust.forget("n1")
    trust.forget("n1")
    assert trust.refusal(_said(OTHER)) is None


def test_38_keys_bound_by_sight_are_bounded() -> None:
    trust = Trust()
    for number in range(trust_module.BOUND_MAX):
        trust.bind(_said(KEY, node=f"p{number}"))
    assert trust.refusal(_said(KEY, node="one more")) is Refusal.FULL
    assert trust.refusal(_said(KEY, node="p7")) is None
    trust.set({"one more": KEY}, is_closed=False)
    assert trust.refusal(_said(KEY, node="one more")) is None
