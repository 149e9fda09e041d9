"""Which generation serves: the last valid one, whoever remembers what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.catalog import Catalog, Compacted, RecallSource
from store.diagnostics import Diagnostic, diagnose
from store.objects.base import Model, ObjectRef
from store.objects.kinds import Kind
from store.snapshot import Entry, Epoch, Snapshot
from tests.harness.fake_store import FakeStore

KEY = "ns/default/gateways/g"
REF = ObjectRef(Kind.GATEWAY, "default", "g")
EPOCH = Epoch(1, 0xC1)


class Anything(Model):
    """A model without fields."""


@dataclass(frozen=True)
class Told:
    """What the decoder of these tests says: values that begin with `ok` are valid."""

    object: Model | None
    document: Mapping[str, Any] | None
    diagnostics: tuple[Diagnostic, ...]


def decode(key: str, value: bytes) -> Told:
    if value.startswith(b"ok"):
        return Told(Anything(), {"value": value}, ())
    return Told(None, None, (diagnose("MESH0123", f"{value!r} is not ok", file=key),))


class Host:
    """A sidecar that looks at the store now and then, and asks it what the catalog wants to know."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.catalog = Catalog.empty(decode=decode)
        self.asked = 0

    def look(self, revision: int, *, answered: bool = True) -> None:
        entries = self.store.states[revision].values()
        before = self.catalog.snapshot
        after = (
            Snapshot.of(EPOCH, revision, entries)
            if before is None
            else before.relist(entries, revision)
        )
        self.catalog = self.catalog.apply(after).catalog
        if answered:
            self.answer()

    def answer(self) -> None:
        while self.catalog.recalls:
            for recall in self.catalog.recalls:
                self.asked += 1
                found: Entry | Compacted | None = self.store.states[recall.revision].get(recall.key)
                if recall.source is RecallSource.HISTORY:
                    found = None
                elif recall.revision < self.store.compacted:
                    found = Compacted()
                self.catalog = self.catalog.recalled(recall, found).catalog

    @property
    def serving(self) -> Entry | None:
        found = self.catalog.objects.get(REF)
        return found.entry if found is not None else None

    @property
    def reason(self) -> str:
        return "; ".join(
            problem.message for row in self.catalog.quarantined for problem in row.diagnostics
        )


def store_of(*values: bytes | None) -> FakeStore:
    """A store in which the key had these values, one revision each; None deletes it."""
    store = FakeStore()
    for value in values:
        store.write({KEY: value})
    return store


def last_valid(store: FakeStore) -> Entry | None:
    """The oracle: the newest valid value since the key's creation."""
    newest = store.state.get(KEY)
    if newest is None:
        return None
    for state in reversed(store.states[newest.create_revision :]):
        entry = state.get(KEY)
        if entry is not None and entry.value.startswith(b"ok"):
            return entry
    return None


values = st.lists(st.sampled_from([b"ok1", b"ok2", b"bad1", b"bad2", None]), max_size=12)


@given(values, st.lists(st.sets(st.integers(1, 13)), min_size=1, max_size=4))
def test_hosts_that_saw_different_parts_of_a_history_serve_the_same(
    history: list[bytes | None], looks: list[set[int]]
) -> None:
    store = store_of(*history)
    for seen in looks:
        host = Host(store)
        for revision in sorted(seen):
            if revision < store.revision:
                host.look(revision)
        host.look(store.revision)
        assert host.serving == last_valid(store)
        newest = store.state.get(KEY)
        spoilt = newest is not None and not newest.value.startswith(b"ok")
        assert bool(host.catalog.quarantined) == spoilt


@given(values, st.sets(st.integers(1, 13)), st.integers(0, 13))
def test_with_compacted_history_nothing_invalid_and_nothing_of_a_former_life_serves(
    history: list[bytes | None], seen: set[int], compacted: int
) -> None:
    store = store_of(*history)
    host = Host(store)
    for revision in sorted(seen):
        if revision < store.revision:
            host.look(revision)
    store.compact(compacted)
    host.look(store.revision)
    serving, newest = host.serving, store.state.get(KEY)
    if serving is not None:
        assert newest is not None
        assert serving.value.startswith(b"ok")
        assert serving.create_revision == newest.create_revision
    if serving != last_valid(store):
        assert [row.certain for row in host.catalog.quarantined] == [False]


def test_a_bad_value_changes_nothing_but_the_list_of_the_quarantined() -> None:
    host = Host(store_of(b"ok1", b"bad1"))
    host.look(2)
    assert host.catalog.quarantined == ()
    snapshot = Snapshot.of(EPOCH, 3, host.store.state.values())
    step = host.catalog.apply(snapshot)
    assert (step.change.refs, step.change.hosts) == (frozenset(), frozenset())
    assert step.change.quarantine
    assert step.recalls == ()
    row = step.catalog.quarantined[0]
    assert (row.revision, row.generation, row.serving_revision) == (3, 2, 2)
    assert (row.ref, row.searching, row.certain) == (REF, False, True)
    assert row.diagnostics[0].file == "Gateway/default/g@3"


