"""Reads of many megabytes beside a watch, over TLS: the watch has a connection of its own and is not delayed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from store.etcd.client import EtcdClient
from store.etcd.settings import EtcdSettings
from store.mirror import MirrorState
from store.snapshot import Snapshot
from tests.harness.certificates import Authority
from tests.harness.followers import following
from tests.harness.processes import EtcdProcess, wait_until_async

pytestmark = [pytest.mark.real, pytest.mark.slow]

EVENTS = 60
READERS = 2
VALUES, VALUE_BYTES = 40, 100_000
"""What one reading fetches: 4 MB."""
DELAY_MAX_S = 1.0


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[EtcdSettings]:
    authority = Authority(tmp_path)
    cert, key = authority.client("ann")
    with EtcdProcess(tmp_path / "etcd", tls=authority.server()) as etcd:
        yield EtcdSettings(
            endpoints=(etcd.url,), ca=str(authority.ca), cert=str(cert), key=str(key)
        )


@contextmanager
def reading(client: EtcdClient) -> Iterator[list[int]]:
    """Readings without a pause by several threads through one client; yields how many bytes each fetched."""
    fetched: list[int] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            listing = client.list_prefix("/large")
            fetched.append(sum(len(entry.value) for entry in listing.entries))

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield fetched
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


async def test_a_watch_is_not_delayed_by_large_reads_over_tls(settings: EtcdSettings) -> None:
    """etcd#15402: reads on the connection of a watch starved it."""
    arrived: dict[int, float] = {}

    def note(snapshot: Snapshot) -> None:
        arrived[snapshot.revision] = time.monotonic()

    with EtcdClient(settings) as client, EtcdClient(settings) as writer:
        for number in range(VALUES):
            client.put(f"/large/{number}", bytes(VALUE_BYTES))
        async with following(settings) as follower:
            await follower.comes_to(MirrorState.WATCHING)
            follower.on_publish = note
            delays: list[float] = []
            with reading(client) as fetched:
                began = time.monotonic()
                for number in range(EVENTS):
                    put = partial(writer.put, f"{settings.prefix}/mesh", b"%d" % number)
                    revision = await trio.to_thread.run_sync(put)
                    acknowledged = time.monotonic()
                    await wait_until_async(partial(arrived.__contains__, revision), 10, "the event")
                    delays.append(arrived[revision] - acknowledged)
                took_s = time.monotonic() - began
    delays.sort()
    late = delays[math.ceil(0.99 * EVENTS) - 1]
    print(f"{sum(fetched) / took_s / 1e6:.0f} MB/s read; the latest event came after {late:.3f} s")
    assert sum(fetched) > 10 * VALUES * VALUE_BYTES
    assert late < DELAY_MAX_S
