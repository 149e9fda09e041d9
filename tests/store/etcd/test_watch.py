"""The Mirror on a real etcd that is killed, frozen, compacted, emptied and locked."""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from store.errors import MeshError
from store.etcd.client import EtcdClient
from store.etcd.settings import EtcdSettings
from store.etcd.watch import MirrorTask, run_mirror
from store.mirror import Mirror, MirrorSettings, MirrorState
from store.mirror.events import Severity
from store.snapshot import Snapshot
from store.transactions import Delete, Put, Transaction
from tests.harness.etcdctl import etcdctl
from tests.harness.followers import Follower, following
from tests.harness.processes import EtcdProcess, wait_until_async

pytestmark = pytest.mark.real

FAST = MirrorSettings(backoff_max_s=0.5, held_poll_s=1.0, confirm_s=0.5)
DEEP = bool(os.environ.get("MESHD_TEST_DEEP"))
FOLDER = "ns/default/virtualservices"


def settings_of(etcd: EtcdProcess, prefix: str) -> EtcdSettings:
    return EtcdSettings(endpoints=(etcd.url,), prefix=prefix)


@pytest.fixture
def client(etcd: EtcdProcess, prefix: str) -> Iterator[EtcdClient]:
    with EtcdClient(settings_of(etcd, prefix)) as client:
        yield client


@pytest.fixture
def own_client(own_etcd: EtcdProcess, prefix: str) -> Iterator[EtcdClient]:
    with EtcdClient(settings_of(own_etcd, prefix)) as client:
        yield client


def put(client: EtcdClient, name: str, value: bytes = b"{}") -> int:
    return client.put(f"{client.settings.prefix}/{FOLDER}/{name}", value)


def put_surely(client: EtcdClient, name: str, value: bytes = b"{}") -> None:
    """Put, over and over while etcd is away; the value is the same each time."""
    end = time.monotonic() + 20
    while True:
        try:
            put(client, name, value)
        except MeshError:
            assert time.monotonic() < end, "etcd did not come back"
            time.sleep(0.05)
        else:
            return


def keys(*names: str, value: bytes = b"{}") -> dict[str, bytes]:
    return {f"{FOLDER}/{name}": value for name in names}


async def test_what_is_there_and_what_comes_is_published(client: EtcdClient) -> None:
    put(client, "before")
    client.put(f"{client.settings.prefix}x/{FOLDER}/stranger", b"{}")
    async with following(client.settings) as follower:
        await follower.holds(keys("before"))
        revision = put(client, "after")
        await follower.holds(keys("before", "after"))
        assert follower.published[-1].revision == revision
        assert str(follower.task.status.server_version).startswith("3.")
        with EtcdClient(client.settings) as other:
            listing = other.list_prefix(client.settings.prefix)
        assert Snapshot.of(follower.published[-1].epoch, 0, listing.entries).hash == (
            follower.published[-1].hash
        )


async def test_a_transaction_is_published_whole(client: EtcdClient) -> None:
    prefix = client.settings.prefix
    names = [f"{prefix}/{FOLDER}/n{number}" for number in range(300)]
    async with following(client.settings) as follower:
        await follower.comes_to(MirrorState.WATCHING)
        client.commit(Transaction((), tuple(Put(name, b"{}") for name in names)))
        await wait_until_async(lambda: len(follower.held) == 300, 10, "300 keys")
        client.commit(Transaction((), tuple(Delete(name) for name in names)))
        await follower.holds({})
    assert {len(snapshot) for snapshot in follower.published} == {0, 300}


async def test_an_event_is_published_within_milliseconds(client: EtcdClient) -> None:
    async with following(client.settings) as follower:
        await follower.comes_to(MirrorState.WATCHING)
        arrived: dict[int, float] = {}

        def note(snapshot: Snapshot) -> None:
            arrived[snapshot.revision] = time.perf_counter()

        follower.on_publish = note
        waits = []
        for number in range(200):
            revision = await trio.to_thread.run_sync(put, client, "x", b"%d" % number)
            acknowledged = time.perf_counter()
            await wait_until_async(partial(arrived.__contains__, revision), 5, "the event")
            waits.append(arrived[revision] - acknowledged)
    assert statistics.median(waits) < 0.01


