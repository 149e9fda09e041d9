"""The store as one thing: the Mirror with its connections, running, or at rest where this host follows peers by choice.

A new Mirror begins with the newest snapshot that is known, so that taking a watch up again costs no reading.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import trio

from store.etcd.settings import EtcdSettings
from store.etcd.watch import MirrorTask
from store.mirror import Mirror
from store.mirror.status import MirrorStatus
from store.snapshot import Snapshot

__all__ = ["StoreSide", "Taking"]


@dataclass(frozen=True, kw_only=True)
class Taking:
    """Who takes what the Mirror says; all are called in trio's thread."""

    publish: Callable[[Snapshot], None]
    """The newest snapshot; those that it supersedes are skipped."""
    each: Callable[[Snapshot], None]
    """Every snapshot, at once."""
    changed: Callable[[], None]
    """The Mirror's state is another than before."""


class StoreSide:
    """This host's view of etcd.

    Args:
        settings: How to reach etcd.
        taking: Who takes what comes.
        seed: The last known good, from disk.
        is_wanted: Whether a watch is held from the start.
    """

    def __init__(
        self,
        settings: EtcdSettings,
        taking: Taking,
        *,
        seed: Snapshot | None = None,
        is_wanted: bool = True,
    ) -> None:
        self._settings = settings
        self._taking = taking
        self._newest = seed
        self._task: MirrorTask | None = self._make() if is_wanted else None
        self._at_rest = Mirror(random.Random(), seed=seed).status
        self._life = trio.CancelScope()
        self._is_wanted = trio.Event()
        if is_wanted:
            self._is_wanted.set()

    @property
    def is_watched(self) -> bool:
        """Whether this host asks etcd at all."""
        return self._task is not None

    @property
    def status(self) -> MirrorStatus:
        """One look at the Mirror; at rest: not started, with what is known."""
        return self._at_rest if self._task is None else self._task.status

    def accept_epoch(self) -> None:
        """A person accepts the epoch that is held."""
        if self._task is not None:
            self._task.accept_epoch()

    def relayed(self, snapshot: Snapshot) -> None:
        """Peers brought this, and it is in force already: a watch goes on from it."""
        self._newest = snapshot
        if self._task is not None:
            self._task.relayed(snapshot)
        else:
            self._rest()

    def want(self, is_wanted: bool) -> None:
        """Hold a watch from now on, or let go of it."""
        if is_wanted == self.is_watched:
            return
        if is_wanted:
            self._task = self._make()
            self._is_wanted.set()
        else:
            assert self._task is not None, "it is watched"
            pending = self._task.take_pending()
            self._newest = self._task.snapshot or self._newest
            self._task = None
            self._is_wanted = trio.Event()
            self._life.cancel()
            self._rest()
            if pending is not None:
                self._taking.publish(pending)
        self._taking.changed()

    async def run(self) -> None:
        """Follow etcd while it is wanted, until cancelled."""
        while True:
            await self._is_wanted.wait()
            with trio.CancelScope() as self._life:
                if self._task is not None:
                    await self._task.run()

    def _make(self) -> MirrorTask:
        return MirrorTask(
            self._settings,
            Mirror(random.Random(), seed=self._newest),
            self._taking.publish,
            each=self._each,
            changed=self._taking.changed,
            start_at=random.randrange(1 << 16),
        )

    def _each(self, snapshot: Snapshot) -> None:
        self._newest = snapshot
        self._taking.each(snapshot)

    def _rest(self) -> None:
        self._at_rest = Mirror(random.Random(), seed=self._newest).status
