"""The queue of news: the least told first, so often, so many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip.dissemination import Dissemination


def test_newer_news_about_a_subject_replace_older_ones() -> None:
    queue = Dissemination(10)
    queue.put("a", b"old")
    queue.take(100, 5)
    queue.put("a", b"new")
    assert [queue.take(100, 2) for _ in range(3)] == [[b"new"], [b"new"], []]
    assert len(queue) == 0


def test_least_told_go_first_and_newest_among_equals() -> None:
    queue = Dissemination(10)
    queue.put("a", b"a")
    queue.take(1, 5)
    queue.put("b", b"b")
    queue.put("c", b"c")
    assert queue.take(2, 5) == [b"c", b"b"]


@given(st.lists(st.integers(1, 60), max_size=20), st.integers(0, 100))
def test_frames_are_filled_and_never_overfilled(sizes: list[int], room: int) -> None:
    queue = Dissemination(100)
    for number, size in enumerate(sizes):
        queue.put(str(number), b"x" * size)
    taken = queue.take(room, 9)
    left = room - sum(map(len, taken))
    assert left >= 0
    skipped = list(sizes)
    for message in taken:
        skipped.remove(len(message))
    assert all(size > left for size in skipped)


@given(st.integers(1, 12), st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_each_is_told_exactly_as_often_as_the_limit(limit: int, sizes: list[int]) -> None:
    queue = Dissemination(100)
    for number, size in enumerate(sizes):
        queue.put(str(number), bytes([number]) * size)
    told: list[bytes] = []
    while queue:
        told += queue.take(60, limit)
    assert sorted(told) == sorted(bytes([n]) * s for n, s in enumerate(sizes) for _ in range(limit))


def test_38_queue_is_bounded_and_says_what_it_lost() -> None:
    queue = Dissemination(100)
    queue.put("told", b"t")
    queue.take(10, 9)
    for number in range(1000):
        queue.put(str(number), b"x")
    assert len(queue) == 100
    assert queue.dropped == 901
    assert "told" not in queue


def test_a_frame_looks_at_few_entries_however_many_there_are() -> None:
    queue = Dissemination(10_000)
    for number in range(10_000):
        queue.put(str(number), b"much too long")
    queue.put("short", b"s")
    assert queue.take(3, 5) == [b"s"], "newest first"
    for number in range(100):
        queue.put(f"again {number}", b"much too long")
    assert queue.take(3, 5) == [], "what fits is beyond the entries that are looked at"
    assert len(queue) == 10_000


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from("abcdef"), st.integers(1, 9)),
            st.tuples(st.just("drop"), st.sampled_from("abcdef"), st.just(0)),
            st.tuples(st.just("take"), st.just(""), st.integers(0, 30)),
        )
    )
)
def test_order_holds_each_entry_once_whatever_happens(
    steps: list[tuple[str, str, int]],
) -> None:
    queue = Dissemination(4)
    for step, key, size in steps:
        if step == "put":
            queue.put(key, b"x" * size)
        elif step == "drop":
            queue.drop(key)
        else:
            queue.take(size, 3)
        assert sorted(key for _, _, key in queue._order) == sorted(queue._news)
        assert queue._order == sorted(queue._order)
