"""What this host says of its own configuration: from the node, the Mirror and Envoy's session to a `Standing`."""

from __future__ import annotations

from sidecar.node.node import Node
from sidecar.standing.codec import WITHHELD_MAX
from sidecar.standing.model import HASH_DIGITS, Standing, Sync, mark_of
from sidecar.xds.events import ResourceRejected
from store.keys import object_key
from store.mirror.status import MirrorStatus

__all__ = ["STALE_AFTER_S", "own_standing"]

STALE_AFTER_S = 8.0
"""How long the store may be silent before we say so: its heartbeat (5 s) and some. A member that restarts, or a watch
opened anew, is none of the others' business, and each word costs the mesh some datagrams."""


def own_standing(
    node: Node,
    mirror: MirrorStatus,
    rejected: tuple[ResourceRejected, ...],
    *,
    is_current: bool,
    version: str,
    now_s: float,
) -> Standing:
    """What is true of this host now.

    Args:
        node: Its core.
        mirror: Its view of the store.
        rejected: What its Envoy refuses now.
        is_current: Whether Envoy, on its present stream, has said that it has all of some state.
        version: Version of the sidecar.
        now_s: Monotonic seconds.
    """
    snapshot, mark = node.catalog.snapshot, node.in_force
    sync = _sync(mirror, now_s)
    if snapshot is None:
        return Standing(None, 0, "", 0, sync, version=version)
    # What is in force of an earlier life of the store says nothing about revisions of this one.
    is_comparable = mark is not None and is_current and mark.snapshot.epoch == snapshot.epoch
    return Standing(
        epoch=snapshot.epoch,
        received=snapshot.revision,
        received_hash=snapshot.hash[:HASH_DIGITS],
        in_force=mark.snapshot.revision if mark is not None and is_comparable else 0,
        sync=sync,
        quarantined=len(node.catalog.quarantined),
        rejected=len(rejected),
        version=version,
        withheld=_withheld(node, rejected),
    )


def _sync(mirror: MirrorStatus, now_s: float) -> Sync:
    if mirror.held is not None:
        return Sync.HELD
    if mirror.is_fresh:
        return Sync.STORE
    was_heard = mirror.heard_s is not None and now_s - mirror.heard_s < STALE_AFTER_S
    return Sync.STORE if was_heard else Sync.STALE


def _withheld(node: Node, rejected: tuple[ResourceRejected, ...]) -> tuple[int, ...]:
    keys = {row.key for row in node.catalog.quarantined}
    for refused in rejected:
        keys |= {object_key(source.ref) for source in refused.sources if source.ref is not None}
    return tuple(sorted(mark_of(key) for key in keys)[:WITHHELD_MAX])
