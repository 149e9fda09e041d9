"""A Mirror that follows a real etcd, for tests: what it published, and waits for what it should know."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from store.etcd.settings import EtcdSettings
from store.etcd.watch import MirrorTask
from store.mirror import Mirror, MirrorSettings, MirrorState
from store.mirror.events import Report
from store.snapshot import Snapshot
from tests.harness.processes import wait_until_async

__all__ = ["Follower", "following"]


class Follower:
    """What one MirrorTask has published and reported so far."""

    def __init__(self, task_settings: EtcdSettings, mirror: Mirror) -> None:
        self.published: list[Snapshot] = []
        self.reports: list[Report] = []
        self.on_publish: Callable[[Snapshot], None] = lambda _: None
        self.mirror = mirror
        self.task = MirrorTask(task_settings, mirror, self._take, report=self.reports.append)

    def _take(self, snapshot: Snapshot) -> None:
        assert (
            len(snapshot)
            or not self.published
            or not len(self.published[-1])
            or (snapshot.revision > self.published[-1].revision)
        )
        self.published.append(snapshot)
        self.on_publish(snapshot)

    @property
    def held(self) -> dict[str, bytes]:
        """Key and value of everything that is in force."""
        snapshot = self.mirror.snapshot
        return {e.key: e.value for e in snapshot.entries()} if snapshot is not None else {}

    async def holds(self, wanted: dict[str, bytes], deadline_s: float = 10.0) -> None:
        """Wait until exactly this is in force, and published where anything was: that takes one turn more."""

        def there() -> bool:
            newest = self.mirror.snapshot
            told = not self.published or self.published[-1] is newest
            return self.held == wanted and told

        await wait_until_async(there, deadline_s, f"{len(wanted)} keys")

    async def comes_to(self, state: MirrorState, deadline_s: float = 10.0) -> None:
        """Wait for a state."""

        def there() -> bool:
            return self.task.status.state is state

        await wait_until_async(there, deadline_s, f"the Mirror to be {state.value}")

    async def reports_a(self, name: str, deadline_s: float = 10.0) -> Report:
        """Wait for a report."""

        def found() -> Report | None:
            return next((report for report in self.reports if report.name == name), None)

        report = await wait_until_async(found, deadline_s, f"the report {name}")
        assert isinstance(report, Report)
        return report


@asynccontextmanager
async def following(
    settings: EtcdSettings,
    *,
    seed: Snapshot | None = None,
    patience: MirrorSettings | None = None,
    number: int = 7,
) -> AsyncIterator[Follower]:
    """Run a Mirror until the block ends; its pauses are those of its number."""
    follower = Follower(settings, Mirror(random.Random(number), seed=seed, settings=patience))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.task.run)
        yield follower
        nursery.cancel_scope.cancel()
