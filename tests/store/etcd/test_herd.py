"""Many Mirrors at once on a real etcd that is restarted; 500 cores in virtual time: tests/store/mirror/test_herd.py."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import AsyncExitStack

import pytest
import trio

from store.etcd.client import EtcdClient
from store.etcd.settings import EtcdSettings
from store.mirror import MirrorState
from tests.harness.followers import Follower, following
from tests.harness.processes import EtcdProcess, wait_until_async

PREFIX = "/meshd/v1"
KEY = "ns/default/virtualservices/x"
DEEP = bool(os.environ.get("MESHD_TEST_DEEP"))
MIRRORS = 200 if DEEP else 20
WITHIN_S = 60.0 if DEEP else 30.0

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600 if DEEP else 120)]


async def test_after_a_restart_of_etcd_all_have_what_came_and_nobody_lists(
    own_etcd: EtcdProcess,
) -> None:
    settings = EtcdSettings(endpoints=(own_etcd.url,), prefix=PREFIX)
    with EtcdClient(settings) as client:
        client.put(f"{PREFIX}/{KEY}", b"before")
        async with AsyncExitStack() as stack:
            herd = [
                await stack.enter_async_context(following(settings, number=number))
                for number in range(MIRRORS)
            ]
            await _all_hold(herd, b"before")
            own_etcd.kill()
            await wait_until_async(
                lambda: not any(one.task.status.is_fresh for one in herd), 15, "all to notice"
            )
            own_etcd.start()
            back_s: Counter[int] = Counter()
            began_s = trio.current_time()
            for one in herd:
                one.on_publish = lambda _: back_s.update([int(trio.current_time() - began_s)])
            await trio.to_thread.run_sync(client.put, f"{PREFIX}/{KEY}", b"after")
            await _all_hold(herd, b"after")
            print(f"{MIRRORS} Mirrors were back, by second: {dict(sorted(back_s.items()))}")
            assert {one.task.status.counters.lists for one in herd} == {1}, "at the beginning"
            assert {one.task.status.state for one in herd} == {MirrorState.WATCHING}


async def _all_hold(herd: list[Follower], value: bytes) -> None:
    wanted = {KEY: value}
    await wait_until_async(
        lambda: all(one.held == wanted and one.task.status.is_fresh for one in herd),
        WITHIN_S,
        f"{len(herd)} Mirrors to follow",
    )
