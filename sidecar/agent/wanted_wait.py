"""Waits until what somebody wrote is in force here, and it is certain that it is what was written."""

from __future__ import annotations

from collections.abc import Callable

import trio

from sidecar.agent.bell import Bell
from sidecar.agent.wanted import Sight, Wanted
from sidecar.node.marks import InForceMark

__all__ = ["wait_for"]

HEAR_AGAIN_S = 0.25
"""Between looks whether the store has spoken: its heartbeat comes every 5 s, and rings no bell."""
JUDGE_S = 1.0
"""From a word of the store until it is known whether it is in another life: one reading of its keys."""


async def wait_for(
    wanted: Wanted,
    in_force: Callable[[], InForceMark | None],
    changed: Bell,
    *,
    heard: Callable[[], float | None],
) -> InForceMark:
    """What is in force once it holds `wanted`.

    Where only the store can tell whether this is still its life in which that was written, the store is heard first.

    Args:
        wanted: What is waited for.
        in_force: What is in force of the epoch that is followed; None while nothing is.
        changed: Rings whenever that may have changed.
        heard: Since when at least the store has said what is followed, here or to a peer; None: nobody can tell.
    """
    began_s = trio.current_time()
    mark = await _reached(wanted, in_force, changed)
    while wanted.sight(mark.snapshot) is Sight.UNSURE:
        epoch = mark.snapshot.epoch
        await _hear_store(began_s, changed, heard)
        mark = await _reached(wanted, in_force, changed)
        if mark.snapshot.epoch == epoch:
            break  # the store spoke meanwhile, and it is the same life of it
    return mark


async def _reached(
    wanted: Wanted, in_force: Callable[[], InForceMark | None], changed: Bell
) -> InForceMark:
    """What is in force, once it may be what is wanted."""

    def found() -> InForceMark | None:
        mark = in_force()
        return None if mark is None or wanted.sight(mark.snapshot) is Sight.UNSEEN else mark

    await changed.until(lambda: found() is not None)
    mark = found()
    assert mark is not None, "it was reached a moment ago"
    return mark


async def _hear_store(since_s: float, changed: Bell, heard: Callable[[], float | None]) -> None:
    """Return when the store has spoken since then, and there was time to see whether its life is another."""

    def was_heard() -> bool:
        at_s = heard()
        return at_s is not None and at_s > since_s

    while not was_heard():
        with trio.move_on_after(HEAR_AGAIN_S):
            await changed.until(was_heard)
    await trio.sleep(JUDGE_S)
