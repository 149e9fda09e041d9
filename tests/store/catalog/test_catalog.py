"""The catalog over real values: what serves, what is quarantined, what is remembered, what it costs."""

from __future__ import annotations

import base64
import json
import random

import pytest

from store.catalog import Catalog, Remembered
from store.catalog.decoding import Decodings
from store.catalog.folding import Tables
from store.codec import Decoded, decode, parse
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from store.snapshot import Entry, Epoch, Snapshot

EPOCH = Epoch(1, 0xC1)
REF = ObjectRef(Kind.VIRTUAL_SERVICE, "default", "reviews")
KEY = "ns/default/virtualservices/reviews"


def route(subset: str = "v1") -> bytes:
    document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "reviews"},
        "spec": {
            "hosts": ["reviews"],
            "http": [{"route": [{"destination": {"host": "reviews", "subset": subset}}]}],
        },
    }
    return json.dumps(document).encode()


def registration(host: str) -> bytes:
    return json.dumps(
        {"apiVersion": "meshd.io/v1", "kind": "HostRegistration", "host": host}
    ).encode()


def entry(key: str, value: bytes, revision: int = 5, version: int = 1) -> Entry:
    return Entry(key, value, min(revision, 5), revision, version)


def snapshot(*entries: Entry, revision: int = 10) -> Snapshot:
    return Snapshot.of(EPOCH, revision, entries)


def loaded(*entries: Entry) -> Catalog:
    return Catalog.empty().apply(snapshot(*entries)).catalog


def test_objects_and_hosts_are_read_and_named_in_the_change() -> None:
    step = Catalog.empty().apply(
        snapshot(entry(KEY, route()), entry("hosts/vm-7", registration("vm-7")))
    )
    assert step.change.refs == {REF}
    assert step.change.hosts == {"vm-7"}
    catalog = step.catalog
    assert catalog.model(REF).ref == REF
    assert catalog.objects[REF].document["kind"] == "VirtualService"
    assert catalog.hosts["vm-7"].host == "vm-7"
    assert dict(catalog.hosts).keys() == {"vm-7"}
    assert catalog.label == (EPOCH, 10)
    assert catalog.quarantined == ()
    with pytest.raises(KeyError):
        catalog.model(ObjectRef(Kind.VIRTUAL_SERVICE, "default", "ratings"))


def test_a_host_that_is_gone_is_named_and_no_longer_there() -> None:
    before = snapshot(entry("hosts/vm-7", registration("vm-7")))
    step = Catalog.empty().apply(before).catalog.apply(before.apply((), ["hosts/vm-7"], 11))
    assert step.change.hosts == {"vm-7"}
    assert len(step.catalog.hosts) == 0


def test_before_the_first_snapshot_nothing_is_known() -> None:
    catalog = Catalog.empty()
    assert catalog.label is None
    assert (len(catalog.objects), len(catalog.hosts)) == (0, 0)


def test_a_change_names_what_changed_and_nothing_else() -> None:
    before = snapshot(entry(KEY, route()), entry("ns/default/virtualservices/other", b"no"))
    catalog = Catalog.empty().apply(before).catalog
    after = before.apply([entry(KEY, route("v2"), 11, 2)], (), 11)
    step = catalog.apply(after)
    assert step.change.refs == {REF}
    assert not step.change.quarantine
    gone = step.catalog.apply(after.apply((), [KEY], 12))
    assert gone.change.refs == {REF}
    assert REF not in gone.catalog.objects
    assert not gone.catalog.apply(after.apply((), [KEY], 12)).change
    assert catalog.objects[REF].entry.version == 1, "the catalog before is as it was"


