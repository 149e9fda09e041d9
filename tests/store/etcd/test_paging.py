"""Pages weigh about the same whatever the entries weigh."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.etcd.paging import PAGE_BYTES, PAGE_MAX, PageSize, prefix_range


@given(entry_bytes=st.integers(1, 1_500_000))
def test_pages_settle_at_about_two_mebibytes(entry_bytes: int) -> None:
    size = PageSize()
    for _ in range(5):
        size.learn(size.limit, size.limit * entry_bytes)
    assert 1 <= size.limit <= PAGE_MAX
    assert size.limit * entry_bytes <= max(PAGE_BYTES, entry_bytes)
    assert size.limit == PAGE_MAX or (size.limit + 1) * entry_bytes > PAGE_BYTES


def test_an_answer_that_was_too_large_shrinks_the_page_down_to_one_entry() -> None:
    size = PageSize(100)
    limits = []
    while size.shrink():
        limits.append(size.limit)
    assert limits == [12, 1]


def test_an_empty_answer_teaches_nothing() -> None:
    size = PageSize(7)
    size.learn(0, 100)
    assert size.limit == 7


@pytest.mark.parametrize(
    ("key", "is_inside"),
    [("/a/b/", True), ("/a/b/c", True), ("/a/b", False), ("/a/bc", False), ("/a/b0", False)],
)
def test_a_prefix_range_is_the_folder_and_nothing_beside_it(key: str, is_inside: bool) -> None:
    start, end = prefix_range("/a/b")
    assert (start <= key.encode() < end) == is_inside