async def test_a_key_that_is_no_text_is_carried_as_it_is(client: EtcdClient) -> None:
    async with following(client.settings) as follower:
        await follower.comes_to(MirrorState.WATCHING)
        key = b"ns/\xff\xfe".decode("utf-8", "surrogateescape")
        client.put(f"{client.settings.prefix}/{key}", b"\x00")
        await follower.holds({key: b"\x00"})


async def test_etcd_killed_and_started_again_loses_nothing(
    own_client: EtcdClient, own_etcd: EtcdProcess
) -> None:
    async with following(own_client.settings, patience=FAST) as follower:
        await follower.comes_to(MirrorState.WATCHING)
        for number in range(50):
            put(own_client, f"a{number}")
        await trio.to_thread.run_sync(own_etcd.restart)
        for number in range(50):
            await trio.to_thread.run_sync(put_surely, own_client, f"b{number}")
        wanted = keys(*(f"{letter}{n}" for letter in "ab" for n in range(50)))
        await follower.holds(wanted)
        assert follower.task.status.counters.lists == 1
        assert all(len(snapshot) for snapshot in follower.published[1:])


@pytest.mark.slow
async def test_killed_at_random_points_of_a_catch_up_nothing_is_lost(
    own_client: EtcdClient, own_etcd: EtcdProcess
) -> None:
    settings, chance = own_client.settings, random.Random(3)
    async with following(settings, patience=FAST) as follower:
        await follower.comes_to(MirrorState.WATCHING)
        seed = follower.mirror.snapshot
    wanted: dict[str, bytes] = {}
    for number in range(15_000 if DEEP else 4000):
        put(own_client, f"n{number % 500}", b"%d" % number)
        wanted[f"{FOLDER}/n{number % 500}"] = b"%d" % number
    async with following(settings, seed=seed, patience=FAST) as follower:
        for _ in range(20 if DEEP else 5):
            await trio.sleep(chance.uniform(0.0, 0.3))  # chance decides where in the catch-up
            await trio.to_thread.run_sync(own_etcd.restart)
        await follower.holds(wanted, 30)
        assert follower.task.status.counters.lists == 0
    revisions = [snapshot.revision for snapshot in follower.published]
    assert revisions == sorted(revisions)


async def test_compacted_while_away_ends_in_the_same_without_an_empty_mesh(
    own_client: EtcdClient, own_etcd: EtcdProcess
) -> None:
    put(own_client, "stays")
    put(own_client, "goes")
    async with following(own_client.settings, patience=FAST) as follower:
        await follower.holds(keys("stays", "goes"))
        seed = follower.mirror.snapshot
    own_client.commit(Transaction((), (Delete(f"{own_client.settings.prefix}/{FOLDER}/goes"),)))
    revision = put(own_client, "comes")
    etcdctl(own_etcd, "compact", str(revision))
    async with following(own_client.settings, seed=seed, patience=FAST) as follower:
        await follower.holds(keys("stays", "comes"))
        counters = follower.task.status.counters
        assert (counters.compactions, counters.lists) == (1, 1)
        seed = follower.mirror.snapshot
    # Others write, we do not: no full reading is needed.
    for number in range(5):
        revision = own_client.put(f"/elsewhere/{number}", b"")
    etcdctl(own_etcd, "compact", str(revision))
    async with following(own_client.settings, seed=seed, patience=FAST) as follower:
        await wait_until_async(
            lambda: follower.task.status.revision == revision, 10, "the store's revision"
        )
        counters = follower.task.status.counters
        assert (counters.compactions, counters.comparisons, counters.lists) == (1, 1, 0)


@pytest.mark.slow
async def test_a_frozen_etcd_is_noticed_within_15_seconds(
    own_client: EtcdClient, own_etcd: EtcdProcess
) -> None:
    put(own_client, "x")
    async with following(own_client.settings) as follower:
        await follower.comes_to(MirrorState.WATCHING)
        own_etcd.freeze()
        try:
            begin = trio.current_time()
            # gRPC's ping or the Mirror's own clock, whichever is first.
            await wait_until_async(lambda: not follower.task.status.is_fresh, 15, "notice")
            assert {report.severity for report in follower.reports} == {Severity.WARNING}
            assert trio.current_time() - begin < 15
            assert follower.held == keys("x")
        finally:
            own_etcd.thaw()
        await trio.to_thread.run_sync(put_surely, own_client, "y")
        await follower.holds(keys("x", "y"), 30)


