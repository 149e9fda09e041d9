"""A load that puts judgements off: what is bad never serves, and in the end all is as if nothing had been put off."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from store.catalog import Catalog, CatalogMemory, CatalogObject, Recall, Remembered
from store.catalog.decoding import Decodings
from store.catalog.folding import Tables
from store.codec import Decoded, decode, parse
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from store.snapshot import Entry, Epoch, Snapshot

EPOCH = Epoch(1, 0xC1)
NAMES = ("a", "b", "c", "d")
KINDS = ("virtualservices", "gateways")


def route(name: str, *, good: bool = True, body: str = "x") -> bytes:
    action = {"directResponse": {"status": 200, "body": {"string": body}}} if good else {}
    spec = {"hosts": [name], "http": [action]}
    document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": spec,
    }
    return json.dumps(document).encode()


def entry(name: str, revision: int, *, good: bool = True, version: int = 1) -> Entry:
    key = f"ns/default/virtualservices/{name}"
    return Entry(key, route(name, good=good, body=str(revision)), 2, revision, version)


def ref(name: str) -> ObjectRef:
    return ObjectRef(Kind.VIRTUAL_SERVICE, "default", name)


def snapshot(*entries: Entry, revision: int = 10) -> Snapshot:
    return Snapshot.of(EPOCH, revision, entries)


def loaded(*entries: Entry) -> Catalog:
    return Catalog.empty(put_off_from=1).apply(snapshot(*entries)).catalog


def served(catalog: Catalog, name: str) -> CatalogObject | None:
    """The object as whoever looks for it finds it."""
    found = catalog.objects.get(ref(name))
    return found if found is not None and found.serves else None


def test_a_load_judges_nothing_and_what_is_asked_for_is_judged_then() -> None:
    seen: list[str] = []

    def counted(key: str, value: bytes) -> Decoded:
        seen.append(key)
        return decode(key, value)

    entries = [entry(name, 5) for name in NAMES]
    empty = Catalog(Tables(), Decodings(counted, parse), put_off_from=1)
    catalog = empty.apply(snapshot(*entries)).catalog
    assert (seen, catalog.unjudged, catalog.is_judged) == ([], 4, False)
    found = served(catalog, "b")
    assert found is not None
    assert found.model.ref == ref("b")
    assert seen == ["ns/default/virtualservices/b"]
    assert catalog.unjudged == 3


def test_what_is_bad_serves_nobody_and_is_quarantined_in_the_next_step() -> None:
    bad = entry("b", 5, good=False, version=3)
    catalog = loaded(entry("a", 5), bad)
    assert ref("b") in catalog.objects
    assert served(catalog, "b") is None
    step = catalog.settle()
    assert step.change.refs == {ref("b")}
    assert step.change.quarantine
    assert [row.ref for row in step.catalog.quarantined] == [ref("b")]
    assert step.recalls == (Recall(bad.key, 4),)
    assert ref("b") not in step.catalog.objects
    assert not step.catalog.settle().change


def test_the_generation_before_serves_once_it_is_found() -> None:
    catalog = loaded(entry("b", 9, good=False, version=2))
    assert served(catalog, "b") is None
    step = catalog.settle()
    older = entry("b", 4)
    after = step.catalog.recalled(step.recalls[0], older).catalog
    found = served(after, "b")
    assert found is not None
    assert found.entry is older


def test_a_bad_generation_that_nobody_asked_for_does_not_serve_beside_a_newer_bad_one() -> None:
    first = snapshot(entry("b", 5, good=False))
    catalog = Catalog.empty(put_off_from=1).apply(first).catalog
    newer = entry("b", 11, good=False, version=2)
    after = catalog.apply(first.apply([newer], (), 11)).catalog
    assert ref("b") not in after.objects
    assert [row.revision for row in after.quarantined] == [11]


def test_a_valid_generation_that_nobody_asked_for_serves_beside_a_newer_bad_one() -> None:
    first = snapshot(entry("b", 5))
    catalog = Catalog.empty(put_off_from=1).apply(first).catalog
    newer = entry("b", 11, good=False, version=2)
    after = catalog.apply(first.apply([newer], (), 11)).catalog
    found = served(after, "b")
    assert found is not None
    assert found.entry.mod_revision == 5


def test_below_the_threshold_and_after_the_first_snapshot_nothing_is_put_off() -> None:
    small = Catalog.empty(put_off_from=3).apply(snapshot(entry("a", 5), entry("b", 6))).catalog
    assert small.unjudged == 0
    first = snapshot(entry("a", 5))
    later = Catalog.empty(put_off_from=1).apply(first).catalog.judge(1).catalog
    assert later.is_judged
    assert later.apply(first.apply([entry("b", 11)], (), 11)).catalog.unjudged == 0


def test_what_a_former_run_judged_is_only_parsed_and_vouched_for_at_once() -> None:
    seen: list[str] = []

    def counted(key: str, value: bytes) -> Decoded:
        seen.append(key)
        return decode(key, value)

    empty = Catalog(Tables(), Decodings(counted, parse), is_judged=True, put_off_from=1)
    torn = Entry("ns/default/virtualservices/c", b"torn", 2, 5, 1)
    catalog = empty.apply(snapshot(entry("a", 5), torn)).catalog
    assert catalog.is_judged
    assert served(catalog, "a") is not None
    assert seen == []
    assert served(catalog, "c") is None
    assert seen == [torn.key]


entries = st.builds(
    lambda kind, name, good: (f"ns/default/{kind}/{name}", good),
    st.sampled_from(KINDS),
    st.sampled_from(NAMES),
    st.booleans(),
)
deeds = st.one_of(
    st.tuples(st.just("put"), entries),
    st.tuples(st.just("delete"), entries),
    st.tuples(st.just("ask"), entries),
    st.tuples(st.just("judge"), st.integers(1, 3)),
)


def value_of(key: str, *, good: bool, revision: int) -> bytes:
    name = key.rpartition("/")[2]
    if "virtualservices" in key:
        return route(name, good=good, body=str(revision))
    spec: dict[str, object] = {"selector": {}, "servers": [] if good else 7}
    return json.dumps(
        {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "spec": spec}
    ).encode()


def put(before: Snapshot, key: str, revision: int, *, good: bool) -> Snapshot:
    old = before.get(key)
    value = value_of(key, good=good, revision=revision)
    created, version = (revision, 1) if old is None else (old.create_revision, old.version + 1)
    return before.apply([Entry(key, value, created, revision, version)], (), revision)


def state(catalog: Catalog) -> tuple[object, ...]:
    serving = {r: o.entry for r, o in catalog.objects.items()}
    return serving, catalog.quarantined, catalog.recalls, catalog.memory


@given(st.lists(entries, max_size=8), st.lists(deeds, max_size=12), st.booleans())
@settings(max_examples=150)
def test_when_all_is_judged_the_catalog_is_the_one_that_put_nothing_off(
    beginning: Sequence[tuple[str, bool]], then: Sequence[tuple[str, object]], remembers: bool
) -> None:
    store = Snapshot.empty(EPOCH)
    for revision, (key, good) in enumerate(beginning, 2):
        store = put(store, key, revision, good=good)
    memory: CatalogMemory = ()
    if remembers and beginning:
        key = beginning[0][0]
        held = store.get(key)
        assert held is not None
        older = Entry(key, value_of(key, good=True, revision=1), held.create_revision, 1, 1)
        memory = (Remembered(key, held.mod_revision, older),)
    plain = Catalog.empty(memory=memory).apply(store).catalog
    lazy = Catalog.empty(memory=memory, put_off_from=0).apply(store).catalog
    for revision, (deed, what) in enumerate(then, 100):
        if isinstance(what, int):
            lazy = lazy.judge(what).catalog
            continue
        assert isinstance(what, tuple)
        key, good = what
        if deed == "ask":
            if "virtualservices" in key:
                found, expected = served(lazy, key[-1]), plain.objects.get(ref(key[-1]))
                assert (found and found.entry) == (expected and expected.entry)
            lazy = lazy.settle().catalog
            continue
        store = (
            put(store, key, revision, good=good)
            if deed == "put"
            else store.apply((), [key], revision)
        )
        plain, lazy = plain.apply(store).catalog, lazy.apply(store).catalog
        asked = {one.key for one in plain.recalls}
        assert {one.key for one in lazy.recalls} <= asked
    while lazy.unjudged:
        lazy = lazy.judge(2).catalog
    assert state(lazy.settle().catalog) == state(plain)
