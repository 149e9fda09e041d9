"""Records held: only ever newer ones, evidence for its time, within bounds; a digest says whether two agree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip import Record, Topic
from sidecar.gossip.holdings import SETTLED_S, Holdings
from sidecar.gossip.record_frames import VersionRow

TTL_S = 15.0


def _said(
    version: int,
    body: bytes = b"x",
    *,
    topic: Topic = Topic.STANDING,
    node: str = "n1",
    **more: int,
) -> Record:
    fields = {"page": 0, "epoch": 5, "age_ms": 0} | more
    return Record(
        topic,
        node,
        fields["page"],
        fields["epoch"],
        version,
        body,
        b"k" * 32,
        b"s" * 64,
        fields["age_ms"],
    )


def _holdings(records_max: int = 100) -> Holdings:
    return Holdings(records_max, TTL_S)


said = st.builds(
    lambda version, epoch, page, node: _said(version, node=node, page=page, epoch=epoch),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 1),
    st.sampled_from("ab"),
)


@given(st.lists(said, max_size=20), st.randoms())
def test_13_order_and_repetition_of_records_do_not_matter(
    records: list[Record], rng: st.DataObject
) -> None:
    one, other = _holdings(), _holdings()
    mixed = records * 2
    rng.shuffle(mixed)  # type: ignore[attr-defined]  # a random.Random
    for record in records:
        one.put(record, 10.0)
    for record in mixed:
        other.put(record, 10.0)
    one.expire(20.0)
    other.expire(20.0)
    assert sorted(one.versions()) == sorted(other.versions())
    assert one.digest == other.digest
    for row in one.versions():
        newest = max(
            (r.epoch, r.version) for r in records if (r.node, r.page) == (row.node, row.page)
        )
        assert (row.epoch, row.version) == newest


def test_only_what_is_newer_is_taken_and_a_later_life_prevails() -> None:
    holdings = _holdings()
    assert holdings.put(_said(3), 0.0) == []
    assert holdings.put(_said(3, b"other"), 0.0) is None
    assert holdings.put(_said(2), 0.0) is None
    assert holdings.put(_said(1, b"later life", epoch=6), 0.0) == []
    assert holdings.known(Topic.STANDING, "n1", 0) == (6, 1)
    assert len(holdings) == 1


def test_evidence_dies_by_its_age_and_is_never_taken_again() -> None:
    holdings = _holdings()
    holdings.put(_said(1, topic=Topic.EVIDENCE, age_ms=4000), 100.0)
    held = holdings.get(Topic.EVIDENCE, "n1", 0)
    assert held is not None
    assert held.aged(101.0).age_ms == 5000
    assert holdings.expire(110.9) == []
    assert [r.version for r in holdings.expire(111.0)] == [1]
    assert len(holdings) == 0
    assert holdings.put(_said(1, topic=Topic.EVIDENCE), 112.0) is None, (
        "a replay makes nothing young"
    )
    assert list(holdings.versions()) == [VersionRow(Topic.EVIDENCE, "n1", 0, 5, 1)]
    assert holdings.put(_said(2, topic=Topic.EVIDENCE), 112.0) == []


def test_renewed_evidence_lives_on() -> None:
    holdings = _holdings()
    for second in range(0, 60, 5):
        holdings.put(_said(second + 1, topic=Topic.EVIDENCE), float(second))
        assert holdings.expire(second + 4.9) == []
    assert len(holdings.expire(55.0 + TTL_S)) == 1


def test_digest_leaves_out_the_youngest_and_evidence_about_to_die() -> None:
    holdings = _holdings()
    holdings.put(_said(1), 0.0)
    holdings.expire(SETTLED_S - 0.1)
    assert holdings.digest == 0
    holdings.expire(SETTLED_S)
    standing = holdings.digest
    assert standing != 0
    holdings.put(_said(1, topic=Topic.EVIDENCE), 10.0)
    holdings.expire(10.0 + SETTLED_S)
    assert holdings.digest not in (0, standing)
    holdings.expire(10.0 + TTL_S - SETTLED_S)
    assert holdings.digest == standing
    holdings.put(_said(2), 30.0)
    assert holdings.digest == 0, "what was replaced counts no more, what replaces it not yet"


def test_pages_of_hosts_named_alike_do_not_cancel_out_in_the_digest() -> None:
    holdings, digests = _holdings(), {0}
    for node in ("n0", "n1", "n2", "n3"):
        for page in range(8):
            holdings.put(_said(1, node=node, page=page), 0.0)
            holdings.expire(SETTLED_S)
            digests.add(holdings.digest)
    assert len(digests) == 33


def test_38_oldest_evidence_makes_room_and_then_newcomers_are_refused() -> None:
    holdings = _holdings(3)
    holdings.put(_said(1, node="old", topic=Topic.EVIDENCE), 0.0)
    holdings.put(_said(1, node="young", topic=Topic.EVIDENCE), 1.0)
    holdings.put(_said(1, node="kept"), 2.0)
    assert [r.node for r in holdings.put(_said(1, node="a"), 3.0) or []] == ["old"]
    assert [r.node for r in holdings.put(_said(1, node="b"), 3.0) or []] == ["young"]
    assert holdings.put(_said(1, node="c"), 3.0) is None
    assert holdings.put(_said(2, node="kept"), 3.0) == [], "who is held may say more"
    assert len(holdings) == 3
    assert holdings.put(_said(1, node="old", topic=Topic.EVIDENCE), 3.0) is None
    assert holdings.put(_said(1, node="ours"), 3.0, is_ours=True) == []


def test_38_versions_of_the_dead_are_bounded() -> None:
    holdings = _holdings(10)
    for number in range(1000):
        holdings.put(_said(1, node=f"p{number}", topic=Topic.EVIDENCE), float(number))
    assert len(holdings) <= 10
    assert len(list(holdings.versions())) <= 20


def test_what_is_dropped_stays_known_and_what_is_forgotten_does_not() -> None:
    holdings = _holdings()
    holdings.put(_said(4), 0.0)
    holdings.expire(5.0)
    assert holdings.drop("n1", Topic.STANDING, 0) is not None
    assert holdings.drop("n1", Topic.STANDING, 0) is None
    assert (holdings.known(Topic.STANDING, "n1", 0), holdings.digest) == ((5, 4), 0)
    holdings.put(_said(5), 6.0)
    holdings.forget("n1")
    assert holdings.known(Topic.STANDING, "n1", 0) == (0, 0)
    assert (len(holdings), holdings.nodes()) == (0, [])