def test_yaml_as_etcdctl_puts_it_serves() -> None:
    yaml = (
        b"apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec:\n  hosts: [reviews]\n  http:\n"
        + (b"  - route:\n    - destination: {host: reviews}\n")
    )
    assert loaded(entry(KEY, yaml)).model(REF).metadata.name == "reviews"


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (KEY, b"\xff\xfe", "MESH0121"),
        (KEY, b"{", "MESH0123"),
        (KEY, b"", "MESH0411"),
        (KEY, route().replace(b'"reviews"}', b'"ratings"}', 1), "MESH0410"),
        (KEY, route().replace(b"VirtualService", b"Gateway"), "MESH0410"),
        (KEY, route().replace(b'"http"', b'"htpt"'), "MESH0102"),
        ("ns/default/virtualservice/reviews", route(), "MESH0401"),
        ("stray", b"", "MESH0401"),
        ("hosts/vm-7", b"{}", "MESH0101"),
        ("format", b"one", "MESH0403"),
        ("format", b'{"format": 1}', "MESH0403"),
    ],
)
def test_what_cannot_serve_is_listed_with_its_reason(key: str, value: bytes, code: str) -> None:
    good = entry("ns/default/virtualservices/good", route().replace(b'"reviews"}', b'"good"}', 1))
    catalog = loaded(good, entry(key, value))
    assert len(catalog.objects) == 1
    (row,) = catalog.quarantined
    assert (row.key, row.revision, row.serving_revision) == (key, 5, None)
    assert code in {problem.code for problem in row.diagnostics}
    assert all(problem.file.endswith("@5") for problem in row.diagnostics)
    assert row.searching is False


def test_a_listed_key_that_is_deleted_or_mended_is_no_longer_listed() -> None:
    before = snapshot(entry("stray", b""), entry(KEY, b"{"), entry("format", b"?"))
    catalog = Catalog.empty().apply(before).catalog
    assert [row.key for row in catalog.quarantined] == ["format", KEY, "stray"]
    after = before.apply([entry(KEY, route(), 11, 2)], ["stray", "format"], 11)
    step = catalog.apply(after)
    assert step.catalog.quarantined == ()
    assert step.change.quarantine


def admission(key: bytes = b"1" * 32, revision: int = 5) -> Entry:
    value = {
        "apiVersion": "meshd.io/v1",
        "kind": "Admission",
        "host": "vm-7",
        "publicKey": base64.b64encode(key).decode(),
    }
    return entry("admission/vm-7", json.dumps(value).encode(), revision)


def test_the_last_valid_word_of_an_administrator_on_a_host_holds() -> None:
    first = snapshot(admission())
    step = Catalog.empty().apply(first)
    assert step.change.admissions == {"vm-7"}
    assert step.catalog.admissions["vm-7"].key == b"1" * 32
    assert not step.change.refs
    assert not step.change.hosts
    torn = first.apply([entry("admission/vm-7", b"{", 11, 2)], (), 11)
    held = step.catalog.apply(torn)
    assert [row.key for row in held.catalog.quarantined] == ["admission/vm-7"]
    assert held.catalog.admissions["vm-7"].key == b"1" * 32
    assert not held.change.admissions
    gone = held.catalog.apply(torn.apply([], ["admission/vm-7"], 12))
    assert gone.change.admissions == {"vm-7"}
    assert gone.catalog.admissions == {}


def test_admissions_are_the_same_mapping_while_none_changes() -> None:
    first = snapshot(admission())
    catalog = Catalog.empty().apply(first).catalog
    after = catalog.apply(first.apply([entry(KEY, route(), 11, 1)], (), 11)).catalog
    assert after.admission_entries is catalog.admission_entries


