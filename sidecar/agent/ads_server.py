"""The ADS socket: grpcio's synchronous server on one side, trio on the other.

The only module with threads of its own. Each stream has two: one that reads requests and hands them to trio,
one (of grpcio's pool) that takes responses from a bounded queue and sends them. The newest stream wins; older
ones are ended. An Envoy that another one has taken over from may come back, while it finishes what it has: it is turned
away by what its first request says of its node. Nothing here decides anything about resources: see
`sidecar.xds.session`. Envoy's load reports come over the same socket: see `outcomes_reports`.
Source: Envoy, aggregated discovery service (delta), load reporting service; grpcio server API.
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import trio
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.load_stats.v3 import lrs_pb2_grpc

from sidecar.agent.ads_messages import decode_request, encode_response, generation_of
from sidecar.agent.outcomes_reports import (
    LoadReported,
    Reporting,
    decode_report,
    encode_reporting,
)
from sidecar.agent.run_files import hold_lock
from sidecar.xds.events import DeltaRequest, SendResponse, StreamClosed, StreamOpened
from store.errors import InputError

__all__ = ["AdsServer", "StreamEvent"]

StreamEvent = StreamOpened | StreamClosed | DeltaRequest
"""What the server tells."""

SOCKET_PATH_MAX = 107
"""Longest path of a unix socket on Linux, in bytes."""
QUEUE_MAX = 64
"""Responses that may wait for a slow Envoy. The session coalesces and sends few; a stream with more is stuck,
and is ended: Envoy comes back with what it holds and gets the difference."""
THREADS = 8
"""Streams that may be open at once: two live, the others are being ended."""
STOP_S = 4.0
"""How long ending streams may take when the server stops."""
_END = None


class _Stream:
    """One stream and the queue of what is to be sent on it."""

    def __init__(self, number: int, context: Any) -> None:
        self.number = number
        self.context = context
        self.outbox: queue.Queue[Any] = queue.Queue(QUEUE_MAX)

    def put(self, message: Any) -> None:
        """Queue a message, or the end; cancels the stream when the queue is full."""
        try:
            self.outbox.put_nowait(message)
        except queue.Full:
            self.context.cancel()


class _Service:
    """One method's streams, of which the newest wins.

    Args:
        name: For the names of threads.
        tell: Called with what happened, in the thread in which it happened.
    """

    def __init__(self, name: str, tell: Callable[[Any], None]) -> None:
        self._name = name
        self._tell = tell
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._stream: _Stream | None = None
        self._closing = False

    def open(self, context: Any) -> _Stream:
        """A new stream in the place of the one before, which is ended."""
        stream = _Stream(next(self._numbers), context)
        with self._lock:
            before, self._stream = self._stream, stream
        if before is not None:
            before.put(_END)
        context.add_callback(lambda: stream.put(_END))
        return stream

    def run(
        self,
        stream: _Stream,
        requests: Iterator[Any],
        decode: Callable[[int, Any], object],
        encode: Callable[[Any], Any],
    ) -> Iterator[Any]:
        """Tell what is read, in a thread of its own, and yield what is to be sent until the stream ends."""
        reader = threading.Thread(
            target=self._read,
            args=(stream, requests, decode),
            name=f"{self._name}-read-{stream.number}",
            daemon=True,
        )
        reader.start()
        try:
            while not self._closing and (message := stream.outbox.get()) is not _END:
                yield encode(message)
        finally:
            with self._lock:
                if self._stream is stream:
                    self._stream = None
            stream.context.cancel()

    def send(self, message: Any, number: int | None = None) -> None:
        """Queue a message on the stream of this number (None: the newest); dropped when that has ended."""
        with self._lock:
            stream = self._stream
        if stream is not None and number in (None, stream.number):
            stream.put(message)

    def close(self) -> None:
        """End the stream; no other is served."""
        self._closing = True
        self.send(_END)

    def _read(
        self, stream: _Stream, requests: Iterator[Any], decode: Callable[[int, Any], object]
    ) -> None:
        try:
            for request in requests:
                self._tell(decode(stream.number, request))
        except (grpc.RpcError, ValueError):
            pass  # The stream was reset by either side: its end is all there is to tell.
        finally:
            stream.put(_END)


class AdsServer:
    """Serves `DeltaAggregatedResources` and `StreamLoadStats` on a unix socket that only this user can open.

    Args:
        socket_path: Where to listen; its directory is made with mode 0700, an old socket is replaced.
        deliver: Called in trio's thread with what happened, in the order in which it happened.
        deliver_loads: The same for load reports; without it none are asked for.
        generation: Restart epoch of the Envoy that is to be served, asked in other threads; None: any is.
    """

    def __init__(
        self,
        socket_path: Path,
        deliver: Callable[[StreamEvent], None],
        deliver_loads: Callable[[LoadReported], None] | None = None,
        *,
        generation: Callable[[], int] | None = None,
    ) -> None:
        self._path = socket_path
        self._generation = generation
        self._deliver = deliver
        self._deliver_loads = deliver_loads
        self._ads = _Service("ads", self._tell)
        self._loads = _Service("loads", self._tell_loads)
        self._reporting = Reporting()
        self._token: trio.lowlevel.TrioToken | None = None
        self._closing = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then ends the streams and waits for their threads.

        Raises:
            InputError: The path is too long for a socket, cannot be listened on, or another sidecar serves it.
        """
        self._token = trio.lowlevel.current_trio_token()
        self._make_directory()
        # A server that ends removes its socket's path, also when a successor listens there by then: so the
        # path has one owner at a time.
        with hold_lock(self._path.with_suffix(".lock")):
            server = self._listen()
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._closing = True
                self._ads.close()
                self._loads.close()
                # Without a grace of gRPC's: it would start a thread for that, and wait for ever where the thread
                # dies at once, for want of memory (CPython's Thread.start). Streams have been told to end.
                with trio.move_on_after(STOP_S) as waiting:
                    waiting.shield = True
                    await trio.to_thread.run_sync(server.stop, None, abandon_on_cancel=True)

    def send(self, response: SendResponse) -> None:
        """Queue a response; dropped when its stream has ended meanwhile."""
        self._ads.send(response, response.stream)

    def report(self, reporting: Reporting) -> None:
        """Have Envoy report this from now on; asked of it again whenever it comes back."""
        self._reporting = reporting
        self._loads.send(reporting)

    def _make_directory(self) -> None:
        length = len(os.fsencode(self._path))
        if length > SOCKET_PATH_MAX:
            raise InputError(
                f"ADS socket path {self._path} has {length} bytes; at most {SOCKET_PATH_MAX} are allowed",
                hint="Set a shorter run_dir",
            )
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.parent.chmod(0o700)

    def _listen(self) -> Any:
        self._path.unlink(missing_ok=True)
        server = grpc.server(
            futures.ThreadPoolExecutor(THREADS, thread_name_prefix="ads"), options=_OPTIONS
        )
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(_Servicer(self), server)
        lrs_pb2_grpc.add_LoadReportingServiceServicer_to_server(_LoadServicer(self), server)
        try:
            server.add_insecure_port(f"unix:{self._path}")
        except RuntimeError as problem:
            raise InputError(
                f"cannot listen on the ADS socket {self._path}: {problem}",
                hint="Check who owns its directory, and whether another sidecar uses it",
            ) from problem
        server.start()
        self._path.chmod(0o600)
        return server

    def serve(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        """Run one ADS stream in a thread of grpcio's pool, yielding encoded responses until it ends."""
        requests = self._of_the_served(requests, context)
        stream = self._ads.open(context)
        self._tell(StreamOpened(stream.number))
        try:
            yield from self._ads.run(stream, requests, decode_request, encode_response)
        finally:
            self._tell(StreamClosed(stream.number))

    def serve_loads(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        """Run one stream of load reports in a thread of grpcio's pool, yielding encoded wishes until it ends."""
        requests = self._of_the_served(requests, context)
        stream = self._loads.open(context)
        self._tell_loads(LoadReported(stream.number, is_first=True))
        stream.put(self._reporting)
        yield from self._loads.run(stream, requests, decode_report, encode_reporting)

    def _of_the_served(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        """The requests, where they come from the Envoy that is to be served; ends the call of another one."""
        if self._generation is None:
            return requests
        first = next(requests, None)
        if first is None:
            return iter(())
        if generation_of(first.node) != self._generation():
            context.abort(grpc.StatusCode.UNAVAILABLE, "another Envoy has taken over")
        return itertools.chain((first,), requests)

    def _tell(self, event: StreamEvent) -> None:
        self._run_soon(self._deliver, event)

    def _tell_loads(self, report: LoadReported) -> None:
        if self._deliver_loads is not None:
            self._run_soon(self._deliver_loads, report)

    def _run_soon(self, call: Callable[[Any], None], event: object) -> None:
        token = self._token
        if token is None or self._closing:
            return
        try:
            token.run_sync_soon(call, event)
        except trio.RunFinishedError:
            self._closing = True


class _Servicer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc] # generated, untyped
    def __init__(self, server: AdsServer) -> None:
        self._server = server

    def DeltaAggregatedResources(self, request_iterator: Any, context: Any) -> Iterator[Any]:
        return self._server.serve(request_iterator, context)


class _LoadServicer(lrs_pb2_grpc.LoadReportingServiceServicer):  # type: ignore[misc] # generated, untyped
    def __init__(self, server: AdsServer) -> None:
        self._server = server

    def StreamLoadStats(self, request_iterator: Any, context: Any) -> Iterator[Any]:
        return self._server.serve_loads(request_iterator, context)


_OPTIONS = (
    (
        "grpc.max_receive_message_length",
        -1,
    ),  # Envoy names every resource that it holds on reconnect.
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.max_ping_strikes", 0),  # Envoy's keepalive is ours: never "too many pings".
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.so_reuseport", 0),
)
