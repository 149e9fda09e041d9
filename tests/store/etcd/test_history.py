"""History in a real etcd: lists, single changes, earlier values, retention."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from store.errors import NotFoundError
from store.etcd.client import EtcdClient
from store.etcd.history import forget_expired, list_history, read_change, recall
from tests.harness.processes import EtcdProcess
from tests.harness.publishing import Document, key_of, put, rule, settings

pytestmark = pytest.mark.real


@pytest.fixture
def client(etcd: EtcdProcess, prefix: str) -> Iterator[EtcdClient]:
    with EtcdClient(settings(etcd.url, prefix)) as made:
        yield made


def test_history_is_listed_newest_first_and_bad_records_are_named(client: EtcdClient) -> None:
    first = put(client, rule("a", "1"), message="one")
    mesh: Document = {
        "apiVersion": "meshd.io/v1",
        "kind": "MeshConfig",
        "metadata": {"name": "mesh"},
    }
    second = put(client, mesh, message="two")
    third = put(client, rule("a", "2"), rule("b", namespace="shop"), message="three")
    history = f"{client.settings.prefix}-history"
    client.put(f"{history}/shop/99990101T000000.000000Z-bad", b"bad")
    client.put(f"{history}/no/record/at/all", b"bad")
    listed = list_history(client)
    assert [(one.change, one.namespace) for one in listed.records] == [
        (third.change, "default"),
        (third.change, "shop"),
        (second.change, ""),
        (first.change, "default"),
    ]
    assert [one.message for one in listed.records] == ["three", "three", "two", "one"]
    assert "shop/99990101" in listed.unreadable[0]
    assert len(list_history(client, limit=1).records) == 1
    assert [one.change for one in list_history(client, namespace="shop").records] == [third.change]
    assert [one.change for one in list_history(client, namespace="").records] == [second.change]
    assert len(read_change(client, third.change, namespace="shop")) == 2
    with pytest.raises(NotFoundError, match="there is no change"):
        read_change(client, "20200101T000000.000000Z-none")


def test_an_earlier_value_is_recalled_from_history(client: EtcdClient) -> None:
    key = key_of(rule("a"))
    first = put(client, rule("a", "one"))
    second = put(client, rule("a", "two"))
    third = put(client, rule("a", "three"))
    found = recall(client, key, "default", third.revision - 1)
    assert found is not None
    assert (found.mod_revision, b'"two"' in found.value) == (second.revision, True)
    older = recall(client, key, "default", second.revision - 1)
    assert older is not None
    assert older.mod_revision == first.revision
    assert recall(client, key, "default", first.revision - 1) is None
    assert recall(client, key_of(rule("never")), "default", 10**9) is None


def test_old_history_is_forgotten(client: EtcdClient) -> None:
    done = [put(client, rule("a", str(number))) for number in range(5)]
    gone = forget_expired(client, "default", age_s_max=3600.0, kept_max=2)
    assert gone == tuple(one.change for one in done[:3])
    kept = [one.change for one in list_history(client).records]
    assert kept == [done[4].change, done[3].change]
    assert forget_expired(client, "default", age_s_max=3600.0, kept_max=2) == ()
    assert len(forget_expired(client, "default", age_s_max=-3600.0, kept_max=100)) == 2
