"""The bell that wakes who waits."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from sidecar.agent.bell import Bell


async def test_everyone_looks_again_at_each_ring() -> None:
    bell, value, ended = Bell(), [0], []

    async def wait(target: int) -> None:
        await bell.until(lambda: value[0] >= target)
        ended.append(target)

    async with trio.open_nursery() as nursery:
        for target in (0, 1, 2):
            nursery.start_soon(wait, target)
        for step, done in ((0, [0]), (1, [0, 1]), (2, [0, 1, 2])):
            value[0] = step
            bell.ring()
            await wait_all_tasks_blocked()
            assert ended == done


async def test_a_ring_for_nobody_is_forgotten() -> None:
    bell = Bell()
    bell.ring()
    with trio.move_on_after(0) as scope:
        await bell.until(lambda: False)
    assert scope.cancelled_caught
