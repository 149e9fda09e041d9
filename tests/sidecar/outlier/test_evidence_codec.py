from __future__ import annotations

import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip.records import RECORD_BODY_BYTES_MAX
from sidecar.mesh.model import HostName
from sidecar.outlier.evidence_codec import (
    COUNT_MAX,
    EPISODE_MAX,
    OK_RUN_MAX,
    PAGE_ROWS_MAX,
    decode_page,
    destination_bytes,
    encode_page,
    row_bytes,
)
from sidecar.outlier.model import Destination, Place, Row, RowClass
from tests.sidecar.outlier.builders import RATINGS, REVIEWS, bad, clear, neutral

NOW_S = 1000.0
COUNTS = st.integers(0, COUNT_MAX)
ADDRESSES = st.one_of(
    st.ip_addresses().map(str),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=100),
)
PLACES = st.builds(Place, ADDRESSES, st.integers(0, 65535))
DESTINATIONS = st.builds(
    Destination,
    st.from_regex(r"[a-z0-9.-]{1,60}", fullmatch=True).map(HostName),
    st.integers(0, 65535),
)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    row_class = draw(st.sampled_from(RowClass))
    ages = sorted(draw(st.lists(st.integers(0, 1 << 20), min_size=3, max_size=3)), reverse=True)
    first, since, accused = (NOW_S - age / 1000 for age in ages)
    is_bad = row_class is RowClass.BAD
    last_ok = draw(st.one_of(st.none(), st.integers(0, 1 << 20)))
    if row_class is RowClass.CLEAR and last_ok is None:
        last_ok = 0
    return Row(
        draw(DESTINATIONS),
        draw(PLACES),
        draw(st.integers(0, 0xFFFFFFFF)),
        row_class,
        ok=draw(COUNTS),
        external=draw(COUNTS),
        gateway=draw(COUNTS),
        local=draw(COUNTS),
        first_failure_s=first if is_bad else -math.inf,
        accused_s=accused if is_bad else -math.inf,
        last_ok_s=-math.inf if last_ok is None else NOW_S - last_ok / 1000,
        ok_run=draw(st.integers(0, OK_RUN_MAX)),
        episode=draw(st.integers(0, EPISODE_MAX)),
        since_s=since if is_bad else -math.inf,
        failed_trials=draw(st.integers(0, EPISODE_MAX)),
    )


@given(rows(), st.floats(-1e6, 1e6))
def test_a_row_comes_out_as_it_went_in_at_the_clock_of_whoever_reads_it(
    row: Row, shift_s: float
) -> None:
    page = decode_page(encode_page([row], NOW_S), NOW_S + shift_s)
    assert page is not None
    (found,) = page.rows
    for name in ("first_failure_s", "since_s", "accused_s", "last_ok_s"):
        said, read = getattr(row, name), getattr(found, name)
        assert read == said or abs(read - said - shift_s) < 0.002, name
    same = ("destination", "place", "generation", "row_class", "ok", "external", "gateway", "local")
    for name in (*same, "ok_run", "episode", "failed_trials"):
        assert getattr(found, name) == getattr(row, name), name


@given(rows())
def test_a_row_takes_no_more_room_than_is_reckoned_with(row: Row) -> None:
    room = row_bytes(row) + destination_bytes(row.destination)
    assert len(encode_page([row], NOW_S)) <= room


def test_rows_of_one_destination_name_it_once() -> None:
    one, two = encode_page([bad(0)], 0.0), encode_page([bad(0), bad(1)], 0.0)
    assert len(two) - len(one) < 45
    page = decode_page(encode_page([bad(0), bad(1), clear(2, destination=RATINGS)], 0.0), 0.0)
    assert page is not None
    assert [row.destination for row in page.rows] == [REVIEWS, REVIEWS, RATINGS]


def test_an_empty_page_withdraws() -> None:
    assert encode_page([], 0.0) == b""
    page = decode_page(b"", 0.0)
    assert page is not None
    assert page.rows == ()