@pytest.mark.slow
async def test_a_running_mirror_with_a_frozen_etcd_ends_at_once(
    own_client: EtcdClient, own_etcd: EtcdProcess
) -> None:
    async with following(own_client.settings) as follower:
        await follower.comes_to(MirrorState.WATCHING)
        own_etcd.freeze()
        begin = trio.current_time()
    assert trio.current_time() - begin < 1.0
    own_etcd.thaw()


async def test_an_empty_etcd_in_its_place_is_held_until_a_person_accepts_it(
    own_client: EtcdClient, own_etcd: EtcdProcess, tmp_path: Path
) -> None:
    for number in range(10):
        put(own_client, f"n{number}")
    wanted = keys(*(f"n{n}" for n in range(10)))
    async with following(own_client.settings, patience=FAST) as follower:
        await follower.holds(wanted)
        own_etcd.kill()
        with _in_its_place(own_etcd, tmp_path / "empty"):
            report = await follower.reports_a("epoch_held")
            assert report.severity is Severity.ERROR
            assert follower.held == wanted
            await trio.to_thread.run_sync(put_surely, own_client, "other")
            follower.task.accept_epoch()
            await follower.holds(keys("other"))
            assert follower.published[-1].epoch.life == 2
            put(own_client, "another")
            await follower.holds(keys("other", "another"))


async def test_an_etcd_with_the_same_objects_in_its_place_is_followed_by_itself(
    own_client: EtcdClient, own_etcd: EtcdProcess, tmp_path: Path
) -> None:
    for number in range(10):
        put(own_client, f"n{number}")
    async with following(own_client.settings, patience=FAST) as follower:
        await follower.holds(keys(*(f"n{n}" for n in range(10))))
        own_etcd.kill()
        with _in_its_place(own_etcd, tmp_path / "other"):
            for number in range(9):
                await trio.to_thread.run_sync(put_surely, own_client, f"n{number}")
            await follower.holds(keys(*(f"n{n}" for n in range(9))))
            assert follower.published[-1].epoch.life == 2
        assert min(len(snapshot) for snapshot in follower.published[1:]) >= 9


async def test_a_role_taken_away_is_reported_and_what_is_known_stays(
    own_etcd: EtcdProcess, own_client: EtcdClient, tmp_path: Path, prefix: str
) -> None:
    put(own_client, "x")
    password = tmp_path / "password"
    password.write_text("secret")
    etcdctl(own_etcd, "user", "add", "root:secret")
    etcdctl(own_etcd, "user", "grant-role", "root", "root")
    etcdctl(own_etcd, "user", "add", "host:secret")
    etcdctl(own_etcd, "role", "add", "reader")
    etcdctl(own_etcd, "role", "grant-permission", "reader", "read", f"{prefix}/", f"{prefix}0")
    etcdctl(own_etcd, "user", "grant-role", "host", "reader")
    etcdctl(own_etcd, "auth", "enable")
    settings = EtcdSettings(
        endpoints=(own_etcd.url,), prefix=prefix, user="host", password_file=str(password)
    )
    root = ("--user", "root:secret")
    async with following(settings, patience=FAST) as follower:
        await follower.holds(keys("x"))
        etcdctl(own_etcd, *root, "role", "revoke-permission", "reader", f"{prefix}/", f"{prefix}0")
        # etcd checks a watch when it is made, so the running one goes on until its connection breaks.
        await trio.to_thread.run_sync(own_etcd.restart)
        report = await follower.reports_a("watch_canceled")
        assert "denied" in str(report.facts["reason"])
        assert follower.held == keys("x")
        etcdctl(
            own_etcd,
            *root,
            "role",
            "grant-permission",
            "reader",
            "read",
            f"{prefix}/",
            f"{prefix}0",
        )
        await follower.comes_to(MirrorState.WATCHING)
        etcdctl(own_etcd, *root, "put", f"{prefix}/{FOLDER}/y", "{}")
        await follower.holds(keys("x", "y"))


