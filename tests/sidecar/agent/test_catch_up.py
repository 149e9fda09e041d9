from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.catch_up import CATCH_UP_MAX_S, CATCH_UP_S, catch_up
from store.mirror.status import Counters, MirrorState, MirrorStatus

OPENING = MirrorStatus(
    state=MirrorState.OPENING,
    since_s=0.0,
    epoch=None,
    revision=7,
    heard_s=None,
    reason="",
    held=None,
    server_version="",
    counters=Counters(),
)


async def waited_s(state: MirrorState, heard_after_s: float) -> float:
    began = trio.current_time()
    status = replace(OPENING, state=state, since_s=began)
    await catch_up(lambda: status, lambda: trio.current_time() - began >= heard_after_s)
    return trio.current_time() - began


async def test_the_first_snapshot_from_etcd_ends_the_wait(autojump_clock: MockClock) -> None:
    assert await waited_s(MirrorState.OPENING, 0.05) == pytest.approx(0.05, abs=0.02)


async def test_a_watch_without_news_ends_the_wait_when_etcd_would_have_spoken(
    autojump_clock: MockClock,
) -> None:
    assert await waited_s(MirrorState.WATCHING, 60.0) == pytest.approx(CATCH_UP_S, abs=0.02)


async def test_nobody_waits_for_an_etcd_that_is_away(autojump_clock: MockClock) -> None:
    assert await waited_s(MirrorState.BACKOFF, 60.0) == 0.0


async def test_a_silent_etcd_is_waited_for_only_so_long(autojump_clock: MockClock) -> None:
    assert await waited_s(MirrorState.OPENING, 60.0) == pytest.approx(CATCH_UP_MAX_S, abs=0.02)
