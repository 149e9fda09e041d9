"""Requirement 31: classes of news share datagrams fairly, and none waits for the others."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip.dissemination import Dissemination
from sidecar.gossip.lanes import Lane, Lanes


def _lanes(**sizes: list[int]) -> Lanes:
    lanes = Lanes({lane: Dissemination(1000) for lane in Lane})
    for name, lengths in sizes.items():
        for number, size in enumerate(lengths):
            lanes.queue(Lane(name)).put(f"{number}", name[0].encode() * size)
    return lanes


@given(
    st.lists(st.integers(1, 900), max_size=20),
    st.lists(st.integers(1, 900), max_size=20),
    st.integers(0, 1000),
)
def test_frames_are_never_overfilled_and_nothing_is_told_twice_in_one(
    members: list[int], evidence: list[int], room: int
) -> None:
    lanes = _lanes(members=members, evidence=evidence)
    taken = lanes.take(room, 99, 0.0)
    assert sum(map(len, taken)) <= room
    assert Counter(map(len, taken)) <= Counter(members + evidence)
    assert len(lanes) == len(members) + len(evidence)


def test_all_that_fits_goes_when_there_is_room_for_all() -> None:
    lanes = _lanes(members=[10] * 3, evidence=[20], words=[30] * 2)
    assert Counter(lanes.take(1000, 1, 0.0)) == Counter({b"m" * 10: 3, b"e" * 20: 1, b"w" * 30: 2})
    assert not lanes


def test_31_classes_get_the_same_share_of_bytes_whatever_the_size_of_their_pieces() -> None:
    lanes = _lanes(members=[60] * 100, evidence=[300] * 100, words=[900] * 100)
    told = Counter[bytes]()
    for _ in range(300):
        for message in lanes.take(1000, 10_000, 0.0):
            told[message[:1]] += len(message)
    assert max(told.values()) <= 1.1 * min(told.values())


def test_31_longest_piece_goes_although_small_ones_keep_coming() -> None:
    lanes = _lanes(words=[1000])
    told = []
    for number in range(10):
        lanes.queue(Lane.MEMBERS).put(f"again {number}", b"m" * 50)
        told += [message[:1] for message in lanes.take(1000, 3, 0.0)]
    assert told.count(b"w") == 3


def test_class_that_was_idle_has_saved_nothing() -> None:
    lanes = _lanes(members=[100] * 50)
    for _ in range(50):
        lanes.take(100, 1000, 0.0)
    for number in range(50):
        lanes.queue(Lane.EVIDENCE).put(str(number), b"e" * 100)
    first = [lanes.take(100, 1000, 0.0)[0][:1] for _ in range(20)]
    assert first.count(b"m") >= 9


def test_age_of_a_record_is_that_of_the_moment_in_which_it_goes() -> None:
    lanes = Lanes({lane: Dissemination(10) for lane in Lane})
    lanes.queue(Lane.EVIDENCE).put("r", b"record", said_s=100.0)
    assert lanes.take(50, 9, 101.5) == [b"record\xce" + (1500).to_bytes(4, "big")]
    assert lanes.take(10, 9, 102.0) == [], "its age needs room too"


def test_counts_are_told_by_class() -> None:
    assert _lanes(members=[1], words=[1, 1]).counts() == {
        Lane.MEMBERS: 1,
        Lane.EVIDENCE: 0,
        Lane.WORDS: 2,
    }