async def test_authentication_switched_on_under_a_watch_is_met_with_a_login(
    own_etcd: EtcdProcess, own_client: EtcdClient, tmp_path: Path, prefix: str
) -> None:
    put(own_client, "x")
    password = tmp_path / "password"
    password.write_text("secret")
    settings = EtcdSettings(
        endpoints=(own_etcd.url,), prefix=prefix, user="root", password_file=str(password)
    )
    async with following(settings, patience=FAST) as follower:
        await follower.holds(keys("x"))
        etcdctl(own_etcd, "user", "add", "root:secret")
        etcdctl(own_etcd, "user", "grant-role", "root", "root")
        etcdctl(own_etcd, "auth", "enable")
        await trio.to_thread.run_sync(own_etcd.restart)
        etcdctl(own_etcd, "--user", "root:secret", "put", f"{prefix}/{FOLDER}/y", "{}")
        await follower.holds(keys("x", "y"))
        assert follower.task.status.counters.lists == 1


async def test_without_etcd_it_tries_on_and_serves_what_is_on_disk(tmp_path: Path) -> None:
    etcd = EtcdProcess(tmp_path)
    with etcd, EtcdClient(settings_of(etcd, "/m")) as client:
        put(client, "x")
        async with following(client.settings, patience=FAST) as follower:
            await follower.holds(keys("x"))
            seed = follower.mirror.snapshot
    async with following(settings_of(etcd, "/m"), seed=seed, patience=FAST) as follower:
        await follower.reports_a("watch_broken")
        assert follower.held == keys("x")
        with etcd, EtcdClient(settings_of(etcd, "/m")) as client:
            put_surely(client, "y")
            await follower.holds(keys("x", "y"))


@pytest.mark.slow
@pytest.mark.timeout(900 if DEEP else 120)
async def test_after_many_reconnects_one_watcher_is_left_and_no_thread_more(
    own_client: EtcdClient, own_etcd: EtcdProcess
) -> None:
    async with following(
        own_client.settings, patience=MirrorSettings(backoff_max_s=0.1)
    ) as follower:
        await follower.comes_to(MirrorState.WATCHING)
        before, open_before = threading.active_count(), _descriptors()
        for number in range(1, 1001 if DEEP else 101):
            stream = follower.task._stream
            assert stream is not None
            stream._call.cancel()
            await wait_until_async(partial(_has_opened, follower, number + 1), 5, "a new stream")
            await follower.comes_to(MirrorState.WATCHING)
        assert threading.active_count() <= before + 3
        assert _descriptors() <= open_before + 6
        assert follower.task.status.counters.lists == 1
        await wait_until_async(
            lambda: "etcd_debugging_mvcc_watcher_total 1\n" in own_etcd.http_get("/metrics"),
            10,
            "a single watcher in etcd",
        )


async def test_a_slow_reader_gets_the_newest_and_does_not_delay_the_watch(
    client: EtcdClient,
) -> None:
    taken: list[Snapshot] = []

    async def publish(snapshot: Snapshot) -> None:
        await trio.sleep(0.2)
        taken.append(snapshot)

    task = MirrorTask(client.settings, Mirror(random.Random(1)), publish)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task.run)
        await wait_until_async(lambda: task.status.is_fresh, 10, "a watch")
        for number in range(100):
            revision = put(client, f"n{number}")
        await wait_until_async(lambda: task.status.revision == revision, 10, "the last event")
        known = len(taken)
        await wait_until_async(
            lambda: bool(taken) and taken[-1].revision == revision, 10, "the last snapshot"
        )
        assert len(taken) <= known + 2
        assert len(taken[-1]) == 100
        nursery.cancel_scope.cancel()


async def test_run_mirror_publishes_to_a_coroutine_as_well(client: EtcdClient) -> None:
    put(client, "x")
    got = trio.Event()

    async def publish(snapshot: Snapshot) -> None:
        await trio.lowlevel.checkpoint()
        assert len(snapshot) == 1
        got.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_mirror, client.settings, Mirror(random.Random(1)), publish)
        with trio.fail_after(10):
            await got.wait()
        nursery.cancel_scope.cancel()


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _has_opened(follower: Follower, streams: int) -> bool:
    return follower.task.status.counters.streams >= streams


def _in_its_place(etcd: EtcdProcess, directory: Path) -> EtcdProcess:
    """Another etcd with the same address and nothing in it."""
    return EtcdProcess(
        directory,
        name="replacement",
        flags=("--initial-cluster-token", "another"),
        client_port=etcd.client_port,
        peer_port=etcd.peer_port,
        metrics_port=etcd.metrics_port,
        fixed_ports=True,
    )
