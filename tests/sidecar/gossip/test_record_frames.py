"""Requirements 31, 34 and 37 for messages about records."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gossip import Identity, Record, Signer, Topic, frames
from sidecar.gossip.claims import EPOCH_MAX, INCARNATION_MAX
from sidecar.gossip.record_frames import (
    AGE_MS_MAX,
    VERSION_MAX,
    RecordTable,
    RecordWanted,
    VersionRow,
    encode_record,
    with_age,
)
from sidecar.gossip.records import PAGES_MAX, RECORD_BODY_BYTES_MAX

ME = frames.Sender(Identity("me", "10.0.0.1:7946", 1), 0)
nodes = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=100)
topics = st.sampled_from(Topic)
pages = st.integers(0, PAGES_MAX - 1)
epochs = st.integers(0, EPOCH_MAX)
versions = st.integers(1, VERSION_MAX)
records = st.builds(
    Record,
    topics,
    nodes,
    pages,
    epochs,
    versions,
    st.binary(max_size=RECORD_BODY_BYTES_MAX),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=64, max_size=64),
    st.integers(0, AGE_MS_MAX),
)
rows = st.builds(VersionRow, topics, nodes, pages, epochs, versions)
messages = st.one_of(
    records,
    st.builds(RecordTable, st.lists(rows, max_size=5).map(tuple)),
    st.builds(RecordWanted, topics),
)


@given(st.lists(messages, max_size=4))
def test_what_is_encoded_is_decoded(said: list[frames.Message]) -> None:
    body = frames.encode(ME, [frames.encode_message(m) for m in said])
    assert frames.decode(body) == frames.Frame(ME, tuple(said), 0)


def test_31_longest_record_of_the_longest_sender_fits_a_datagram() -> None:
    who = Identity("x" * 100, "[1111:2222:3333:4444:5555:6666:7777:8888]:65535", EPOCH_MAX)
    bare = Record(Topic.OVERRIDES, "y" * 100, 7, EPOCH_MAX, VERSION_MAX, b"b" * 700, b"", b"")
    record = Signer.from_seed(bytes(32)).sign(bare, "mesh")
    encoded = with_age(encode_record(record), 1e9)
    sender = frames.Sender(who, INCARNATION_MAX, (1 << 32) - 1, (1 << 32) - 1)
    body = frames.encode(sender, [encoded])
    assert 1100 < len(body) <= frames.BODY_BYTES_MAX
    decoded = frames.decode(body)
    assert decoded is not None
    assert [m.age_ms for m in decoded.messages if isinstance(m, Record)] == [AGE_MS_MAX]


GOOD = {
    "t": "k",
    "s": 0,
    "n": "n1",
    "p": 0,
    "e": 1,
    "v": 1,
    "b": b"x",
    "k": bytes(32),
    "g": bytes(64),
    "o": 0,
}


def _ignored(fields: object) -> int:
    body = frames.encode(ME, [bytes(msgpack.packb(fields))])
    frame = frames.decode(body)
    assert frame is not None
    return frame.ignored


@pytest.mark.parametrize(
    "wrong",
    [
        {"s": 3},
        {"s": -1},
        {"s": "evidence"},
        {"n": "two words"},
        {"n": "x" * 101},
        {"p": 8},
        {"e": EPOCH_MAX + 1},
        {"v": 0},
        {"v": VERSION_MAX + 1},
        {"v": 1.0},
        {"b": bytes(701)},
        {"b": "text"},
        {"k": bytes(31)},
        {"g": bytes(65)},
        {"o": -1},
        {"o": 1 << 32},
    ],
    ids=str,
)
def test_34_record_that_breaks_a_rule_is_counted_and_is_none(wrong: dict[str, object]) -> None:
    assert _ignored(GOOD) == 0
    assert _ignored(GOOD | {"new": 1}) == 0, "37: what is not known beside it is passed over"
    assert _ignored(GOOD | wrong) == 1


@pytest.mark.parametrize("missing", [key for key in GOOD if key != "t"])
def test_34_record_without_a_field_is_none(missing: str) -> None:
    assert _ignored({key: value for key, value in GOOD.items() if key != missing}) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"t": "u"},
        {"t": "u", "r": 5},
        {"t": "u", "r": [["n1", 0, 1]]},
        {"t": "u", "r": [["n1", 24, 1, 1]]},
        {"t": "u", "r": [["n1", 0, 1, 1, 1]]},
        {"t": "u", "r": [[b"n1", 0, 1, 1]]},
        {"t": "w"},
        {"t": "w", "s": 9},
        {"t": "w", "s": None},
    ],
    ids=str,
)
def test_34_tables_and_questions_that_break_a_rule_are_none(fields: dict[str, object]) -> None:
    assert _ignored(fields) == 1


@given(
    st.dictionaries(
        st.sampled_from("snpevbkgorq"),
        st.none() | st.integers(-9, 1 << 64) | st.binary(max_size=70) | st.text(max_size=5),
        max_size=11,
    ),
    st.sampled_from("kuw"),
)
def test_34_fields_of_any_kind_never_raise(fields: dict[str, object], kind: str) -> None:
    if any(isinstance(value, int) and value >= 1 << 64 for value in fields.values()):
        return
    assert _ignored({"t": kind, **fields}) in (0, 1)
