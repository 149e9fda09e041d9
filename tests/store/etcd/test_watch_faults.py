"""The Mirror with several members, a line that loses answers, a backup restored, and compaction without end."""

from __future__ import annotations

import os
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from store.errors import MeshError
from store.etcd.client import EtcdClient
from store.etcd.programs import find_program
from store.etcd.settings import EtcdSettings
from store.mirror import MirrorSettings, MirrorState
from tests.harness.etcdctl import etcdctl
from tests.harness.followers import Follower, following
from tests.harness.processes import EtcdProcess, start_cluster, wait_until_async
from tests.harness.proxies import FaultyProxy

pytestmark = [pytest.mark.real, pytest.mark.slow]

FAST = MirrorSettings(backoff_max_s=0.5, held_poll_s=1.0, confirm_s=0.5)
PREFIX = "/meshd/v1"
FOLDER = "ns/default/virtualservices"
DEEP = bool(os.environ.get("MESHD_TEST_DEEP"))


def put(client: EtcdClient, name: str, value: bytes = b"{}") -> None:
    client.put(f"{PREFIX}/{FOLDER}/{name}", value)


def keys(*names: str) -> dict[str, bytes]:
    return {f"{FOLDER}/{name}": b"{}" for name in names}


def settings_of(*members: EtcdProcess) -> EtcdSettings:
    return EtcdSettings(endpoints=tuple(member.url for member in members), prefix=PREFIX)


async def test_the_watched_member_dies_and_another_one_takes_over(tmp_path: Path) -> None:
    members = await trio.to_thread.run_sync(start_cluster, tmp_path, 3)
    try:
        with EtcdClient(settings_of(*members)) as client:
            put(client, "before")
            async with following(settings_of(*members), patience=FAST) as follower:
                await follower.holds(keys("before"))
                await follower.comes_to(MirrorState.WATCHING)
                watched = next(m for m in members if m.url == follower.task.endpoint)
                watched.kill()
                await wait_until_async(partial(_put_if_possible, client, "after"), 20, "a leader")
                await follower.holds(keys("before", "after"))
                assert follower.task.endpoint != watched.url
                assert follower.task.status.counters.lists == 1
    finally:
        for member in members:
            member.kill()


async def test_a_member_without_quorum_is_noticed_within_ten_seconds(tmp_path: Path) -> None:
    members = await trio.to_thread.run_sync(start_cluster, tmp_path, 3)
    try:
        with EtcdClient(settings_of(*members)) as client:
            put(client, "x")
        async with following(settings_of(members[0]), patience=FAST) as follower:
            await follower.holds(keys("x"))
            await follower.comes_to(MirrorState.WATCHING)
            for member in members[1:]:
                member.kill()
            await wait_until_async(lambda: not follower.task.status.is_fresh, 10, "notice")
            assert follower.held == keys("x")
            await trio.to_thread.run_sync(members[1].start)
            await follower.comes_to(MirrorState.WATCHING, 20)
            assert follower.published[-1].epoch.life == 1
    finally:
        for member in members:
            member.kill()


async def test_a_stream_that_stalls_loses_nothing(own_etcd: EtcdProcess) -> None:
    """apache/apisix#13067: the line swallows answers; 100 keys are written; it heals."""
    with FaultyProxy(own_etcd.client_port) as proxy:
        behind = EtcdSettings(endpoints=(proxy.url,), prefix=PREFIX)
        with EtcdClient(settings_of(own_etcd)) as client:
            async with following(behind, patience=FAST) as follower:
                await follower.comes_to(MirrorState.WATCHING)
                proxy.is_losing_answers = True
                for number in range(100):
                    put(client, f"n{number}")
                await wait_until_async(lambda: not follower.task.status.is_fresh, 15, "notice")
                assert follower.held == {}
                proxy.is_losing_answers = False
                proxy.cut()
                await follower.holds(keys(*(f"n{n}" for n in range(100))), 20)
                assert proxy.lost_bytes > 0


async def test_a_backup_put_in_its_place_is_followed_without_ghosts(
    own_etcd: EtcdProcess, tmp_path: Path
) -> None:
    """apache/apisix#11144. The backup has one object less of ten, so it is followed by itself."""
    backup = tmp_path / "backup.db"
    with EtcdClient(settings_of(own_etcd)) as client:
        for number in range(9):
            put(client, f"n{number}")
        etcdctl(own_etcd, "snapshot", "save", str(backup))
        put(client, "later")
        for number in range(50):
            put(client, f"n{number % 9}")
    async with following(settings_of(own_etcd), patience=FAST) as follower:
        await follower.holds(keys("later", *(f"n{n}" for n in range(9))))
        own_etcd.kill()
        restored = _restore(own_etcd, backup, tmp_path / "restored")
        begin = trio.current_time()
        with restored:
            await follower.holds(keys(*(f"n{n}" for n in range(9))), 10)
            assert trio.current_time() - begin < 10
            assert follower.published[-1].epoch.life == 2
            assert min(len(snapshot) for snapshot in follower.published[1:]) >= 9
            with EtcdClient(settings_of(own_etcd)) as client:
                put(client, "new")
            await follower.holds(keys("new", *(f"n{n}" for n in range(9))))


