"""What this host says of its own configuration: from the node, its sources and Envoy's session to a `Standing`."""

from __future__ import annotations

from sidecar.node.node import Node
from sidecar.standing.codec import WITHHELD_MAX
from sidecar.standing.model import HASH_DIGITS, Standing, Sync, mark_of
from sidecar.xds.events import ResourceRejected
from store.keys import object_key

__all__ = ["own_standing"]


def own_standing(
    node: Node,
    sync: Sync,
    rejected: tuple[ResourceRejected, ...],
    *,
    is_current: bool,
    version: str,
) -> Standing:
    """What is true of this host now.

    Args:
        node: Its core.
        sync: Where its configuration comes from.
        rejected: What its Envoy refuses now.
        is_current: Whether Envoy, on its present stream, has said that it has all of some state.
        version: Version of the sidecar.
    """
    snapshot, mark = node.catalog.snapshot, node.in_force
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


def _withheld(node: Node, rejected: tuple[ResourceRejected, ...]) -> tuple[int, ...]:
    keys = {row.key for row in node.catalog.quarantined}
    for refused in rejected:
        keys |= {object_key(source.ref) for source in refused.sources if source.ref is not None}
    return tuple(sorted(mark_of(key) for key in keys)[:WITHHELD_MAX])
