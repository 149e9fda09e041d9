"""The codec of standings: round trips, the size of the longest, and bytes that mean no good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip.records import RECORD_BODY_BYTES_MAX
from sidecar.standing.codec import VERSION_CHARS_MAX, WITHHELD_MAX, decode, encode
from sidecar.standing.model import Standing, Sync
from store.snapshot import Epoch

REVISIONS = st.integers(0, 2**63 - 1)
EPOCHS = st.builds(Epoch, st.integers(1, 2**32 - 1), st.integers(0, 2**64 - 1))
U32 = st.integers(0, 2**32 - 1)


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    received = draw(REVISIONS)
    return Standing(
        epoch=draw(EPOCHS),
        received=received,
        received_hash=draw(st.binary(min_size=16, max_size=16)).hex(),
        in_force=draw(st.integers(0, received)),
        sync=draw(st.sampled_from(Sync)),
        quarantined=draw(U32),
        rejected=draw(U32),
        version=draw(st.text("0123456789.+abc", max_size=VERSION_CHARS_MAX)),
        withheld=tuple(sorted(draw(st.sets(U32, max_size=WITHHELD_MAX)))),
    )


def plain(**fields: Any) -> bytes:
    body = msgpack.packb({"r": 5, "h": b"\0" * 16, "f": 4, "s": 0, "c": 7, "l": 1, **fields})
    assert isinstance(body, bytes)
    return body


@given(standings())
def test_a_standing_comes_back_as_it_was_said(standing: Standing) -> None:
    assert decode(encode(standing)) == standing


def test_before_the_first_snapshot_there_is_no_epoch() -> None:
    standing = Standing(None, 0, "", 0, Sync.STALE)
    assert decode(encode(standing)) == standing


def test_the_longest_standing_fits_a_record() -> None:
    longest = Standing(
        Epoch(2**32 - 1, 2**64 - 1),
        2**63 - 1,
        "f" * 32,
        2**63 - 1,
        Sync.HELD,
        2**32 - 1,
        2**32 - 1,
        "v" * 1000,
        tuple(range(2**32 - 1000, 2**32)),
    )
    body = encode(longest)
    assert len(body) <= RECORD_BODY_BYTES_MAX
    found = decode(body)
    assert found is not None
    assert (len(found.version), len(found.withheld)) == (VERSION_CHARS_MAX, WITHHELD_MAX)


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert decode(plain(z=[1, {"x": 2}])) == decode(plain())
    assert decode(plain()) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"f": 6},
        {"r": -1, "f": 0},
        {"r": 2**63},
        {"r": "5"},
        {"r": 5.0},
        {"r": True, "f": 0},
        {"h": b"\0" * 15},
        {"h": "0" * 16},
        {"s": 4},
        {"s": -1},
        {"c": 2**64 - 1, "l": 0},
        {"q": -1},
        {"j": None},
        {"v": "a" * (VERSION_CHARS_MAX + 1)},
        {"v": "a b"},
        {"v": "\x1b[31m"},
        {"w": [1] * (WITHHELD_MAX + 1)},
        {"w": [2**32]},
        {"w": {}},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_whole(fields: dict[str, Any]) -> None:
    assert decode(plain(**fields)) is None


@pytest.mark.parametrize("missing", ["r", "h", "f", "s", "c", "l"])
def test_half_a_standing_is_none(missing: str) -> None:
    fields = msgpack.unpackb(plain())
    del fields[missing]
    assert decode(msgpack.packb(fields) or b"") is None


def test_a_body_beyond_the_size_of_a_record_is_not_even_read() -> None:
    assert decode(plain(z=b"x" * RECORD_BODY_BYTES_MAX)) is None


@given(st.binary(max_size=RECORD_BODY_BYTES_MAX))
def test_no_bytes_raise(body: bytes) -> None:
    found = decode(body)
    assert found is None or decode(encode(found)) == found


@given(standings(), st.data())
def test_damaged_bytes_never_raise_nor_become_what_cannot_be_said(
    standing: Standing, data: st.DataObject
) -> None:
    body = bytearray(encode(standing))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    found = decode(bytes(body))
    assert found is None or found.in_force <= found.received


@pytest.mark.parametrize("body", [b"\x91" * 600, b"\xdf\xff\xff\xff\xff", b"\xc1", b""])
def test_bytes_that_ask_for_much_memory_or_depth_are_none(body: bytes) -> None:
    assert decode(body) is None


def test_marks_are_told_sorted_and_once() -> None:
    found = decode(plain(w=[9, 3, 9]))
    assert found is not None
    assert found.withheld == (3, 9)
    assert replace(found, withheld=()) == decode(plain())
