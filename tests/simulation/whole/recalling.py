"""What etcd held at an earlier revision, for a value that is bad now (`sidecar.agent.recall`)."""

from __future__ import annotations

from collections.abc import Callable

from store.catalog.generations import Compacted, Recall, RecallSource
from store.snapshot import Entry
from tests.simulation.whole.store import Etcd, Link

__all__ = ["recall"]

Found = Entry | Compacted | None


def recall(
    link: Link, wanted: Recall, found: Callable[[Found], None], failed: Callable[[], None]
) -> None:
    """Ask etcd.

    Args:
        link: To etcd.
        wanted: Which key, at which revision.
        found: Told what was there, or that nobody knows any more.
        failed: Told that there was no answer, or that etcd has not come so far yet.
    """

    def served(etcd: Etcd) -> tuple[Found] | None:
        if wanted.source is RecallSource.HISTORY:
            return (None,)
        if wanted.revision < etcd.compacted:
            return (Compacted(),)
        if wanted.revision > etcd.revision:
            return None
        return (etcd.snapshots[wanted.revision].get(wanted.key),)

    def answered(answer: tuple[Found] | None) -> None:
        if answer is None:
            failed()
        else:
            found(answer[0])

    link.call(served, answered)
