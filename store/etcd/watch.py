"""Runs a Mirror against a real etcd: carries its effects out and feeds it what comes back.

A thin shell under trio. The watch stream and the reads block in worker threads; whatever they bring is handed to
trio's thread at once, so that an event reaches `publish` without polling (a fraction of a millisecond). Publishing
has a task of its own, and only the newest snapshot counts: a slow reader never delays the watch.
"""

from __future__ import annotations

import inspect
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog
import trio

from store.errors import MeshError
from store.etcd.client import EtcdClient
from store.etcd.settings import EtcdSettings
from store.etcd.stream import WatchStream, failure_of
from store.mirror import Mirror, MirrorStatus
from store.mirror import events as on
from store.snapshot import Snapshot

__all__ = ["MirrorTask", "log_report", "run_mirror"]

READS_MAX = 2
"""Reads at once: an answer that nobody waits for any more may still be under way."""

_log = structlog.get_logger("meshd.mirror")


def log_report(report: on.Report) -> None:
    """Write a report of the Mirror to the log."""
    write = {
        on.Severity.INFO: _log.info,
        on.Severity.WARNING: _log.warning,
        on.Severity.ERROR: _log.error,
    }
    write[report.severity](report.name, **report.facts)


class MirrorTask:
    """One Mirror, running. Owns its connections to etcd.

    Args:
        settings: How to reach etcd, and the prefix.
        mirror: The machine; nothing else may feed it.
        publish: Takes each new snapshot that matters (skipped ones are superseded); may be async.
        report: Takes what a person may want to know.
        each: Takes every snapshot at once, also those that `publish` skips; None: nobody wants them.
        changed: Told whenever the Mirror's state is another than before, after what was published with it.
        start_at: Index of the member to begin with, so that many sidecars spread over the members.
    """

    def __init__(
        self,
        settings: EtcdSettings,
        mirror: Mirror,
        publish: Callable[[Snapshot], Awaitable[None] | None],
        *,
        report: Callable[[on.Report], None] = log_report,
        each: Callable[[Snapshot], None] | None = None,
        changed: Callable[[], None] | None = None,
        start_at: int = 0,
    ) -> None:
        self._settings = settings
        self._mirror = mirror
        self._publish = publish
        self._report = report
        self._each = each
        self._changed = changed
        self._client = EtcdClient(settings, start_at=start_at)
        self._stream: WatchStream | None = None
        self._renew_token = False
        self._arrived: deque[on.Event] = deque()
        self._has_arrived = trio.Event()
        self._newest: Snapshot | None = None
        self._has_newest = trio.Event()
        self._threads = trio.CapacityLimiter(math.inf)
        self._readers = trio.CapacityLimiter(READS_MAX)
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None

    @property
    def status(self) -> MirrorStatus:
        """One look at the Mirror."""
        return self._mirror.status

    @property
    def endpoint(self) -> str:
        """The member that the next call goes to."""
        return self._client.endpoint

    @property
    def snapshot(self) -> Snapshot | None:
        """What the Mirror holds; None before its first reading."""
        return self._mirror.snapshot

    def accept_epoch(self) -> None:
        """A person accepts the epoch that is held. Call it in trio's thread."""
        self._arrive(on.EpochAccepted())

    def relayed(self, snapshot: Snapshot) -> None:
        """Peers brought this, and it is in force already: go on from it. Call it in trio's thread.

        It takes effect at once: what was to be published from before it is older, and forgotten.
        """
        self._newest = None
        self._handle(on.Relayed(snapshot))
        self._has_arrived.set()

    def take_pending(self) -> Snapshot | None:
        """What is still to be published, for whoever is about to end this; None: nothing."""
        pending, self._newest = self._newest, None
        return pending

    async def run(self) -> None:
        """Run until cancelled; then connections are closed, and a call under way ends without being heard."""
        self._token = trio.lowlevel.current_trio_token()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._publish_newest)
                await self._follow()
        finally:
            # Threads block in gRPC; closing is what ends them.
            self._close_stream()
            self._client.close()

    async def _follow(self) -> None:
        self._arrive(on.Started())
        while True:
            deadline = self._mirror.deadline()
            with trio.move_on_at(math.inf if deadline is None else deadline):
                await self._has_arrived.wait()
            self._has_arrived = trio.Event()
            while self._arrived:
                event = self._arrived.popleft()
                self._handle(event)
                if isinstance(event, on.WatchAnswered) and self._is_current(event.stream):
                    assert self._stream is not None
                    self._stream.handled()
            deadline = self._mirror.deadline()
            if deadline is not None and deadline <= trio.current_time():
                self._handle(on.Woken())
            await trio.lowlevel.checkpoint()

    def _handle(self, event: on.Event) -> None:
        before = self._mirror.status.state
        for effect in self._mirror.handle(event, trio.current_time()):
            match effect:
                case on.List() | on.ListKeysOnly() | on.ReadKey():
                    assert self._nursery is not None
                    self._nursery.start_soon(self._read, effect)
                case on.OpenWatch():
                    self._open_stream(effect)
                case on.CloseWatch():
                    self._close_stream()
                case on.RequestProgress():
                    if self._stream is not None:
                        self._stream.request_progress()
                case on.SwitchEndpoint():
                    self._client.move_on()
                case on.Reauthenticate():
                    self._renew_token = True
                case on.Publish():
                    self._newest = effect.snapshot
                    self._has_newest.set()
                    if self._each is not None:
                        self._each(effect.snapshot)
                case on.Report():
                    self._report(effect)
        if self._changed is not None and self._mirror.status.state is not before:
            self._changed()

    async def _publish_newest(self) -> None:
        while True:
            await self._has_newest.wait()
            self._has_newest = trio.Event()
            snapshot, self._newest = self._newest, None
            if snapshot is not None:
                outcome = self._publish(snapshot)
                if inspect.isawaitable(outcome):
                    await outcome

    async def _read(self, asked: on.List | on.ListKeysOnly | on.ReadKey) -> None:
        def read() -> on.Event:
            prefix = self._settings.prefix
            try:
                if isinstance(asked, on.ListKeysOnly):
                    return on.KeysListed(asked.request, *self._client.keys_only(prefix))
                if isinstance(asked, on.ReadKey):
                    found, *where = self._client.read_at(f"{prefix}/{asked.key}", asked.revision)
                    entry = None if found is None else replace(found, key=asked.key)
                    return on.KeyRead(asked.request, entry, *where)
                return on.Listed(asked.request, *self._client.list_prefix(prefix))
            except MeshError as error:
                return on.ReadFailed(asked.request, failure_of(error))

        answer = await trio.to_thread.run_sync(read, abandon_on_cancel=True, limiter=self._readers)
        self._arrive(answer)

    def _open_stream(self, effect: on.OpenWatch) -> None:
        renew, self._renew_token = self._renew_token, False
        stream = WatchStream(
            self._settings,
            self._client.endpoint,
            number=effect.stream,
            start_revision=effect.start_revision,
            metadata=lambda: self._client.metadata(renew=renew),
            deliver=self._deliver,
        )
        self._stream = stream
        assert self._nursery is not None
        self._nursery.start_soon(self._run_stream, stream)

    async def _run_stream(self, stream: WatchStream) -> None:
        await trio.to_thread.run_sync(stream.run, abandon_on_cancel=True, limiter=self._threads)

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def _is_current(self, stream: int) -> bool:
        return self._stream is not None and self._stream.number == stream

    def _deliver(self, event: on.Event) -> None:
        """Called in other threads."""
        assert self._token is not None
        try:
            self._token.run_sync_soon(self._arrive, event)
        except trio.RunFinishedError:
            return

    def _arrive(self, event: on.Event) -> None:
        self._arrived.append(event)
        self._has_arrived.set()


async def run_mirror(
    settings: EtcdSettings,
    mirror: Mirror,
    publish: Callable[[Snapshot], Awaitable[None] | None],
    *,
    report: Callable[[on.Report], None] = log_report,
) -> None:
    """Run a Mirror until cancelled; see `MirrorTask`."""
    await MirrorTask(settings, mirror, publish, report=report).run()
