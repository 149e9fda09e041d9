"""Buckets and host tables: order of creation, persistence, most specific host."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.buckets import Buckets, HostTables, age
from sidecar.mesh.model import HostName
from sidecar.mesh.names import most_specific
from store.objects.base import ObjectRef
from store.objects.kinds import Kind


@dataclass(frozen=True)
class Item:
    ref: ObjectRef
    create_revision: int


def item(name: str, revision: int, namespace: str = "default") -> Item:
    return Item(ObjectRef(Kind.VIRTUAL_SERVICE, namespace, name), revision)


items = st.builds(item, st.sampled_from("abc"), st.integers(1, 4), st.sampled_from(["m", "n"]))


@given(st.lists(items))
def test_a_bucket_is_in_order_of_creation_then_name_then_namespace(added: list[Item]) -> None:
    buckets: Buckets[str, Item] = Buckets()
    for one in added:
        buckets = buckets.add("key", one)
    latest = {one.ref: one for one in added}
    assert buckets.get("key") == tuple(sorted(latest.values(), key=age))


@given(st.lists(items, min_size=1))
def test_an_older_index_is_not_touched_by_a_newer_one(added: list[Item]) -> None:
    empty: Buckets[str, Item] = Buckets()
    before = empty.add("key", added[0])
    after = before
    for one in added[1:]:
        after = after.add("key", one)
    after.remove("key", added[0].ref)
    assert before.get("key") == (added[0],)


def test_an_emptied_bucket_is_gone() -> None:
    empty: Buckets[str, Item] = Buckets()
    buckets = empty.add("key", item("a", 1))
    assert len(buckets) == 1
    assert len(buckets.remove("key", item("a", 1).ref)) == 0
    assert buckets.remove("key", item("b", 1).ref) is buckets
    assert list(buckets) == ["key"]


hosts = st.one_of(
    st.sampled_from(["a.x", "b.a.x", "x"]), st.sampled_from(["*", "*.x", "*.a.x", "*x"])
).map(HostName)


@given(st.sets(hosts), hosts)
def test_most_specific_host_of_a_table_is_the_naive_one(
    known: set[HostName], host: HostName
) -> None:
    tables: HostTables[str, Item] = HostTables()
    for name in known:
        tables = tables.add("t", name, item(name.replace("*", "w"), 1))
    expected = most_specific(host, known)
    found = tables.most_specific("t", host, lambda _: True)
    assert found == (() if expected is None else tables.get("t", expected))
    assert tables.most_specific("other", host, lambda _: True) == ()


def test_an_emptied_table_is_gone() -> None:
    host = HostName("a.x")
    empty: HostTables[str, Item] = HostTables()
    tables = empty.add("t", host, item("a", 1))
    assert tables.remove("t", HostName("b.x"), item("a", 1).ref) is tables
    assert len(tables.remove("t", host, item("a", 1).ref).tables) == 0