async def test_a_backup_written_past_our_revision_while_we_were_away_is_not_mixed_in(
    own_etcd: EtcdProcess, tmp_path: Path
) -> None:
    """Same cluster id, and revisions that go on from ours: the watch resumes without a sign that anything happened."""
    backup = tmp_path / "backup.db"
    with EtcdClient(settings_of(own_etcd)) as client:
        for number in range(9):
            put(client, f"n{number}")
        etcdctl(own_etcd, "snapshot", "save", str(backup))
        for _ in range(30):
            put(client, "later")
    with FaultyProxy(own_etcd.client_port) as proxy:
        behind = EtcdSettings(endpoints=(proxy.url,), prefix=PREFIX)
        async with following(behind, patience=FAST) as follower:
            await follower.holds(keys("later", *(f"n{n}" for n in range(9))))
            await follower.comes_to(MirrorState.WATCHING)
            known = follower.published[-1]
            proxy.cut_off()
            await follower.comes_to(MirrorState.BACKOFF)
            own_etcd.kill()
            with _restore(own_etcd, backup, tmp_path / "restored"):
                with EtcdClient(settings_of(own_etcd)) as client:
                    for number in range(60):
                        put(client, f"n{number % 9}", b"written again")
                    now = client.list_prefix(PREFIX)
                    assert now.cluster_id == known.epoch.cluster_id
                    assert now.revision > known.revision
                proxy.connect()
                await follower.holds({e.key: e.value for e in now.entries}, 20)
        followed = follower.published[follower.published.index(known) + 1 :]
        assert [snapshot.epoch.life for snapshot in followed] == [2], (
            "one step, from one life to the other"
        )
        assert "store_is_another" in {report.name for report in follower.reports}


async def test_compaction_without_end_under_writes_ends_in_the_truth(own_etcd: EtcdProcess) -> None:
    """apache/apisix#3438: compact every 100 ms under writes, with the stream cut now and then."""
    rounds = 600 if DEEP else 60
    with (
        FaultyProxy(own_etcd.client_port) as proxy,
        EtcdClient(settings_of(own_etcd)) as client,
    ):
        behind = EtcdSettings(endpoints=(proxy.url,), prefix=PREFIX)
        async with following(behind, patience=FAST) as follower:
            await follower.comes_to(MirrorState.WATCHING)
            for number in range(rounds):
                await trio.to_thread.run_sync(_write_ten, client, number)
                revision = client.list_prefix(PREFIX).revision
                await trio.to_thread.run_sync(etcdctl, own_etcd, "compact", str(revision))
                if number % 7 == 3:
                    proxy.cut()
            wanted = {e.key: e.value for e in client.list_prefix(PREFIX).entries}
            await follower.holds(wanted, 10)
            counters = follower.task.status.counters
            assert counters.streams > rounds // 14
        sizes = [len(snapshot) for snapshot in follower.published]
        assert min(sizes[1:]) > 0


async def test_a_quiet_prefix_beside_busy_ones_is_never_read_anew(own_etcd: EtcdProcess) -> None:
    """apache/apisix#12514: others write without pause; after each compaction the line is cut."""
    put_each_s, compacted, written = 5.0 if DEEP else 1.0, 0, 0
    with (
        FaultyProxy(own_etcd.client_port) as proxy,
        EtcdClient(settings_of(own_etcd)) as client,
    ):
        put(client, "quiet")
        behind = EtcdSettings(endpoints=(proxy.url,), prefix=PREFIX)
        async with following(behind, patience=FAST) as follower:
            await follower.holds(keys("quiet"))
            for _ in range(120 if DEEP else 6):
                await follower.comes_to(MirrorState.WATCHING)
                known = follower.task.status.counters.streams
                written += await trio.to_thread.run_sync(_write_elsewhere, client, put_each_s)
                revision = client.list_prefix(PREFIX).revision
                await trio.to_thread.run_sync(etcdctl, own_etcd, "compact", str(revision))
                compacted += 1
                proxy.cut()
                await wait_until_async(
                    partial(_has_more_streams, follower, known), 10, "another stream"
                )
            await follower.comes_to(MirrorState.WATCHING)  # the last compaction is met, too
            put(client, "new")
            await follower.holds(keys("quiet", "new"), 10)
            counters = follower.task.status.counters
            print(f"{written} writes elsewhere, {compacted} compactions, {counters.lists} lists")
            assert counters.lists == 1
            assert counters.compactions > 0, "compaction never met the watch: nothing was tried"
            assert len({snapshot.hash for snapshot in follower.published}) == 2


def _has_more_streams(follower: Follower, than: int) -> bool:
    return follower.task.status.counters.streams > than


def _write_elsewhere(client: EtcdClient, for_s: float) -> int:
    """Write to another prefix, one key after the other; how often."""
    end_s, count = time.monotonic() + for_s, 0
    while time.monotonic() < end_s:
        client.put(f"/elsewhere/{count % 100}", b"busy")
        count += 1
    return count


def _write_ten(client: EtcdClient, number: int) -> None:
    for key in range(10):
        put(client, f"k{key}", b"%d" % number)


def _put_if_possible(client: EtcdClient, name: str) -> bool:
    try:
        put(client, name)
    except MeshError:
        return False
    return True


def _restore(etcd: EtcdProcess, backup: Path, directory: Path) -> EtcdProcess:
    """A member at the same address, made from a backup."""
    restored = EtcdProcess(
        directory,
        name=etcd.name,
        client_port=etcd.client_port,
        peer_port=etcd.peer_port,
        metrics_port=etcd.metrics_port,
        fixed_ports=True,
    )
    directory.mkdir()
    done = subprocess.run(
        [
            str(find_program("etcdctl")),
            *("snapshot", "restore", str(backup)),
            *("--name", etcd.name, "--data-dir", str(directory / f"{etcd.name}.data")),
            *("--initial-cluster", f"{etcd.name}={etcd.peer_url}"),
            *("--initial-advertise-peer-urls", etcd.peer_url),
        ],
        capture_output=True,
        text=True,
        env={"ETCDCTL_API": "3"},
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return restored