def test_while_the_search_goes_on_what_is_remembered_serves() -> None:
    host = Host(store_of(b"ok1", b"ok2", b"bad1"))
    host.look(2)
    host.look(4, answered=False)
    assert host.serving is not None
    assert host.serving.value == b"ok1"
    assert host.catalog.quarantined[0].searching
    host.answer()
    assert host.serving.value == b"ok2"
    assert not host.catalog.quarantined[0].searching


def test_a_valid_value_ends_the_search() -> None:
    host = Host(store_of(b"ok1", b"bad1", b"bad2", b"ok2"))
    host.look(4, answered=False)
    open_question = host.catalog.recalls[0]
    host.look(5, answered=False)
    assert host.catalog.recalls == ()
    late = host.catalog.recalled(open_question, host.store.states[2][KEY])
    assert not late.change
    assert host.serving is not None
    assert host.serving.value == b"ok2"


def test_a_key_created_anew_does_not_serve_what_was_deleted() -> None:
    host = Host(store_of(b"ok1", None, b"bad1"))
    host.look(2)
    host.look(4)
    assert host.serving is None
    assert host.asked == 0
    assert host.catalog.quarantined[0].serving_revision is None


def test_a_key_spoilt_a_thousand_times_is_not_looked_through_for_ever() -> None:
    host = Host(store_of(b"ok1", *[b"bad%d" % n for n in range(1000)]))
    host.look(host.store.revision)
    assert host.serving is None
    assert host.asked < 110
    assert not host.catalog.quarantined[0].certain


def test_where_etcd_forgot_history_is_asked() -> None:
    host = Host(store_of(b"ok1", b"bad1", b"bad2"))
    host.store.compact(4)
    host.look(4, answered=False)
    (recall,) = host.catalog.recalls
    step = host.catalog.recalled(recall, Compacted())
    (recall,) = step.recalls
    assert recall.source is RecallSource.HISTORY
    step = step.catalog.recalled(recall, host.store.states[2][KEY])
    assert step.change.refs == {REF}
    assert step.catalog.objects[REF].entry.value == b"ok1"
    assert not step.catalog.quarantined[0].certain
    assert step.catalog.recalls == ()


def test_what_history_overwrote_in_a_former_life_does_not_serve() -> None:
    host = Host(store_of(b"ok1", None, b"bad1", b"bad2"))
    host.store.compact(5)
    host.look(5, answered=False)
    (recall,) = host.catalog.recalls
    (recall,) = host.catalog.recalled(recall, Compacted()).recalls
    host.catalog = host.catalog.recalled(host.catalog.recalls[0], Compacted()).catalog
    step = host.catalog.recalled(recall, host.store.states[2][KEY])
    assert REF not in step.catalog.objects


def test_what_a_former_epoch_served_goes_on_until_a_valid_value_comes() -> None:
    host = Host(store_of(b"ok1"))
    host.look(2)
    known = host.catalog.snapshot
    assert known is not None
    other = FakeStore(0xE2)
    other.write({"mesh": b"ok"})
    other.write({KEY: b"bad1"})
    epoch = Epoch(2, 0xE2)
    host.catalog = host.catalog.apply(
        known.relist(other.state.values(), other.revision, epoch=epoch)
    ).catalog
    host.store = other
    host.answer()
    assert host.serving is not None
    assert host.serving.value == b"ok1"
    assert not host.catalog.quarantined[0].certain
    other.write({KEY: b"bad2"})
    snapshot = host.catalog.snapshot
    assert snapshot is not None
    host.catalog = host.catalog.apply(snapshot.relist(other.state.values(), other.revision)).catalog
    host.answer()
    assert host.serving.value == b"ok1"
    other.write({KEY: b"ok9"})
    snapshot = host.catalog.snapshot
    assert snapshot is not None
    host.catalog = host.catalog.apply(snapshot.relist(other.state.values(), other.revision)).catalog
    assert host.serving.value == b"ok9"
    assert host.catalog.quarantined == ()


def test_what_envoy_refused_is_replaced_by_the_generation_before_at_once() -> None:
    host = Host(store_of(b"ok1", b"ok2"))
    host.look(2)
    host.look(3)
    step = host.catalog.reject(REF, 3, "unknown filter")
    assert step.change.refs == {REF}
    assert step.recalls == ()
    assert step.catalog.objects[REF].entry.value == b"ok1"
    (row,) = step.catalog.quarantined
    assert "Envoy refused what was made from it: unknown filter" in row.diagnostics[0].message
    assert (row.revision, row.serving_revision) == (3, 2)
    # The generation before is refused as well: nothing is left.
    step = step.catalog.reject(REF, 2, "unknown cluster")
    assert REF not in step.catalog.objects
    assert len(step.catalog.quarantined[0].diagnostics) == 2


