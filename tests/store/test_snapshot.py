"""Snapshots: sharing, order, labels, and the hash by which two hosts compare."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from store.objects.kinds import Kind
from store.snapshot import Entry, Epoch, Snapshot

EPOCH = Epoch(1, 0xC1)


def entry(key: str, value: bytes = b"{}", revision: int = 5) -> Entry:
    return Entry(key, value, 3, revision, 1)


ROUTE = entry("ns/default/virtualservices/reviews")
RULE = entry("ns/default/destinationrules/reviews")
HOST = entry("hosts/vm-7")
MESH = entry("mesh")

keys = st.sampled_from(
    ["mesh", "format", "hosts/a", "hosts/b"]
    + [
        f"ns/{namespace}/{plural}/{name}"
        for namespace in ("a", "ab")
        for plural in ("virtualservices", "gateways")
        for name in ("x", "y")
    ]
)
entries = st.builds(entry, keys, st.binary(max_size=4), st.integers(1, 9))
changes = st.lists(st.tuples(st.lists(entries, max_size=4), st.sets(keys, max_size=3)), max_size=8)


def test_what_was_put_in_is_found_by_key_folder_kind_and_host() -> None:
    snapshot = Snapshot.of(EPOCH, 9, [MESH, HOST, RULE, ROUTE])
    assert len(snapshot) == 4
    assert snapshot.get("hosts/vm-7") is HOST
    assert snapshot.get("hosts/vm-8") is None
    assert "mesh" in snapshot
    assert list(snapshot.kind(Kind.VIRTUAL_SERVICE)) == [ROUTE]
    assert list(snapshot.kind(Kind.MESH_CONFIG)) == [MESH]
    assert list(snapshot.hosts()) == [HOST]
    assert list(snapshot.entries("ns/default")) == [RULE, ROUTE]
    assert list(snapshot.entries("ns/default/virtualservices/")) == [ROUTE]
    assert sorted(snapshot.keys()) == [e.key for e in (HOST, MESH, RULE, ROUTE)]


def test_a_folder_never_matches_another_whose_name_it_begins() -> None:
    snapshot = Snapshot.of(EPOCH, 9, [entry("ns/a/gateways/x"), entry("ns/ab/gateways/x")])
    assert [e.key for e in snapshot.entries("ns/a")] == ["ns/a/gateways/x"]


def test_a_kind_is_read_only_where_its_keys_may_lie() -> None:
    stray = entry("ns/default/deep/virtualservices/reviews")
    assert list(Snapshot.of(EPOCH, 9, [stray]).kind(Kind.VIRTUAL_SERVICE)) == []


def test_the_older_snapshot_does_not_see_the_change() -> None:
    older = Snapshot.of(EPOCH, 5, [ROUTE])
    newer = older.apply([RULE], [ROUTE.key], 6)
    assert list(older.entries()) == [ROUTE]
    assert list(newer.entries()) == [RULE]
    assert (older.revision, newer.revision) == (5, 6)


def test_a_relist_keeps_the_entries_that_are_the_same() -> None:
    older = Snapshot.of(EPOCH, 5, [ROUTE, RULE])
    newer = older.relist([replace(ROUTE), entry(RULE.key, b"new", 8)], 8)
    assert newer.get(ROUTE.key) is ROUTE
    assert newer.changes_since(older) == {RULE.key}


def test_a_new_epoch_is_a_label_on_the_same_content() -> None:
    older = Snapshot.of(EPOCH, 5, [ROUTE])
    newer = older.relist([ROUTE], 2, epoch=Epoch(2, 0xC2))
    assert str(newer.epoch) == "c2.2"
    assert newer.hash == older.hash
    assert newer.changes_since(older) == set()


def test_the_same_is_the_same_label_and_content() -> None:
    base = Snapshot.of(EPOCH, 5, [ROUTE])
    assert base.is_same(Snapshot.of(EPOCH, 5, [ROUTE]))
    assert not base.is_same(Snapshot.of(EPOCH, 6, [ROUTE]))
    assert not base.is_same(Snapshot.of(Epoch(2, 1), 5, [ROUTE]))
    assert not base.is_same(Snapshot.of(EPOCH, 5, [RULE]))


def test_the_hash_covers_key_value_and_revisions_and_not_the_lease() -> None:
    base = Snapshot.of(EPOCH, 5, [ROUTE])
    others = [
        replace(ROUTE, key="ns/default/virtualservices/review"),
        replace(ROUTE, value=b"{ }"),
        replace(ROUTE, create_revision=4),
        replace(ROUTE, mod_revision=6),
        replace(ROUTE, version=2),
    ]
    assert len({base.hash, *(Snapshot.of(EPOCH, 5, [other]).hash for other in others)}) == 6
    assert Snapshot.of(EPOCH, 5, [replace(ROUTE, lease=7)]).hash == base.hash


@given(changes)
def test_the_hash_does_not_depend_on_the_way_that_led_there(
    steps: list[tuple[list[Entry], set[str]]],
) -> None:
    snapshot = Snapshot.empty(EPOCH)
    model: dict[str, Entry] = {}
    for revision, (upserts, deletes) in enumerate(steps):
        snapshot = snapshot.apply(upserts, deletes, revision)
        for key in deletes:
            model.pop(key, None)
        model.update((e.key, e) for e in upserts)
    assert list(snapshot.entries()) == sorted(model.values(), key=lambda e: _order(e.key))
    assert len(snapshot) == len(model)
    assert snapshot.hash == Snapshot.of(EPOCH, 0, reversed(list(model.values()))).hash


@given(changes, st.integers(0, 8))
def test_changes_since_names_every_key_that_differs(
    steps: list[tuple[list[Entry], set[str]]], at: int
) -> None:
    history = [Snapshot.empty(EPOCH)]
    for revision, (upserts, deletes) in enumerate(steps):
        history.append(history[-1].apply(upserts, deletes, revision))
    older, newer = history[min(at, len(history) - 1)], history[-1]
    differing = {key for key in {*older.keys(), *newer.keys()} if older.get(key) != newer.get(key)}
    assert differing <= newer.changes_since(older)
    stranger = Snapshot.of(EPOCH, 0, older.entries())
    assert newer.changes_since(stranger) == differing


def test_a_reader_who_skipped_many_snapshots_still_learns_what_changed() -> None:
    older = newer = Snapshot.of(EPOCH, 5, [ROUTE])
    for revision in range(6, 200):
        newer = newer.apply([entry(RULE.key, b"%d" % revision, revision)], (), revision)
    assert newer.changes_since(older) == {RULE.key}


def _order(key: str) -> tuple[str, str]:
    folder, _, name = key.rpartition("/")
    return folder, name
