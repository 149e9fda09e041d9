"""How far a member is on the way to a revision, by its own words and ours. A pure function."""

from __future__ import annotations

from enum import StrEnum

from sidecar.standing.model import Standing, Sync

__all__ = ["Progress", "progress"]


class Progress(StrEnum):
    """Where a member is on its way to a revision."""

    IN_FORCE = "in-force"
    """Its Envoy has that revision, or a later one, wholly in force."""
    APPLYING = "applying"
    """It has received it; its Envoy does not have all of it yet."""
    BEHIND = "behind"
    """It has not received it."""
    HELD = "held"
    """It holds off the etcd that the revision is of, until a person decides."""
    OTHER_STORE = "other-store"
    """It follows another etcd, whose revisions mean other things."""
    AHEAD = "ahead"
    """It claims revisions that we, who follow etcd, have not seen: not believed until we have."""
    DIFFERS = "differs"
    """It has that revision with other content than ours."""
    SILENT = "silent"
    """Nothing was heard of its configuration in its present life."""


def progress(
    standing: Standing | None,
    own: Standing | None,
    revision: int,
    cluster_id: int | None,
    *,
    differs: bool = False,
) -> Progress:
    """Where the member that says `standing` is on its way to `revision`.

    Args:
        standing: The newest words of its present life; None when none were heard.
        own: Our own; None before the first.
        revision: What is waited for.
        cluster_id: The etcd that it is a revision of; None: the one that we follow.
        differs: Whether its content contradicts what we had at its revision.
    """
    if standing is None or standing.epoch is None:
        return Progress.SILENT
    if standing.sync is Sync.HELD:
        return Progress.HELD  # what it has is of another life of the store than what is written now
    if cluster_id is None:
        cluster_id = own.epoch.cluster_id if own is not None and own.epoch is not None else None
    if standing.epoch.cluster_id != cluster_id:
        return Progress.OTHER_STORE
    if standing.in_force < revision:
        return Progress.BEHIND if standing.received < revision else Progress.APPLYING
    if differs:
        return Progress.DIFFERS
    if _is_beyond(standing, own):
        return Progress.AHEAD
    return Progress.IN_FORCE


def _is_beyond(standing: Standing, own: Standing | None) -> bool:
    """Whether it claims what etcd has not told us: a restored etcd keeps its cluster id, and old revisions are higher.

    Who hears etcd itself is milliseconds behind at most, so this ends by itself; who does not cannot judge.
    """
    if own is None or own.epoch is None or own.sync is not Sync.STORE or standing.epoch is None:
        return False
    return own.epoch.cluster_id == standing.epoch.cluster_id and standing.in_force > own.received
