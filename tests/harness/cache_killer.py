"""A program: kills a writer of the last known good at random instants and looks at what it left.

    python -m tests.harness.cache_killer DIRECTORY KILLS SEED

Prints how many kills fell into a write. Fails when any of them left no whole file, or an older state than one that
was known to be saved.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from store.etcd.cache import UNFINISHED, SnapshotCache
from store.snapshot import Entry, Epoch, Snapshot

ENTRIES = 200


def state(revision: int) -> Snapshot:
    """The whole of it is of one revision."""
    entries = [
        Entry(f"ns/default/gateways/g{n}", b"%d" % revision * 200, 1, revision, 1)
        for n in range(ENTRIES)
    ]
    return Snapshot.of(Epoch(1, 1), revision, entries)


def write_on(cache: SnapshotCache, revision: int, told: int) -> None:
    """Save one revision after another, telling each that is saved."""
    while True:
        cache.save(state(revision), (), (), 0.0)
        os.write(told, b"%d\n" % revision)
        revision += 1


def main(directory: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    cache, revision, within = SnapshotCache(directory, "/m"), 1, 0
    cache.save(state(revision), (), (), 0.0)
    for _ in range(kills):
        hear, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(hear)
            write_on(cache, revision + 1, tell)
        os.close(tell)
        time.sleep(chance.uniform(0.0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open(hear, "rb") as said:
            saved = [int(line) for line in said.read().split()]
        within += (directory / UNFINISHED).exists()
        loaded = cache.load()
        assert loaded.snapshot is not None, loaded.refused
        assert not loaded.refused, loaded.refused
        assert len(loaded.snapshot) == ENTRIES
        assert {e.mod_revision for e in loaded.snapshot.entries()} == {loaded.snapshot.revision}
        known = saved[-1] if saved else revision
        assert loaded.snapshot.revision >= known - 1, (loaded.snapshot.revision, known)
        revision = loaded.snapshot.revision
    print(within)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
