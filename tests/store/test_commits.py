"""Change sets as transactions: guards that let nothing slip, records beside values, batches in a safe order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from store.changes import OBJECT_BYTES_MAX, Change, ChangeSet
from store.commits import Authorship, batches, refreshed, transaction
from store.errors import ConflictError, InputError
from store.history import Action, decode_record
from store.keys import parse_key
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from store.snapshot import Entry
from store.transactions import GUARDS_MAX, REQUEST_BYTES_MAX, Guard, Put, RangeGuard
from tests.harness.memory_store import MemoryStore

PREFIX = "/mesh/v1"
SIZES = (0, 5_000, 200_000, OBJECT_BYTES_MAX)
BY = Authorship("20260101T000000.000000Z-abc", "ann", "2026-01-01T00:00:00Z", "why")
FORMAT = Entry("format", b"", 1, 1, 1)


def key(namespace: str, number: int, plural: str = "virtualservices") -> str:
    return f"ns/{namespace}/{plural}/o{number:04}"


def created(*keys: str, value: bytes = b"new", revision: int = 10) -> ChangeSet:
    return ChangeSet(tuple(Change(one, Action.CREATED, None, value) for one in keys), revision)


def test_values_and_records_of_every_namespace_are_one_transaction() -> None:
    before = Entry(key("a", 1), b"old", 3, 5, 2)
    changes = (
        Change(key("a", 1), Action.CONFIGURED, before, b"new"),
        Change(key("b", 2), Action.DELETED, replace(before, key=key("b", 2)), None),
        Change(key("b", 3), Action.UNCHANGED, before, b"old"),
        Change("mesh", Action.CREATED, None, b"config"),
    )
    whole = transaction(ChangeSet(changes, 9), BY, prefix=PREFIX, stored_format=FORMAT)
    values = {one.key: one.value if isinstance(one, Put) else b"" for one in whole.operations}
    history = f"{PREFIX}-history"
    assert list(values) == [
        f"{PREFIX}/{key('a', 1)}",
        f"{PREFIX}/{key('b', 2)}",
        f"{PREFIX}/mesh",
        f"{history}/_mesh/{BY.change}",
        f"{history}/a/{BY.change}",
        f"{history}/b/{BY.change}",
    ]
    record = decode_record("a", BY.change, Entry("", values[f"{history}/a/{BY.change}"], 1, 1, 1))
    assert record.overwrote[0].before == before
    assert record.namespaces == ("", "a", "b")
    assert (record.author, record.message) == ("ann", "why")


def test_the_first_write_also_writes_the_format() -> None:
    whole = transaction(created(key("a", 1)), BY, prefix=PREFIX, stored_format=None)
    assert whole.operations[0] == Put(f"{PREFIX}/format", b'{"format":1,"oldestReader":1}')
    assert whole.guards[0] == Guard(f"{PREFIX}/format", 0)
    later = transaction(created(key("a", 1)), BY, prefix=PREFIX, stored_format=FORMAT)
    assert later.guards[0] == Guard(f"{PREFIX}/format", 1)
    assert all(one.key != f"{PREFIX}/format" for one in later.operations)


def test_few_keys_have_a_guard_each_and_many_share_ranges_within_their_namespace() -> None:
    few = transaction(created(key("a", 1)), BY, prefix=PREFIX, stored_format=FORMAT)
    assert Guard(f"{PREFIX}/{key('a', 1)}", 0) in few.guards
    assert Guard(f"{PREFIX}-history/a/{BY.change}", 0) in few.guards
    keys = [key(namespace, number) for namespace in ("a", "b") for number in range(400)]
    many = transaction(created(*keys, "mesh"), BY, prefix=PREFIX, stored_format=FORMAT)
    assert GUARDS_MAX // 2 < len(many.guards) <= GUARDS_MAX
    assert Guard(f"{PREFIX}/mesh", 0) in many.guards
    for guard in many.guards:
        if isinstance(guard, RangeGuard):
            assert (
                guard.start.split("/")[:5] == guard.end.split("/")[:5] or "history" in guard.start
            )


@st.composite
def races(draw: st.DrawFn) -> tuple[int, int, list[tuple[str, int]]]:
    """(objects stored, objects touched, what others do meanwhile)."""
    deeds = st.tuples(st.sampled_from(["put", "delete", "elsewhere"]), st.integers(0, 299))
    return draw(st.integers(0, 300)), draw(st.integers(1, 300)), draw(st.lists(deeds, max_size=2))


@given(races())
def test_nothing_is_overwritten_that_others_wrote_since_it_was_read(
    race: tuple[int, int, list[tuple[str, int]]],
) -> None:
    there, touched, deeds = race
    store = MemoryStore()
    for number in range(there):
        store.put(f"{PREFIX}/{key('a', number)}", b"old")
    read = dict(store.entries)
    changes = tuple(
        Change(
            key("a", number), Action.CONFIGURED, read.get(f"{PREFIX}/{key('a', number)}"), b"new"
        )
        for number in range(touched)
    )
    change_set = ChangeSet(changes, store.revision)
    for deed, number in deeds:
        name = f"{PREFIX}/{key('a' if deed != 'elsewhere' else 'b', number)}"
        if deed == "delete":
            store.delete(name)
        else:
            store.put(name, b"theirs")
    whole = transaction(change_set, BY, prefix=PREFIX, stored_format=None)
    changed = {
        change.key
        for change in changes
        if store.entries.get(f"{PREFIX}/{change.key}") != read.get(f"{PREFIX}/{change.key}")
    }
    only_deleted = all(f"{PREFIX}/{one}" not in store.entries for one in changed)
    is_written = store.commit(whole)
    if changed and not (only_deleted and touched > GUARDS_MAX - 2):
        assert not is_written
    if not deeds:
        assert is_written


def test_a_deletion_by_another_change_set_is_noticed_even_where_guards_are_shared() -> None:
    store = MemoryStore()
    keys = [key("a", number) for number in range(200)]
    for one in keys:
        store.put(f"{PREFIX}/{one}", b"old")
    read = {one: replace(store.entries[f"{PREFIX}/{one}"], key=one) for one in keys}
    changes = tuple(Change(one, Action.CONFIGURED, read[one], b"new") for one in keys)
    ours = ChangeSet(changes, store.revision)
    theirs = ChangeSet((Change(keys[7], Action.DELETED, read[keys[7]], None),), store.revision)
    other = replace(BY, change="20260101T000001.000000Z-def")
    assert store.commit(transaction(theirs, other, prefix=PREFIX, stored_format=None))
    stored_format = store.entries[f"{PREFIX}/format"]
    assert not store.commit(transaction(ours, BY, prefix=PREFIX, stored_format=stored_format))


def test_a_change_set_above_the_request_size_is_refused_and_batches_offered() -> None:
    large = created(*(key("a", number) for number in range(8)), value=bytes(200_000))
    with pytest.raises(InputError, match="--batches"):
        transaction(large, BY, prefix=PREFIX, stored_format=None)
    scattered = created(*(key(f"n{number}", number) for number in range(90)))
    with pytest.raises(InputError, match="90 namespaces"):
        transaction(scattered, BY, prefix=PREFIX, stored_format=None)


def test_batches_write_destinations_before_routes_and_delete_the_other_way() -> None:
    plurals = ("virtualservices", "sidecars", "gateways", "destinationrules", "serviceentries")
    before = Entry("", b"old", 1, 1, 1)
    changes = [Change("mesh", Action.CREATED, None, b"{}")]
    for plural in plurals:
        changes.append(Change(key("a", 1, plural), Action.CREATED, None, bytes(400_000)))
        changes.append(Change(key("a", 2, plural), Action.DELETED, before, None))
    pieces = batches(ChangeSet(tuple(changes), 9))
    assert len(pieces) == 2
    order = [(one.action.value, parse_key(one.key)) for piece in pieces for one in piece.changes]
    kinds = [(action, place.kind) for action, place in order if isinstance(place, ObjectRef)]
    assert kinds == [
        ("created", Kind.MESH_CONFIG),
        ("created", Kind.SERVICE_ENTRY),
        ("created", Kind.DESTINATION_RULE),
        ("created", Kind.GATEWAY),
        ("created", Kind.SIDECAR),
        ("created", Kind.VIRTUAL_SERVICE),
        ("deleted", Kind.VIRTUAL_SERVICE),
        ("deleted", Kind.SIDECAR),
        ("deleted", Kind.GATEWAY),
        ("deleted", Kind.DESTINATION_RULE),
        ("deleted", Kind.SERVICE_ENTRY),
    ]


@settings(max_examples=25, phases=[Phase.generate])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 60), st.integers(0, 9), st.sampled_from(SIZES), st.sampled_from(SIZES)
        ),
        max_size=40,
        unique_by=lambda one: one[:2],
    )
)
def test_every_batch_fits_one_transaction_and_each_change_is_in_one_of_them(
    shapes: list[tuple[int, int, int, int]],
) -> None:
    changes = []
    for namespace, number, before, after in shapes:
        name = key(f"n{namespace}", number)
        entry = Entry(name, b"\0" * before, 1, 1, 1) if before else None
        changes.append(Change(name, Action.CONFIGURED, entry, b"x" * after))
    pieces = batches(ChangeSet(tuple(changes), 9))
    assert sorted(one.key for piece in pieces for one in piece.changes) == sorted(
        one.key for one in changes
    )
    by = replace(BY, message="m" * 1000)
    for piece in pieces:
        whole = transaction(piece, by, prefix=PREFIX, stored_format=None)
        assert whole.size_bytes() <= REQUEST_BYTES_MAX


def test_a_change_set_read_again_is_refused_where_someone_else_wrote() -> None:
    old = Entry(key("a", 1), b"old", 1, 5, 1)
    mine = ChangeSet((Change(key("a", 1), Action.CONFIGURED, old, b"mine"),), 9)
    again = refreshed(mine, {key("a", 1): old}, revision=12)
    assert again.read_revision == 12
    assert again.changes == mine.changes
    with pytest.raises(ConflictError) as failure:
        refreshed(mine, {key("a", 1): replace(old, value=b"theirs", mod_revision=11)}, revision=12)
    text = failure.value.message
    assert "read at revision 5, at revision 11 now" in text
    assert "yours:  mine" in text
    assert "stored: theirs" in text
    with pytest.raises(ConflictError, match="deleted now"):
        refreshed(mine, {}, revision=12)
