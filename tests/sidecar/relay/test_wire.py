"""Words of the relay on the wire: what is encoded is decoded, and bytes that are none never raise."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.relay import wire
from sidecar.relay.wire import Attested

hashes = st.binary(min_size=16, max_size=16)
digests = st.binary(min_size=32, max_size=32)
revisions = st.integers(0, (1 << 63) - 1)
clusters = st.integers(0, (1 << 64) - 1)
u32 = st.integers(0, (1 << 32) - 1)
nodes = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=100)
pairs = st.lists(st.builds(Attested, revisions, hashes), max_size=wire.PAIRS_MAX).map(tuple)
statements = st.builds(wire.Statement, nodes, clusters, pairs, st.binary(max_size=64))
chunk_sizes = st.integers(wire.CHUNK_BYTES_MIN, wire.CHUNK_BYTES_MAX)
words = st.one_of(
    st.builds(wire.Want, clusters, hashes, revisions),
    st.builds(wire.ChunkRequest, digests, u32),
    st.builds(wire.VouchRequest, clusters, revisions),
    st.builds(wire.Offer, digests, revisions, st.integers(0, (1 << 40) - 1), chunk_sizes),
    st.builds(wire.Chunk, u32, st.binary(min_size=1, max_size=99), digests, revisions),
    st.builds(wire.Refusal, st.sampled_from(wire.Reason), u32, revisions, hashes),
    st.builds(wire.Vouches, st.lists(statements, max_size=wire.STATEMENTS_MAX).map(tuple)),
)

RUN = settings(max_examples=60)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from("tcgsdiklbryanz"), inner, max_size=6)
    ),
    max_leaves=20,
)


@RUN
@given(words)
def test_what_is_encoded_is_decoded(word: wire.Word) -> None:
    assert wire.decode(wire.encode(word)) == word


def test_the_longest_words_are_within_the_bound() -> None:
    chunk = wire.Chunk(2**32 - 1, bytes(wire.CHUNK_BYTES_MAX), bytes(32), 2**63 - 1)
    longest = tuple(Attested(2**63 - 1, bytes(16)) for _ in range(wire.PAIRS_MAX))
    statement = wire.Statement("n" * 100, 2**64 - 1, longest, bytes(64))
    for word in (chunk, wire.Vouches((statement,) * wire.STATEMENTS_MAX)):
        assert len(wire.encode(word)) <= wire.WORD_BYTES_MAX
        assert wire.decode(wire.encode(word)) == word


@RUN
@given(st.binary(max_size=300))
def test_random_bytes_are_no_word_and_never_raise(body: bytes) -> None:
    wire.decode(body)


@RUN
@given(anything)
def test_whatever_msgpack_can_say_never_raises(value: object) -> None:
    wire.decode(msgpack.packb(value))


@RUN
@given(words, st.data())
def test_damaged_words_never_raise(word: wire.Word, data: st.DataObject) -> None:
    body = bytearray(wire.encode(word))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    wire.decode(bytes(body))
    wire.decode(bytes(body[: data.draw(st.integers(0, len(body)))]))


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("c", -1),
        ("c", None),
        ("c", 1.0),
        ("c", True),
        ("g", b"short"),
        ("g", "x" * 16),
        ("s", 1 << 63),
        ("s", "7"),
        ("t", "W"),
        ("t", None),
    ],
)
def test_a_field_of_a_wrong_value_makes_no_word(key: str, wrong: object) -> None:
    fields = msgpack.unpackb(wire.encode(wire.Want(5, bytes(16), 7)))
    assert wire.decode(msgpack.packb({**fields, "later": [1]})) == wire.Want(5, bytes(16), 7)
    assert wire.decode(msgpack.packb({**fields, key: wrong})) is None


def test_a_reason_of_a_later_version_is_a_refusal_still() -> None:
    said = {"t": "z", "y": "overheated", "a": 5, "r": 9, "g": bytes(16)}
    assert wire.decode(msgpack.packb(said)) == wire.Refusal(wire.Reason.UNKNOWN, 5, 9, bytes(16))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        msgpack.packb([1, 2]),
        msgpack.packb({"t": "w"}),
        msgpack.packb({"t": "z", "y": 7, "a": 0, "r": 0, "g": bytes(16)}),
        b"\x91" * 100_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        msgpack.packb({b"t": 1, "t": "w"}),
        msgpack.packb({"t": "y", "l": [{}] * 6}),
        bytes(wire.WORD_BYTES_MAX + 1),
    ],
)
def test_hostile_bytes_are_no_word(body: bytes) -> None:
    assert wire.decode(body) is None
