"""When objects are parsed and checked that nothing has asked for: after the start, little by little."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from sidecar.node.events import JudgeSome
from sidecar.node.node import Node
from store.objects import model_for
from store.objects.kinds import Kind

__all__ = ["judge_the_rest", "load_models"]

AFTER_S = 1.0
"""Pause between the start and the judgement of what nobody has asked for: the application starts, too."""
AT_ONCE = 12
"""Objects judged in one go: about a millisecond."""
PAUSES = 3
"""Length of the pause after it, in times of what it took: a quarter of one processor is used."""


async def judge_the_rest(
    wait_ready: Callable[[], Awaitable[None]],
    node: Node,
    handle: Callable[[JudgeSome], None],
) -> None:
    """Judge what a load put off, never in the way of a change for long; returns when all is judged.

    The node hears of it once more when nothing is left: what a question (a trace, a DNS query) found to be bad is
    quarantined with the next event, and there may be no other.

    Args:
        wait_ready: Returns once a configuration is in force.
        node: Knows how many objects are left.
        handle: Takes events to the node, and carries out what it says.
    """
    await wait_ready()
    await trio.sleep(AFTER_S)
    is_judged = False
    while not is_judged:
        began_s, is_judged = trio.current_time(), not node.catalog.unjudged
        handle(JudgeSome(AT_ONCE))
        await trio.sleep((trio.current_time() - began_s) * PAUSES)


def load_models() -> None:
    """Build the models of all kinds now: the first change must not pay for it (some 0.3 s)."""
    for kind in Kind:
        model_for(kind)
