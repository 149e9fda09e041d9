"""How long a restarted sidecar listens to etcd before it attaches to an Envoy that runs already.

The last known good on disk may be older than what Envoy got from the last sidecar, which was killed before it
wrote the newest: attached at once, Envoy would be led back for a moment. It goes on serving meanwhile. Where etcd
is away the disk is the best that there is, and nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from store.mirror.status import MirrorState, MirrorStatus

__all__ = ["catch_up"]

CATCH_UP_S = 0.15
"""etcd brings a watch that begins in the past up to date within a tenth of a second; then silence means: no change."""
CATCH_UP_MAX_S = 1.0
"""Longest wait for an etcd that neither answers nor refuses."""
POLL_S = 0.01
"""How often it is looked whether etcd has spoken."""


async def catch_up(status: Callable[[], MirrorStatus], has_heard: Callable[[], bool]) -> None:
    """Return when etcd's word is in, or is not to be had.

    Args:
        status: Looks at the Mirror.
        has_heard: Whether a snapshot came from etcd.
    """
    with trio.move_on_after(CATCH_UP_MAX_S):
        while not has_heard():
            mirror = status()
            if mirror.state is MirrorState.BACKOFF:
                return
            if mirror.is_fresh and trio.current_time() - mirror.since_s > CATCH_UP_S:
                return
            await trio.sleep(POLL_S)
