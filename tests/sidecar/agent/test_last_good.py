"""The last known good of one sidecar: what is written, when, and what a restart gets back."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.last_good import SETTLE_S, LastGood
from store.etcd.cache import SnapshotCache
from store.objects.host import HostRegistration
from store.snapshot import Entry, Epoch, Snapshot

PREFIX = "/meshd/v1"
EPOCH = Epoch(1, 0xABC)
KEPT = {
    "h9": HostRegistration.model_validate(
        {
            "apiVersion": "meshd.io/v1",
            "kind": "HostRegistration",
            "host": "h9",
            "address": "10.0.0.9",
            "workloads": [{"name": "reviews", "service": "reviews"}],
        }
    )
}


def snapshot(revision: int) -> Snapshot:
    entry = Entry("ns/default/virtualservices/x", b"{}", 1, revision, 1)
    return Snapshot.of(EPOCH, revision, [entry])


def reopened(directory: Path) -> tuple[LastGood, Snapshot | None]:
    last_good = LastGood(directory, PREFIX)
    return last_good, last_good.load()


def ignore(reason: str) -> None:
    raise AssertionError(f"nothing was to fail: {reason}")


async def test_what_was_kept_comes_back_with_names_and_kept_hosts(tmp_path: Path) -> None:
    last_good = LastGood(tmp_path, PREFIX)
    assert last_good.load() is None
    last_good.names = ("outbound/reviews:9080",)
    last_good.keep(snapshot(7), (), KEPT)
    await last_good.flush()
    again, found = reopened(tmp_path)
    assert found is not None
    assert found.is_same(snapshot(7))
    assert again.names == ("outbound/reviews:9080",)
    assert again.kept == KEPT
    assert again.describe()["revision"] == 7
    assert again.age_s() is not None


async def test_a_burst_is_written_once_with_what_is_newest(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.05
    last_good = LastGood(tmp_path, PREFIX)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(last_good.run, ignore)
        for revision in range(1, 9):
            last_good.keep(snapshot(revision), ())
            await trio.sleep(SETTLE_S / 20)
        await trio.sleep(3600)
        nursery.cancel_scope.cancel()
    assert last_good.describe()["revision"] == 8
    assert not (tmp_path / "last-known-good.before.meshd").exists(), "it was written twice"


async def test_what_is_on_disk_already_is_not_written_again(tmp_path: Path) -> None:
    last_good = LastGood(tmp_path, PREFIX)
    last_good.keep(snapshot(7), (), KEPT)
    await last_good.flush()
    again, found = reopened(tmp_path)
    assert found is not None
    again.keep(snapshot(7), (), KEPT)
    await again.flush()
    assert not (tmp_path / "last-known-good.before.meshd").exists()


async def test_what_is_written_beside_the_same_snapshot_makes_it_no_younger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_good = LastGood(tmp_path, PREFIX)
    last_good.keep(snapshot(7), (), KEPT)
    await last_good.flush()
    again, _ = reopened(tmp_path)
    later = time.time() + 1000
    monkeypatch.setattr(time, "time", lambda: later)
    again.names = ("outbound/ratings:9080",)
    again.keep(snapshot(7), (), KEPT)
    await again.flush()
    third, _ = reopened(tmp_path)
    assert third.names == ("outbound/ratings:9080",)
    assert third.age_s() == pytest.approx(1000, abs=100)
    third.keep(snapshot(8), (), KEPT)
    await third.flush()
    assert third.age_s() == 0.0


class Tried(LastGood):
    """Tells of each write, when it is over, why it failed; an empty text when it did not.

    Writes happen in threads, which a clock of virtual time does not wait for.
    """

    def __init__(self, directory: Path, prefix: str) -> None:
        super().__init__(directory, prefix)
        self._tell, self.tries = trio.open_memory_channel[str](math.inf)

    async def flush(self) -> None:
        await super().flush()
        self._tell.send_nowait(self.describe()["error"])


async def test_a_failed_write_is_told_once_and_tried_until_it_succeeds(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.05
    blocked = tmp_path / "node"
    blocked.write_text("a file where a directory should be")
    last_good = Tried(blocked, PREFIX)
    failures: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(last_good.run, failures.append)
        last_good.keep(snapshot(7), ())
        reasons = [await last_good.tries.receive() for _ in range(3)]
        assert all(reasons)
        assert failures == [reasons[0]]
        assert last_good.describe()["error"] == failures[0]
        blocked.unlink()
        while await last_good.tries.receive():
            pass
        nursery.cancel_scope.cancel()
    assert len(failures) == 1
    assert last_good.describe() == {
        "revision": 7,
        "age_s": pytest.approx(0.0, abs=60),
        "pending": False,
        "error": "",
        "refused": "",
    }


async def test_another_meshs_file_is_refused_with_its_reason(tmp_path: Path) -> None:
    last_good = LastGood(tmp_path, "/other/v1")
    last_good.keep(snapshot(7), ())
    await last_good.flush()
    again, found = reopened(tmp_path)
    assert found is None
    assert "/other/v1" in again.refused
    assert again.age_s() is None


async def test_a_write_that_waits_costs_no_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a busy machine, or a slow disk, would put the next one off for fifty times as long as it waited."""
    last_good = LastGood(tmp_path, PREFIX)
    save = SnapshotCache.save

    def slow(*told: object, **more: object) -> None:
        time.sleep(0.3)
        save(*told, **more)  # type: ignore[arg-type] # handed on as it came

    monkeypatch.setattr(SnapshotCache, "save", slow)
    last_good.keep(snapshot(7), ())
    await last_good.flush()
    assert 0.0 < last_good.cost_s < 0.2
