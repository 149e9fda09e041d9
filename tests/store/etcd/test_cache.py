"""The last known good on a disk that is full, read-only, torn, foreign, or whose writer is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from store.catalog import Remembered
from store.etcd.cache import BEFORE, NEWEST, UNFINISHED, CacheWriteFailed, SnapshotCache
from store.etcd.rules import rules_fingerprint
from store.snapshot import Entry, Epoch, Snapshot

MEMORY = (Remembered("ns/default/gateways/g", 7, Entry("ns/default/gateways/g", b"{}", 3, 5, 2)),)


def state(revision: int) -> Snapshot:
    return Snapshot.of(Epoch(1, 0xC1), revision, [Entry("mesh", b"%d" % revision, 1, revision, 1)])


@pytest.fixture
def cache(tmp_path: Path) -> SnapshotCache:
    return SnapshotCache(tmp_path / "data", "/meshd/v1")


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "data").iterdir())


def test_nothing_there_is_nothing_known(cache: SnapshotCache) -> None:
    loaded = cache.load()
    assert (loaded.snapshot, loaded.refused) == (None, ())


def test_what_was_saved_is_loaded_with_its_age_and_names(
    cache: SnapshotCache, tmp_path: Path
) -> None:
    cache.save(state(7), MEMORY, ["reviews"], 1234.5)
    loaded = cache.load()
    assert loaded.snapshot is not None
    assert loaded.snapshot.hash == state(7).hash
    assert (loaded.memory, loaded.names, loaded.saved_at) == (MEMORY, ("reviews",), 1234.5)
    assert files(tmp_path) == [NEWEST]
    mode = (tmp_path / "data" / NEWEST).stat().st_mode
    assert mode & 0o077 == 0


def test_the_one_before_is_kept_and_serves_when_the_newest_is_broken(
    cache: SnapshotCache, tmp_path: Path
) -> None:
    for revision in (7, 8, 9):
        cache.save(state(revision), (), (), 0.0)
    assert files(tmp_path) == sorted([NEWEST, BEFORE])
    newest = tmp_path / "data" / NEWEST
    newest.write_bytes(newest.read_bytes()[:-1])
    loaded = cache.load()
    assert loaded.snapshot is not None
    assert loaded.snapshot.revision == 8
    assert len(loaded.refused) == 1
    assert "torn" in loaded.refused[0]
    (tmp_path / "data" / BEFORE).write_bytes(b"")
    loaded = cache.load()
    assert loaded.snapshot is None
    assert len(loaded.refused) == 2


def test_a_kill_between_the_two_renames_leaves_the_one_before(
    cache: SnapshotCache, tmp_path: Path
) -> None:
    cache.save(state(7), (), (), 0.0)
    (tmp_path / "data" / NEWEST).rename(tmp_path / "data" / BEFORE)
    loaded = cache.load()
    assert loaded.snapshot is not None
    assert (loaded.snapshot.revision, loaded.refused) == (7, ())


def test_the_file_of_another_mesh_is_refused(cache: SnapshotCache, tmp_path: Path) -> None:
    cache.save(state(7), (), (), 0.0)
    loaded = SnapshotCache(tmp_path / "data", "/other").load()
    assert loaded.snapshot is None
    assert "belongs to the mesh at /meshd/v1, this is the one at /other" in loaded.refused[0]


def test_a_directory_in_the_place_of_the_file_is_refused(
    cache: SnapshotCache, tmp_path: Path
) -> None:
    (tmp_path / "data" / NEWEST).mkdir(parents=True)
    assert "directory" in cache.load().refused[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_keeps_what_is_there(cache: SnapshotCache, tmp_path: Path) -> None:
    cache.save(state(7), (), (), 0.0)
    (tmp_path / "data" / UNFINISHED).symlink_to("/dev/full")
    with pytest.raises(CacheWriteFailed, match="revision 8 could not be written: No space left"):
        cache.save(state(8), (), (), 0.0)
    loaded = cache.load()
    assert loaded.snapshot is not None
    assert loaded.snapshot.revision == 7
    assert files(tmp_path) == [NEWEST]
    cache.save(state(9), (), (), 0.0)
    assert cache.load().snapshot is not None


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the directory should be")
    with pytest.raises(CacheWriteFailed, match="data"):
        SnapshotCache(tmp_path / "data", "/meshd/v1").save(state(7), (), (), 0.0)


@pytest.mark.slow
def test_a_writer_killed_at_random_instants_always_leaves_a_whole_state(tmp_path: Path) -> None:
    kills = 1000 if os.environ.get("MESHD_TEST_DEEP") else 100
    done = subprocess.run(
        [sys.executable, "-m", "tests.harness.cache_killer", str(tmp_path), str(kills), "11"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0, "no kill fell into a write: the test shows nothing"


def test_what_these_rules_judged_is_told_and_what_others_judged_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = SnapshotCache(tmp_path, "/meshd/v1")
    cache.save(state(7), (), (), 0.0)
    assert cache.load().is_judged
    monkeypatch.setattr("store.etcd.cache.rules_fingerprint", lambda: "other rules")
    assert not cache.load().is_judged
    monkeypatch.setattr("store.etcd.cache.rules_fingerprint", lambda: "")
    cache.save(state(8), (), (), 0.0)
    assert not cache.load().is_judged


def test_the_fingerprint_is_of_the_rules_and_the_same_in_every_process() -> None:
    program = "from store.etcd.rules import rules_fingerprint; print(rules_fingerprint())"
    other = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert len(rules_fingerprint()) == 64
    assert other.stdout.strip() == rules_fingerprint()
