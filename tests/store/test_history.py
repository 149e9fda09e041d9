"""History records: the very bytes that were overwritten come back, and people can read them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.codec import encode
from store.errors import InputError
from store.history import (
    EXPIRED_AT_ONCE_MAX,
    Action,
    HistoryRecord,
    Overwritten,
    change_id,
    decode_record,
    encode_record,
    expired,
    fence_value,
)
from store.snapshot import Entry

KEY = "ns/default/virtualservices/reviews"


def record(*values: bytes | None) -> HistoryRecord:
    return HistoryRecord(
        change="c1",
        namespace="default",
        namespaces=("default", "shop"),
        author="ann@desk",
        time="2026-01-31T23:59:59.000Z",
        message="canary of reviews",
        overwrote=tuple(
            Overwritten(KEY, Action.CONFIGURED, Entry(KEY, value, 3, 5, 2))
            if value is not None
            else Overwritten(KEY, Action.CREATED, None)
            for value in values
        ),
    )


def read_back(written: HistoryRecord) -> HistoryRecord:
    return decode_record("default", "c1", Entry("c1", encode_record(written), 9, 9, 1))


@given(
    st.one_of(
        st.binary(max_size=50),
        st.text(max_size=50).map(str.encode),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=10,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_the_very_bytes_come_back_whatever_they_were(value: bytes) -> None:
    written = record(value, None)
    assert read_back(written) == replace(written, revision=9)


@pytest.mark.parametrize(
    "value",
    [b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\\ud800"}', b"[" * 5000 + b"]" * 5000, b'{"b":1,"a":2}'],
)
def test_json_of_other_spelling_is_kept_as_text(value: bytes) -> None:
    written = record(value)
    assert b'"text":' in encode_record(written)
    assert read_back(written) == replace(written, revision=9)


def test_text_that_would_grow_by_escapes_is_kept_as_base64() -> None:
    written = record(b"\0" * 1000)
    assert len(encode_record(written)) < 2000
    assert read_back(written) == replace(written, revision=9)


def test_canonical_json_stands_in_the_record_as_it_is() -> None:
    value = encode({"kind": "VirtualService", "metadata": {"name": "reviews"}})
    stored = json.loads(encode_record(record(value)))
    assert stored["overwrote"][0]["before"]["json"]["metadata"] == {"name": "reviews"}
    assert stored["author"] == "ann@desk"


def test_a_fence_is_told_from_a_record() -> None:
    fence = decode_record("", "c1", Entry("c1", fence_value("c1", "2026"), 9, 9, 1))
    assert fence.is_fence
    assert not fence.overwrote
    assert not read_back(record()).is_fence


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"format":"x","time":"t"}',
        b'{"format":1}',
        b"[" * 100_000,
        b'{"format":1,"time":"t","overwrote":[{"key":"k","action":"eaten","before":null}]}',
        b'{"format":1,"time":"t","overwrote":[{"key":"k","action":"created","before":{"base64":"?"}}]}',
    ],
)
def test_what_is_no_record_is_an_error_that_says_where(value: bytes) -> None:
    with pytest.raises(InputError, match=r"history record _mesh/c1 at revision 9 cannot be read"):
        decode_record("", "c1", Entry("c1", value, 9, 9, 1))


def test_a_record_of_a_newer_format_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"has format 2; up to 1 is understood"):
        decode_record("", "c1", Entry("c1", b'{"format":2}', 9, 9, 1))


def test_change_ids_sort_by_time() -> None:
    early = change_id("20260131T235959.123456Z", "zz")
    late = change_id("20260201T000000.000000Z", "aa")
    assert early < late


def test_records_go_when_they_are_too_old_or_too_many_oldest_first() -> None:
    changes = ["2026-05", "2026-01", "2026-03", "2026-02", "2026-04"]
    assert expired(changes, oldest_kept="2026-03", kept_max=100) == ("2026-01", "2026-02")
    assert expired(changes, oldest_kept="2026-03", kept_max=2) == ("2026-01", "2026-02", "2026-03")
    assert expired(changes, oldest_kept="", kept_max=5) == ()
    many = [f"{number:05}" for number in range(1000)]
    assert expired(many, oldest_kept="", kept_max=1) == tuple(many[:EXPIRED_AT_ONCE_MAX])
