"""Requirement 13: claims about a node form a join-semilattice."""

from __future__ import annotations

import random
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip import Identity, Status
from sidecar.gossip.claims import ACCUSERS_MAX, Claim, merge, precedence
from sidecar.gossip.table import Table

identities = st.builds(
    Identity, st.just("n"), st.sampled_from(["10.0.0.1:1", "10.0.0.2:1"]), st.integers(0, 2)
)
names = st.text("abcdefghij", min_size=1, max_size=2)


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    status = draw(st.sampled_from(Status))
    accusers: tuple[str, ...] = ()
    if status is Status.SUSPECT:
        accusers = tuple(sorted(draw(st.sets(names, max_size=ACCUSERS_MAX))))
    return Claim(draw(identities), status, draw(st.integers(0, 3)), accusers)


@given(claims(), claims())
def test_merge_is_commutative(a: Claim, b: Claim) -> None:
    assert merge(a, b) == merge(b, a)


@given(claims(), claims(), claims())
def test_merge_is_associative(a: Claim, b: Claim, c: Claim) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(claims())
def test_merge_is_idempotent(a: Claim) -> None:
    assert merge(a, a) == a


@given(claims(), claims())
def test_merge_never_goes_back(a: Claim, b: Claim) -> None:
    assert precedence(merge(a, b)) >= max(precedence(a), precedence(b))


@given(st.lists(claims(), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_any_order_and_repetition_gives_the_same_table(
    said: list[Claim], rng: random.Random
) -> None:
    again = [*said, *rng.sample(said, rng.randrange(len(said) + 1))]
    rng.shuffle(again)
    held = []
    for order in (said, again):
        table = Table(10)
        for claim in order:
            table.apply(claim, 0.0)
        member = table.get("n")
        assert member is not None
        held.append((member.claim, table.digest))
    assert held[0] == held[1]
    assert held[0][0] == reduce(merge, said)


def _claim(status: Status, incarnation: int = 0, epoch: int = 1) -> Claim:
    return Claim(Identity("n", "10.0.0.1:1", epoch), status, incarnation)


def test_at_one_incarnation_the_worse_prevails() -> None:
    ranked = [_claim(s) for s in (Status.ALIVE, Status.SUSPECT, Status.DEAD, Status.LEFT)]
    assert sorted(ranked, key=precedence) == ranked


def test_higher_incarnation_brings_back_the_dead_but_not_the_left() -> None:
    assert merge(_claim(Status.DEAD), _claim(Status.ALIVE, 1)).status is Status.ALIVE
    assert merge(_claim(Status.LEFT), _claim(Status.ALIVE, 99)).status is Status.LEFT


def test_later_epoch_prevails_over_everything_said_of_an_earlier_life() -> None:
    for status in Status:
        assert merge(_claim(status, 99), _claim(Status.ALIVE, 0, epoch=2)).identity.epoch == 2