def test_a_newer_format_is_not_loaded_and_says_so() -> None:
    first = snapshot(entry(KEY, route()), entry("format", b'{"format":1,"oldestReader":1}'))
    catalog = Catalog.empty().apply(first).catalog
    assert catalog.refusal == ""
    newer = entry("format", b'{"format":3,"oldestReader":2}', 11, 2)
    second = first.apply([newer, entry(KEY, route("v2"), 11, 2)], (), 11)
    step = catalog.apply(second)
    assert "format 3, which readers of format 2 or newer understand" in step.catalog.refusal
    assert not step.change
    assert step.catalog.label == (EPOCH, 10)
    assert step.catalog.objects[REF].entry.mod_revision == 5
    # Back again: everything since is loaded.
    third = second.apply([entry("format", b'{"format":1,"oldestReader":1}', 12, 3)], (), 12)
    step = step.catalog.apply(third)
    assert step.catalog.refusal == ""
    assert step.change.refs == {REF}


def test_a_store_of_a_newer_format_that_still_can_be_read_is_loaded() -> None:
    catalog = loaded(entry(KEY, route()), entry("format", b'{"format":2,"oldestReader":1}'))
    assert REF in catalog.objects


def test_a_restart_without_etcd_serves_the_same() -> None:
    other = ObjectRef(Kind.VIRTUAL_SERVICE, "default", "other")
    good = route().replace(b'"reviews"}', b'"other"}', 1)
    first = snapshot(entry(KEY, route()), entry("ns/default/virtualservices/other", good))
    catalog = Catalog.empty().apply(first).catalog
    second = first.apply(
        [
            entry(KEY, b"bad", 11, 2),
            entry("ns/default/virtualservices/other", good + b" ", 12, 2),
            Entry("hosts/vm-7", b"bad", 2, 12, 4),
        ],
        (),
        12,
    )
    catalog = catalog.apply(second).catalog.reject(other, 12, "no such filter").catalog
    again = (
        Catalog.empty(memory=catalog.memory).apply(Snapshot.of(EPOCH, 12, second.entries())).catalog
    )
    assert again.quarantined == catalog.quarantined
    assert {ref: o.entry for ref, o in again.objects.items()} == {
        ref: o.entry for ref, o in catalog.objects.items()
    }
    assert set(again.recalls) == set(catalog.recalls) != set()
    assert set(again.memory) == set(catalog.memory)
    assert again.memory
    # What was remembered holds on: the refused generation is not tried again.
    assert (
        again.apply(second.apply((), ["hosts/vm-7"], 13)).catalog.objects[other].entry.version == 1
    )


def test_a_memory_of_another_generation_is_void() -> None:
    stale = Remembered(KEY, 4, entry(KEY, route("old"), 3))
    catalog = Catalog.empty(memory=(stale,)).apply(snapshot(entry(KEY, route(), 5))).catalog
    assert catalog.objects[REF].entry.mod_revision == 5


def test_a_remembered_generation_that_is_no_longer_valid_does_not_serve() -> None:
    stale = Remembered(KEY, 5, entry(KEY, b"what an older version took", 4))
    catalog = Catalog.empty(memory=(stale,)).apply(snapshot(entry(KEY, b"bad", 5))).catalog
    assert REF not in catalog.objects


def test_forgotten_models_are_read_again() -> None:
    entries = [
        entry(f"ns/default/virtualservices/r{n}", route().replace(b'"reviews"}', b'"r%d"}' % n, 1))
        for n in range(30)
    ]
    catalog = Catalog(Tables(), Decodings(decode, models_max=3)).apply(snapshot(*entries)).catalog
    for ref in list(catalog.objects) * 2:
        assert catalog.model(ref).ref == ref


def test_a_forgotten_model_of_a_valid_value_is_made_without_checking_it_again() -> None:
    entries = [
        entry(f"ns/default/virtualservices/r{n}", route().replace(b'"reviews"}', b'"r%d"}' % n, 1))
        for n in range(10)
    ]
    checked: list[str] = []

    def counted(key: str, value: bytes) -> Decoded:
        checked.append(key)
        return decode(key, value)

    decodings = Decodings(counted, parse, models_max=3)
    catalog = Catalog(Tables(), decodings).apply(snapshot(*entries)).catalog
    for ref in list(catalog.objects) * 2:
        assert catalog.model(ref).ref == ref
    assert sorted(checked) == sorted(one.key for one in entries)


