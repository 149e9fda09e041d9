"""From etcd to the catalog: hostile bytes, earlier generations looked up, a restart without etcd."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from store.catalog import Catalog, Compacted, Recall
from store.etcd.cache import SnapshotCache
from store.etcd.client import EtcdClient
from store.etcd.failures import RevisionCompacted
from store.etcd.settings import EtcdSettings
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from store.snapshot import Entry, Snapshot
from store.transactions import Put, Transaction
from tests.harness.etcdctl import etcdctl
from tests.harness.followers import Follower, following
from tests.harness.processes import EtcdProcess, wait_until_async

pytestmark = pytest.mark.real

FOLDER = "ns/default/virtualservices"
REF = ObjectRef(Kind.VIRTUAL_SERVICE, "default", "reviews")


def route(name: str = "reviews", subset: str = "v1") -> bytes:
    document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {
            "hosts": [name],
            "http": [{"route": [{"destination": {"host": name, "subset": subset}}]}],
        },
    }
    return json.dumps(document).encode()


class CatalogOf:
    """Folds what a follower publishes, and looks up what the catalog asks for."""

    def __init__(self, client: EtcdClient, follower: Follower) -> None:
        self.client = client
        self.catalog = Catalog.empty()
        follower.on_publish = self.fold
        if follower.published:
            self.fold(follower.published[-1])

    def fold(self, snapshot: Snapshot) -> None:
        self.catalog = self.catalog.apply(snapshot).catalog
        while self.catalog.recalls:
            for recall in self.catalog.recalls:
                self.catalog = self.catalog.recalled(recall, self._look_up(recall)).catalog

    def _look_up(self, recall: Recall) -> Entry | Compacted | None:
        key = f"{self.client.settings.prefix}/{recall.key}"
        try:
            found = self.client.get(key, recall.revision)
            return replace(found, key=recall.key) if found is not None else None
        except RevisionCompacted:
            return Compacted()


async def test_hosts_that_came_at_different_times_serve_the_same_generation(
    etcd: EtcdProcess, prefix: str
) -> None:
    settings = EtcdSettings(endpoints=(etcd.url,), prefix=prefix)
    key = f"{prefix}/{FOLDER}/reviews"
    with EtcdClient(settings) as client:
        async with following(settings) as follower:
            early = CatalogOf(client, follower)
            client.put(key, route(subset="v1"))
            valid = client.put(key, route(subset="v2"))
            etcdctl(etcd, "put", key, stdin="spec: [not, a, route")
            bad = client.put(key, b"\xff")
            await wait_until_async(
                lambda: (
                    early.catalog.snapshot is not None and early.catalog.snapshot.revision == bad
                ),
                10,
                "the bad value",
            )
            async with following(settings) as other:
                late = CatalogOf(client, other)
                await wait_until_async(lambda: bool(late.catalog.objects), 10, "the object")
            for catalog in (early.catalog, late.catalog):
                (row,) = catalog.quarantined
                assert (row.revision, row.serving_revision) == (bad, valid)
                assert catalog.objects[REF].entry.value == route(subset="v2")
            assert early.catalog.snapshot is not None
            assert late.catalog.snapshot is not None
            assert early.catalog.snapshot.hash == late.catalog.snapshot.hash


async def test_a_restart_without_etcd_serves_the_last_valid_generations(
    own_etcd: EtcdProcess, prefix: str, tmp_path: Path
) -> None:
    settings = EtcdSettings(endpoints=(own_etcd.url,), prefix=prefix)
    cache = SnapshotCache(tmp_path / "cache", prefix)
    with EtcdClient(settings) as client:
        client.put(f"{prefix}/{FOLDER}/reviews", route())
        client.put(f"{prefix}/{FOLDER}/ratings", route("ratings"))
        client.put(f"{prefix}/{FOLDER}/reviews", b"{")
        async with following(settings) as follower:
            before = CatalogOf(client, follower)
            await wait_until_async(lambda: len(before.catalog.objects) == 2, 10, "both objects")
        snapshot = before.catalog.snapshot
        assert snapshot is not None
        cache.save(snapshot, before.catalog.memory, (), 0.0)
    own_etcd.kill()
    loaded = cache.load()
    assert loaded.snapshot is not None
    step = Catalog.empty(memory=loaded.memory).apply(loaded.snapshot)
    assert step.recalls == ()
    assert step.catalog.quarantined == before.catalog.quarantined != ()
    assert {ref: one.entry for ref, one in step.catalog.objects.items()} == {
        ref: one.entry for ref, one in before.catalog.objects.items()
    }


@pytest.mark.slow
async def test_ten_thousand_random_and_ten_thousand_mutated_values_change_nothing(
    own_etcd: EtcdProcess, prefix: str
) -> None:
    chance = random.Random(20)
    settings = EtcdSettings(endpoints=(own_etcd.url,), prefix=prefix)
    with EtcdClient(settings) as client:
        client.put(f"{prefix}/{FOLDER}/reviews", route())
        async with following(settings) as follower:
            mine = CatalogOf(client, follower)
            await wait_until_async(lambda: REF in mine.catalog.objects, 10, "the good object")
            good = mine.catalog.objects[REF].entry
            wanted = {f"{FOLDER}/reviews"}
            for batch in range(20):
                puts = []
                for number in range(1000):
                    name = f"{FOLDER}/x{batch}-{number}"
                    wanted.add(name)
                    value = chance.randbytes(chance.randrange(80))
                    if batch >= 10:
                        value = _mutated(route(f"x{batch}-{number}"), chance)
                    puts.append(Put(f"{prefix}/{name}", value))
                revision = client.commit(Transaction((), tuple(puts))).revision

            def is_there() -> bool:
                snapshot = mine.catalog.snapshot
                return snapshot is not None and snapshot.revision == revision

            await wait_until_async(is_there, 60, "the last of the hostile values")
            catalog = mine.catalog
    assert catalog.objects[REF].entry == good
    listed = {row.key for row in catalog.quarantined}
    served = {one.entry.key for one in catalog.objects.values()}
    assert listed | served == wanted
    assert not listed & served
    assert len(listed) > 15_000
    assert all(row.diagnostics for row in catalog.quarantined)


def _mutated(value: bytes, chance: random.Random) -> bytes:
    mutated = bytearray(value)
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(mutated))
        match chance.randrange(3):
            case 0:
                mutated[place] = chance.randrange(256)
            case 1:
                del mutated[place]
            case _:
                mutated.insert(place, chance.randrange(256))
    return bytes(mutated)
