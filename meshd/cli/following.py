"""`get --watch`: every change of the mesh as it happens, by the Mirror that sidecars follow the store with.

It survives what they survive: lost streams, compactions, a member that is gone. Ends with Ctrl-C.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import trio

from meshd.cli.stored import Stored, as_stored
from store.etcd.settings import EtcdSettings
from store.etcd.watch import MirrorTask
from store.keys import parse_key
from store.mirror import Mirror
from store.mirror.events import Report, Severity
from store.objects.kinds import ObjectRef
from store.snapshot import Snapshot

__all__ = ["follow"]


def follow(
    settings: EtcdSettings,
    *,
    changed: Callable[[Stored], None],
    gone: Callable[[ObjectRef], None],
    troubled: Callable[[str], None],
) -> None:
    """Tell of every object as it is now, then of each change, until interrupted.

    Args:
        settings: How to reach the store.
        changed: Takes an object that is there or has changed.
        gone: Takes an object that is no more.
        troubled: Takes a sentence about the connection.
    """
    seen = Snapshots(changed, gone)

    def report(one: Report) -> None:
        if one.severity is not Severity.INFO:
            facts = ", ".join(f"{name}: {value}" for name, value in one.facts.items())
            troubled(f"{one.name.replace('_', ' ')} ({facts})" if facts else one.name)

    task = MirrorTask(settings, Mirror(random.Random()), seen.take, report=report)
    try:
        trio.run(task.run)
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one


class Snapshots:
    """What differs from one snapshot to the next.

    Args:
        changed: Takes an object that came or changed.
        gone: Takes an object that went.
    """

    def __init__(
        self, changed: Callable[[Stored], None], gone: Callable[[ObjectRef], None]
    ) -> None:
        self._changed = changed
        self._gone = gone
        self._last: Snapshot | None = None

    def take(self, snapshot: Snapshot) -> None:
        """Tell how it differs from the one before; of everything, when it is the first."""
        last, self._last = self._last, snapshot
        keys: Iterable[str] = snapshot.keys() if last is None else snapshot.changes_since(last)
        for key in sorted(keys):
            entry = snapshot.get(key)
            if entry is not None:
                if last is None or last.get(key) != entry:
                    stored = as_stored(entry)
                    if stored is not None:
                        self._changed(stored)
            elif last is not None and key in last:
                ref = parse_key(key)
                if isinstance(ref, ObjectRef):
                    self._gone(ref)