def test_counts_and_ages_beyond_their_room_are_said_as_the_largest() -> None:
    row = bad(0, 0.0, external=1 << 40, episode=99, first_failure_s=-1e12, since_s=-1e12)
    page = decode_page(encode_page([row], 0.0), 0.0)
    assert page is not None
    assert page.rows[0].external == COUNT_MAX
    assert page.rows[0].episode == EPISODE_MAX
    assert page.rows[0].first_failure_s == -0xFFFFFFFF / 1000


def test_a_time_of_the_future_is_said_as_now() -> None:
    page = decode_page(encode_page([bad(0, 5.0)], 0.0), 0.0)
    assert page is not None
    assert page.rows[0].accused_s == 0.0


@given(st.binary(max_size=800))
def test_bytes_from_outside_never_raise(body: bytes) -> None:
    page = decode_page(body, 0.0)
    assert page is None or len(page.rows) <= PAGE_ROWS_MAX


@given(rows(), st.data())
def test_a_page_with_some_bytes_changed_never_raises(row: Row, data: st.DataObject) -> None:
    body = bytearray(encode_page([row, row], NOW_S))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    decode_page(bytes(body), 0.0)


def test_what_is_too_long_is_no_page() -> None:
    fields = {"r": [], "x": b"0" * RECORD_BODY_BYTES_MAX}
    assert decode_page(msgpack.packb(fields), 0.0) is None


def test_a_nest_of_a_hundred_thousand_lists_is_no_page() -> None:
    assert decode_page(b"\x91" * 600, 0.0) is None


GOOD = [b"\x0a\x00\x00\x01", 80, 1, 2, 0, 2, 0, 0, 900, 500, 500, None, 0, 1, 0]


def written(row: object) -> bytes:
    packed = msgpack.packb({"r": [["a.b", 80, [row]]]})
    assert isinstance(packed, bytes)
    return packed


def test_a_row_with_more_places_than_we_know_is_read_by_those_we_know() -> None:
    page = decode_page(written([*GOOD, "later", 7]), 0.0)
    assert page is not None
    assert len(page.rows) == 1


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, b"\x0a\x00\x00"),
        (0, b"\x0a\x00\x00\x01\x02"),
        (0, "with space"),
        (0, ""),
        (1, 65536),
        (1, True),
        (2, 1 << 32),
        (3, 3),
        (4, -1),
        (5, 65536),
        (5, 2.0),
        (8, None),
        (8, 100),
        (9, None),
        (10, None),
        (10, 600),
        (8, float("nan")),
        (11, -1),
        (12, 16),
        (13, 16),
        (14, "1"),
    ],
)
def test_a_row_that_breaks_a_rule_is_left_out_and_counted(position: int, value: object) -> None:
    row = [*GOOD[:position], value, *GOOD[position + 1 :]]
    page = decode_page(written(row), 0.0)
    assert page is not None
    assert (page.rows, page.refused) == ((), 1)
    good = decode_page(written(GOOD), 0.0)
    assert good is not None
    assert (len(good.rows), good.refused) == (1, 0)


def test_a_clear_row_must_say_when_it_succeeded() -> None:
    page = decode_page(written([*GOOD[:3], 1, *GOOD[4:]]), 0.0)
    assert page is not None
    assert page.refused == 1


def test_the_same_endpoint_twice_counts_once() -> None:
    page = decode_page(encode_page([bad(0), clear(0)], 0.0), 0.0)
    assert page is not None
    assert [row.row_class for row in page.rows] == [RowClass.BAD]
    assert page.refused == 1


def test_more_rows_than_a_page_may_have_are_no_page() -> None:
    few = {"r": [["a", 1, [[]] * PAGE_ROWS_MAX]]}
    page = decode_page(msgpack.packb(few), 0.0)
    assert page is not None
    assert page.refused == PAGE_ROWS_MAX
    many = {"r": [["a", 1, [[]] * (PAGE_ROWS_MAX + 1)]]}
    assert decode_page(msgpack.packb(many), 0.0) is None


def test_a_neutral_row_needs_to_say_nothing() -> None:
    page = decode_page(encode_page([neutral(3)], 0.0), 0.0)
    assert page is not None
    assert page.rows == (neutral(3),)
