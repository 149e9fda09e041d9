"""One watch stream: gRPC's blocking iterator in a worker thread, spoken to from any thread.

The stream has a connection of its own (reads on the same one starve it: etcd#15402) and requires a leader (without
that a member cut off from its quorum stays silent for ever). It knows nothing about what the events mean.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import grpc

from store.errors import MeshError
from store.etcd.calls import Metadata
from store.etcd.channel import open_channel
from store.etcd.failures import RevisionCompacted, RevisionUnknown, StoreDenied, explain
from store.etcd.paging import prefix_range
from store.etcd.settings import EtcdSettings
from store.etcd.stubs import kv, rpc, stream, unary
from store.mirror.events import (
    Deleted,
    Event,
    Failure,
    FailureKind,
    ServerIdentified,
    WatchAnswered,
    WatchBroken,
)
from store.snapshot import Entry

__all__ = ["WatchStream", "failure_of"]

UNHANDLED_MAX = 64
"""Responses handed over and not yet handled; beyond it the thread waits, and with it, in the end, etcd."""
STATUS_TIMEOUT_S = 3.0
"""How long the member may take to tell its version."""


class WatchStream:
    """One stream with one watch on everything under a prefix.

    Args:
        settings: Endpoints' TLS, and the prefix.
        endpoint: The member to watch.
        number: The Mirror's number of this stream.
        start_revision: The first revision wanted.
        metadata: Gives the token to send along; may block and may raise MeshError.
        deliver: Takes each event; called in other threads, and must not block.
    """

    def __init__(
        self,
        settings: EtcdSettings,
        endpoint: str,
        *,
        number: int,
        start_revision: int,
        metadata: Callable[[], Metadata],
        deliver: Callable[[Event], None],
    ) -> None:
        self.number = number
        self._settings = settings
        self._endpoint = endpoint
        self._start_revision = start_revision
        self._metadata = metadata
        self._deliver = deliver
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._room = threading.Semaphore(UNHANDLED_MAX)
        self._lock = threading.Lock()
        self._call: Any = None
        self._is_closed = False

    def run(self) -> None:
        """Deliver responses until the stream ends or is closed; blocks. Its end is delivered too, unless closed."""
        try:
            failure = self._run()
        except MeshError as error:
            failure = failure_of(error)
        except grpc.RpcError as error:
            what = explain(
                error,
                self._endpoint,
                doing="watch",
                timeout_s=0.0,
                identity=self._settings.identity,
            )
            failure = failure_of(what)
        self._hand_over(WatchBroken(self.number, failure))

    def request_progress(self) -> None:
        """Ask for a sign of life."""
        self._requests.put(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))

    def handled(self) -> None:
        """One delivered response has been handled: there is room for another."""
        self._room.release()

    def close(self) -> None:
        """End the stream; nothing is delivered any more and `run` returns soon. May be called twice."""
        with self._lock:
            self._is_closed = True
            call = self._call
        self._room.release()
        self._requests.put(None)
        if call is not None:
            call.cancel()

    def _run(self) -> Failure:
        metadata = (("hasleader", "true"), *self._metadata())
        channel = open_channel(self._settings, self._endpoint)
        try:
            self._requests.put(self._create())
            call = stream(channel, "Watch/Watch")(iter(self._requests.get, None), metadata=metadata)
            with self._lock:
                self._call = call
                if self._is_closed:
                    call.cancel()
            for response in call:
                if response.created and not response.canceled:
                    self._ask_version(channel, metadata)
                self._hand_over(self._read(response))
            return Failure(
                FailureKind.UNAVAILABLE, f"etcd {self._endpoint}: the watch stream ended"
            )
        finally:
            self._requests.put(None)
            channel.close()

    def _create(self) -> Any:
        start, end = prefix_range(self._settings.prefix)
        return rpc.WatchRequest(
            create_request=rpc.WatchCreateRequest(
                key=start, range_end=end, start_revision=self._start_revision
            )
        )

    def _ask_version(self, channel: grpc.Channel, metadata: Metadata) -> None:
        """Learn the member's version beside the stream; where it does not tell, the oldest rules stay."""

        def told(answer: Any) -> None:
            if not answer.cancelled() and answer.exception() is None:
                version = str(answer.result().version)
                self._hand_over(ServerIdentified(self.number, version), waits=False)

        status = unary(channel, "Maintenance/Status")
        answer = status.future(  # type: ignore[attr-defined]  # grpc has no types
            rpc.StatusRequest(), timeout=STATUS_TIMEOUT_S, metadata=metadata
        )
        answer.add_done_callback(told)

    def _hand_over(self, event: Event, *, waits: bool = True) -> None:
        if waits:
            self._room.acquire()
        with self._lock:
            if self._is_closed:
                return
        self._deliver(event)

    def _read(self, response: Any) -> WatchAnswered:
        skipped = len(self._settings.prefix) + 1
        return WatchAnswered(
            self.number,
            int(response.header.revision),
            int(response.header.cluster_id),
            created=bool(response.created),
            canceled=bool(response.canceled),
            cancel_reason=str(response.cancel_reason),
            compact_revision=int(response.compact_revision),
            changes=tuple(_change(event, skipped) for event in response.events),
        )


def failure_of(error: MeshError) -> Failure:
    """What an error of a call means for the Mirror."""
    if isinstance(error, StoreDenied):
        kind = FailureKind.DENIED
    elif isinstance(error, RevisionCompacted):
        kind = FailureKind.COMPACTED
    elif isinstance(error, RevisionUnknown):
        kind = FailureKind.OTHER
    else:
        kind = FailureKind.UNAVAILABLE
    return Failure(kind, error.message)


def _change(event: Any, skipped: int) -> Entry | Deleted:
    found = event.kv
    key = found.key.decode("utf-8", "surrogateescape")[skipped:]
    if event.type == kv.Event.DELETE:
        return Deleted(key, int(found.mod_revision))
    return Entry(
        key,
        bytes(found.value),
        int(found.create_revision),
        int(found.mod_revision),
        int(found.version),
        int(found.lease),
    )
