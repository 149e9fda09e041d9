"""The bytes of the last known good: whole or refused."""

from __future__ import annotations

import struct
from hashlib import sha256

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.catalog import Recall, RecallSource, Refusal, Remembered
from store.snapshot import Entry, Epoch, Snapshot
from store.snapshot_file import MAGIC, SnapshotFileRefused, StoredSnapshot, decode, encode

ROUTE = Entry("ns/default/virtualservices/reviews", b"{}", 3, 9, 2)
STRAY = Entry(b"\xff".decode("utf-8", "surrogateescape"), b"\x00\xff", 4, 4, 1, 77)
STORED = StoredSnapshot(
    "/meshd/v1",
    Snapshot.of(Epoch(2, 0xC1 << 56), 12, [ROUTE, STRAY]),
    (
        Remembered(
            ROUTE.key,
            9,
            Entry(ROUTE.key, b"{ }", 3, 3, 1),
            refusals=(Refusal(8, "SIGSEGV", crashed=True), Refusal(9, "no such filter")),
            recall=Recall(ROUTE.key, 2, RecallSource.HISTORY),
            certain=False,
            inherited=True,
        ),
        Remembered("hosts/a", 5, None),
    ),
    ("reviews:80", "ratings"),
    1_700_000_000_123,
)
CONTENT = encode(STORED)


def same(one: StoredSnapshot, other: StoredSnapshot) -> bool:
    return (
        list(one.snapshot.entries()) == list(other.snapshot.entries())
        and (one.snapshot.epoch, one.snapshot.revision)
        == (other.snapshot.epoch, other.snapshot.revision)
        and (one.prefix, one.memory, one.names, one.saved_at_ms)
        == (other.prefix, other.memory, other.names, other.saved_at_ms)
    )


def test_what_was_written_is_read() -> None:
    assert same(decode(CONTENT), STORED)


@given(st.integers(0, len(CONTENT) - 1))
def test_a_torn_file_is_refused(length: int) -> None:
    with pytest.raises(SnapshotFileRefused, match="torn"):
        decode(CONTENT[:length])


@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_a_flipped_bit_is_refused(at: int, flip: int) -> None:
    broken = bytearray(CONTENT)
    broken[at] ^= flip
    with pytest.raises(SnapshotFileRefused):
        decode(bytes(broken))


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(SnapshotFileRefused):
        decode(content)


def test_another_format_is_named() -> None:
    newer = MAGIC + (7).to_bytes(2, "big") + CONTENT[10:]
    with pytest.raises(SnapshotFileRefused, match="format 7; this version reads format 1"):
        decode(newer)


def _with_right_checksum(body: bytes) -> bytes:
    return struct.pack(">8sHQ32s", MAGIC, 1, len(body), sha256(body).digest()) + body


def test_a_body_with_a_right_checksum_and_a_wrong_shape_is_refused() -> None:
    body = b"\x81\xa6prefix\xa1/"  # a map with nothing but a prefix
    with pytest.raises(SnapshotFileRefused, match="cannot be understood"):
        decode(_with_right_checksum(body))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("saved_at_ms", float("inf")),  # found by fuzzing: it ended in an OverflowError
        ("revision", 1e300),
        ("life", True),
        ("kept", {"vm-7": 1 << 40}),  # so many zeros, where a number was taken for a length
        ("entries", [["key", 1 << 40, 1, 1, 1, 0]]),
    ],
)
def test_what_is_of_another_type_is_refused_before_it_is_made_one(
    field: str, value: object
) -> None:
    fields = msgpack.unpackb(CONTENT[50:], unicode_errors="surrogateescape")
    body = msgpack.packb({**fields, field: value}, unicode_errors="surrogateescape")
    with pytest.raises(SnapshotFileRefused, match="in the place of"):
        decode(_with_right_checksum(body))
