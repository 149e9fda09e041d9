"""The members table: bounded, and equal tables have equal digests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip import Identity, Status
from sidecar.gossip.claims import Claim
from sidecar.gossip.table import Outcome, Table, digest_of


def _claim(name: str, status: Status = Status.ALIVE, incarnation: int = 0) -> Claim:
    return Claim(Identity(name, "10.0.0.1:1", 1), status, incarnation)


changes = st.lists(
    st.builds(
        _claim,
        st.sampled_from("abcdef"),
        st.sampled_from(Status),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(changes)
def test_indexes_and_digest_agree_with_the_members(said: list[Claim]) -> None:
    table = Table(100)
    for claim in said:
        table.apply(claim, 0.0)
    up = [m.claim for m in table.all() if m.status in (Status.ALIVE, Status.SUSPECT)]
    assert sorted(table.reachable) == sorted(c.identity.node for c in up)
    assert len(table) == len(table.reachable) + len(table.down)
    digest = 0
    for claim in up:
        digest ^= digest_of(claim)
    assert table.digest == digest
    for member in table.all():
        table.forget(member.claim.identity.node)
    assert (len(table), table.digest, table.reachable, table.down) == (0, 0, [], [])


def test_38_full_table_gives_up_its_oldest_tombstone_then_refuses() -> None:
    table = Table(3)
    table.apply(_claim("a"), 1.0)
    table.apply(_claim("b", Status.DEAD), 5.0)
    table.apply(_claim("c", Status.LEFT), 4.0)
    assert table.apply(_claim("d"), 6.0).evicted == "c"
    assert table.apply(_claim("e"), 6.0).evicted == "b"
    assert table.apply(_claim("f"), 6.0).outcome is Outcome.REFUSED
    assert sorted(table.reachable) == ["a", "d", "e"]


def test_suspicion_of_another_accuser_confirms_once() -> None:
    table = Table(3)
    table.apply(_claim("a"), 0.0)
    accused = _claim("a")
    assert table.apply(accused.as_suspicion_by("x"), 1.0).outcome is Outcome.CHANGED
    assert table.apply(accused.as_suspicion_by("x"), 2.0).outcome is Outcome.NOTHING
    assert table.apply(accused.as_suspicion_by("y"), 3.0).outcome is Outcome.CONFIRMED
    member = table.get("a")
    assert member is not None
    assert member.claim.accusers == ("x", "y")
    assert member.since_s == 1.0


def test_the_dead_count_from_when_their_teller_held_them_so() -> None:
    table = Table(3)
    table.apply(Claim(Identity("a", "10.0.0.1:1", 1), Status.DEAD, 0, age_ms=2500), 10.0)
    member = table.get("a")
    assert member is not None
    assert member.since_s == 7.5


def test_addresses_are_those_of_members_held_alive_or_suspect() -> None:
    table = Table(10)
    table.apply(_claim("a"), 0.0)
    table.apply(_claim("b"), 0.0)
    assert table.has_address("10.0.0.1:1")
    table.apply(_claim("a", Status.DEAD), 1.0)
    assert table.has_address("10.0.0.1:1"), "b has it too"
    table.forget("b")
    assert not table.has_address("10.0.0.1:1")


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(Status), st.integers(0, 9))))
def test_38_what_gives_way_is_always_the_tombstone_of_longest_standing(
    said: list[tuple[str, Status, int]],
) -> None:
    table = Table(4)
    for moment, (name, status, incarnation) in enumerate(said):
        before = {m.claim.identity.node: m.since_s for m in table.all() if m.place < 0}
        evicted = table.apply(_claim(name, status, incarnation), float(moment)).evicted
        assert not evicted or before[evicted] == min(before.values())


def test_38_a_member_that_dies_and_returns_for_ever_leaves_no_trail() -> None:
    table = Table(10)
    for incarnation in range(5000):
        table.apply(_claim("a", Status.DEAD, incarnation), float(incarnation))
        table.apply(_claim("a", Status.ALIVE, incarnation + 1), float(incarnation))
    assert len(table._tombstones) <= 70


def test_nodes_named_alike_do_not_cancel_out_in_the_digest() -> None:
    table = Table(100)
    digests = [table.digest]
    for number in range(8):
        identity = Identity(f"n{number}", "10.0.0.2:1", 1)
        table.apply(Claim(identity, Status.ALIVE, 0), 0.0)
        digests.append(table.digest)
    assert len(set(digests)) == 9