def test_what_envoy_crashed_on_is_replaced_in_the_same_way_and_named_so() -> None:
    host = Host(store_of(b"ok1", b"ok2", b"ok3"))
    host.look(2)
    host.look(3)
    step = host.catalog.reject(REF, 3, "SIGSEGV", crashed=True)
    assert step.catalog.objects[REF].entry.value == b"ok1"
    (row,) = step.catalog.quarantined
    assert (row.revision, row.serving_revision) == (3, 2)
    assert [problem.code for problem in row.diagnostics] == ["MESH0404"]
    assert "SIGSEGV" in row.diagnostics[0].message
    snapshot = step.catalog.snapshot
    assert snapshot is not None
    again = Catalog.empty(decode=decode, memory=step.catalog.memory).apply(snapshot).catalog
    assert again.quarantined == step.catalog.quarantined
    host.catalog = step.catalog
    host.look(4)
    assert host.serving is not None
    assert host.serving.value == b"ok3"
    assert host.catalog.quarantined == ()


def test_what_envoy_refused_is_looked_up_where_the_generation_before_was_not_seen() -> None:
    host = Host(store_of(b"ok1", b"bad1", b"ok2"))
    host.look(4)
    host.catalog = host.catalog.reject(REF, 4, "no").catalog
    assert host.serving is None
    host.answer()
    assert host.serving is not None
    assert host.serving.value == b"ok1"


def test_a_refusal_of_a_generation_that_does_not_serve_changes_nothing() -> None:
    host = Host(store_of(b"ok1", b"ok2"))
    host.look(3)
    assert not host.catalog.reject(REF, 2, "late").change
    stranger = ObjectRef(Kind.GATEWAY, "default", "other")
    assert not host.catalog.reject(stranger, 3, "stranger").change


def test_a_refused_generation_is_passed_over_when_a_later_one_is_bad() -> None:
    host = Host(store_of(b"ok1", b"ok2", b"bad1"))
    host.look(2)
    host.look(3)
    host.catalog = host.catalog.reject(REF, 3, "no").catalog
    host.look(4)
    assert host.serving is not None
    assert host.serving.value == b"ok1"
    # Also by a host that looks it up.
    other = Host(host.store)
    other.look(3)
    other.catalog = other.catalog.reject(REF, 3, "no").catalog
    other.look(4)
    assert other.serving is not None
    assert other.serving.value == b"ok1"


def test_a_new_generation_ends_the_refusal_of_the_one_before() -> None:
    host = Host(store_of(b"ok1", b"ok2", b"ok3"))
    host.look(3)
    host.catalog = host.catalog.reject(REF, 3, "no").catalog
    host.look(4)
    assert host.serving is not None
    assert host.serving.value == b"ok3"
    assert host.catalog.quarantined == ()


def test_where_neither_etcd_nor_history_knows_what_is_remembered_serves_with_doubt() -> None:
    host = Host(store_of(b"ok1", b"bad1", b"bad2"))
    host.look(2)
    host.store.compact(4)
    host.look(4, answered=False)
    (recall,) = host.catalog.recalls
    (recall,) = host.catalog.recalled(recall, Compacted()).recalls
    host.catalog = host.catalog.recalled(host.catalog.recalls[0], Compacted()).catalog
    step = host.catalog.recalled(recall, Compacted())
    assert step.catalog.objects[REF].entry.value == b"ok1"
    assert not step.catalog.quarantined[0].certain
    assert step.catalog.recalls == ()


def test_history_that_is_older_than_what_is_remembered_does_not_serve() -> None:
    host = Host(store_of(b"ok1", b"ok2", b"bad1", b"bad2"))
    host.look(3)
    host.store.compact(5)
    host.look(5, answered=False)
    host.catalog = host.catalog.recalled(host.catalog.recalls[0], Compacted()).catalog
    step = host.catalog.recalled(host.catalog.recalls[0], host.store.states[2][KEY])
    assert step.catalog.objects[REF].entry.value == b"ok2"


def test_a_search_that_meets_what_is_remembered_ends_there() -> None:
    host = Host(store_of(b"ok1", b"ok2", b"bad1", b"bad2"))
    host.look(3)
    host.look(5)
    assert host.asked == 2
    (row,) = host.catalog.quarantined
    assert (row.serving_revision, row.certain) == (3, True)


def test_an_answer_under_another_key_is_a_fault_of_the_program() -> None:
    host = Host(store_of(b"ok1", b"bad1"))
    host.look(3, answered=False)
    (recall,) = host.catalog.recalls
    with pytest.raises(AssertionError, match="relative"):
        host.catalog.recalled(recall, Entry(f"/meshd/v1/{KEY}", b"ok1", 2, 2, 1))
