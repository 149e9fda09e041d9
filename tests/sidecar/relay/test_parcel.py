"""Parcels: one snapshot from another, bit for bit, and nothing from bytes that are none."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.relay.history import History
from sidecar.relay.parcel import Parcel, Rows, chained, pack, read, short_hash, started
from store.errors import PeerError
from store.snapshot import Entry, Epoch, Snapshot

EPOCH = Epoch(1, 0xC1)
CHUNK = 1024

keys = st.sampled_from([f"ns/{ns}/virtualservices/{x}" for ns in "ab" for x in "pqrs"] + ["mesh"])
numbers = st.integers(0, (1 << 63) - 1)
entries = st.builds(
    Entry,
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9),
    st.binary(max_size=60),
    numbers,
    numbers,
    numbers,
    numbers,
)
steps = st.lists(
    st.tuples(st.dictionaries(keys, st.binary(max_size=9), max_size=3), st.sets(keys, max_size=3)),
    min_size=1,
    max_size=12,
)

RUN = settings(max_examples=60)


def snapshots(changes: list[tuple[dict[str, bytes], set[str]]]) -> list[Snapshot]:
    """What an etcd holds after each of these transactions."""
    found = [Snapshot.empty(EPOCH, 10)]
    for number, (puts, deletes) in enumerate(changes):
        revision = 11 + number
        rows = [Entry(key, value, revision, revision, 1, revision) for key, value in puts.items()]
        found.append(found[-1].apply(rows, deletes, revision))
    return found


def histories(all_of_them: list[Snapshot], kept: int) -> History:
    history = History(kept)
    for snapshot in all_of_them:
        history.remember(snapshot, is_first_hand=True)
    return history


def delta(history: History, base: Snapshot, target: Snapshot) -> Parcel:
    rows = history.changes_since(base.revision, target)
    assert rows is not None
    return pack(target, rows, base.revision, CHUNK)


@RUN
@given(steps, st.integers(2, 13), st.data())
def test_a_snapshot_and_the_changes_since_give_the_later_one_bit_for_bit(
    changes: list[tuple[dict[str, bytes], set[str]]], kept: int, data: st.DataObject
) -> None:
    line = snapshots(changes)
    history = histories(line, kept)
    base = data.draw(st.sampled_from(line))
    remembered = [one for one in line[-kept:] if one.revision >= base.revision]
    target = data.draw(st.sampled_from(remembered))

    rows = read(delta(history, base, target).body)
    after = base.apply(rows.upserts, rows.deletes, target.revision)

    assert list(after.entries()) == list(target.entries())
    assert after.is_same(target)


@RUN
@given(steps)
def test_a_whole_snapshot_comes_out_as_it_went_in(
    changes: list[tuple[dict[str, bytes], set[str]]],
) -> None:
    target = snapshots(changes)[-1]
    rows = read(pack(target, Rows(tuple(target.entries()), ()), 0, CHUNK).body)
    assert Snapshot.of(EPOCH, target.revision, rows.upserts).is_same(target)


@RUN
@given(st.lists(entries, max_size=8), st.lists(st.text(min_size=1, max_size=9), max_size=5))
def test_rows_of_any_content_come_out_sorted_as_they_went_in(
    upserts: list[Entry], deletes: list[str]
) -> None:
    by_key = {entry.key: entry for entry in upserts}
    gone = {key for key in deletes if key not in by_key and key.isprintable()}
    parcel = pack(Snapshot.empty(EPOCH), Rows(tuple(upserts), tuple(gone)), 1, CHUNK)
    assert read(parcel.body) == Rows(
        tuple(by_key[key] for key in sorted(by_key)), tuple(sorted(gone))
    )


def test_keys_that_are_no_text_go_through() -> None:
    entry = Entry("hosts/\udcff\udc80", b"x", 1, 2, 3)
    parcel = pack(Snapshot.empty(EPOCH), Rows((entry,), ()), 0, CHUNK)
    assert read(parcel.body).upserts == (entry,)


@RUN
@given(steps, st.randoms(use_true_random=False))
def test_hosts_with_the_same_content_make_the_same_parcel(
    changes: list[tuple[dict[str, bytes], set[str]]], rng: object
) -> None:
    line = snapshots(changes)
    target = line[-1]
    twin = Snapshot.of(EPOCH, target.revision, reversed(list(target.entries())))
    whole, same = (pack(one, Rows(tuple(one.entries()), ()), 0, CHUNK) for one in (target, twin))
    assert whole == same
    one, other = histories(line, 20), histories(list(snapshots(changes)), 20)
    assert delta(one, line[0], target) == delta(other, line[0], other.newest or target)


def test_chunks_chain_up_to_the_name_of_the_parcel() -> None:
    rows = Rows(tuple(Entry(f"k{i:03}", bytes(100), 1, 2, 3) for i in range(50)), ())
    target = Snapshot.of(EPOCH, 5, rows.upserts)
    parcel = pack(target, rows, 0, CHUNK)
    digest, body = started(short_hash(target), 0, len(parcel.body), CHUNK), b""
    for index in range(len(parcel.digests) - 1):
        digest = chained(digest, parcel.chunk(index))
        assert digest == parcel.digests[index + 1]
        body += parcel.chunk(index)
    assert (body, digest) == (parcel.body, parcel.digest)
    assert len(parcel.digests) > 5
    assert not parcel.chunk(len(parcel.digests) - 1)


def scalars(*values: object) -> bytes:
    return b"".join(msgpack.packb(value) for value in values)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (scalars("a"), "its end in the place of the value of 'a'"),
        (scalars("a", b"x", 1, 2), "its end in the place of a number"),
        (scalars("b", None, "a", None), "out of order at 'a'"),
        (scalars("a", None, "a", None), "out of order at 'a'"),
        (scalars(7), "7 in the place of a key"),
        (scalars("", None), "'' in the place of a key"),
        (scalars("a", "text"), "'text' in the place of the value"),
        (scalars("a", b"x", 1, 2, 3, -1), "-1 in the place of a number"),
        (scalars("a", b"x", 1, 2, 3, 1 << 63), "in the place of a number"),
        (scalars("a", b"x", 1, 2, 3, True), "True in the place of a number"),
        (scalars("a", b"x", 1, 2, 3.0, 4), "3.0 in the place of a number"),
        (scalars("a", [1]), "unreadable"),
        (scalars("a", {"b": 1}), "unreadable"),
        (b"\xdd\xff\xff\xff\xff", "unreadable"),
        (b"\xc6\xff\xff\xff\xffabc", "unreadable"),
        (b"\xc1", "unreadable"),
        (scalars("x" * 5000, None), "in the place of a key"),
    ],
)
def test_what_is_no_parcel_is_refused_with_the_place(body: bytes, said: str) -> None:
    with pytest.raises(PeerError, match=said):
        read(body)


@RUN
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_are_rows(body: bytes) -> None:
    try:
        rows = read(body)
    except PeerError:
        return
    parcel = pack(Snapshot.empty(EPOCH), rows, 0, CHUNK)
    assert read(parcel.body) == rows


@RUN
@given(st.lists(entries, min_size=1, max_size=4), st.data())
def test_damaged_parcels_are_refused_or_have_another_hash(
    upserts: list[Entry], data: st.DataObject
) -> None:
    target = Snapshot.of(EPOCH, 5, upserts)
    body = bytearray(pack(target, Rows(tuple(target.entries()), ()), 0, CHUNK).body)
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    try:
        rows = read(bytes(body))
    except PeerError:
        return
    found = Snapshot.of(EPOCH, 5, rows.upserts)
    same_but_lease = [e.lease for e in found.entries()] != [e.lease for e in target.entries()]
    assert found.hash != target.hash or same_but_lease or rows.deletes