def judged(*entries: Entry, memory: tuple[Remembered, ...] = ()) -> tuple[Catalog, list[str]]:
    """The catalog of a snapshot that these rules have judged before, and the keys judged again all the same."""
    again: list[str] = []

    def counted(key: str, value: bytes) -> Decoded:
        again.append(key)
        return decode(key, value)

    catalog = Catalog(Tables(), Decodings(counted, parse), memory=memory, is_judged=True)
    return catalog.apply(snapshot(*entries)).catalog, again


def test_what_the_same_rules_found_valid_is_not_judged_again_and_gives_the_same_catalog() -> None:
    entries = (entry(KEY, route(), 5), entry("hosts/vm-7", registration("vm-7"), 6))
    catalog, again = judged(*entries)
    assert again == []
    fresh = Catalog.empty().apply(snapshot(*entries)).catalog
    assert set(catalog.objects) == set(fresh.objects)
    assert catalog.model(REF) == fresh.model(REF)
    assert dict(catalog.hosts) == dict(fresh.hosts)


def test_what_is_remembered_as_bad_or_belongs_nowhere_is_judged_all_the_same() -> None:
    stale = Remembered(KEY, 5, entry(KEY, route("old"), 4))
    entries = (entry(KEY, b"bad", 5), entry("ns/default/nothings/x", b"{}", 6))
    catalog, again = judged(*entries, memory=(stale,))
    assert KEY in again
    assert catalog.objects[REF].entry.mod_revision == 4
    assert {row.key for row in catalog.quarantined} == {one.key for one in entries}


def test_a_value_that_was_judged_before_and_cannot_be_read_is_judged_again() -> None:
    catalog, again = judged(entry(KEY, b"not what was judged", 5))
    assert again == [KEY]
    assert REF not in catalog.objects


def test_only_the_first_snapshot_was_judged_before() -> None:
    first = snapshot(entry(KEY, route(), 5))
    again: list[str] = []

    def counted(key: str, value: bytes) -> Decoded:
        again.append(key)
        return decode(key, value)

    catalog = Catalog(Tables(), Decodings(counted, parse), is_judged=True).apply(first).catalog
    catalog.apply(first.apply([entry(KEY, route("new"), 6)], (), 6))
    assert again == [KEY]


def test_a_thousand_hostile_values_change_nothing_for_the_others() -> None:
    chance = random.Random(5)
    good = entry(KEY, route())
    before = snapshot(good)
    catalog = Catalog.empty().apply(before).catalog
    hostile = []
    for number in range(500):
        hostile.append(entry(f"ns/default/gateways/g{number}", chance.randbytes(40), 11))
        mutated = bytearray(route())
        for _ in range(3):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        hostile.append(entry(f"ns/other/virtualservices/v{number}", bytes(mutated), 11))
    step = catalog.apply(before.apply(hostile, (), 11))
    assert REF not in step.change.refs
    assert step.catalog.objects[REF].entry is good
    listed = {row.key for row in step.catalog.quarantined}
    assert {f"ns/default/gateways/g{number}" for number in range(500)} <= listed
    served = {o.entry.key for o in step.catalog.objects.values()}
    assert served | listed == {KEY, *(one.key for one in hostile)}
    assert not served & listed


def test_a_model_is_kept_no_longer_than_its_generation_serves() -> None:
    first = snapshot(entry(KEY, route("v1")))
    catalog = Catalog.empty().apply(first).catalog
    before = catalog.model(REF)
    after = catalog.apply(first.apply([entry(KEY, route("v2"), 11, 2)], (), 11)).catalog
    # Whoever still holds the catalog of before finds the same object in it, made anew.
    assert catalog.model(REF) == before
    assert catalog.model(REF) is not before
    assert after.model(REF) != before
