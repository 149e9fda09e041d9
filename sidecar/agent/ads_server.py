"""The ADS socket: grpcio's synchronous server on one side, trio on the other.

The only module with threads of its own. Each stream has two: one that reads requests and hands them to trio,
one (of grpcio's pool) that takes responses from a bounded queue and sends them. The newest stream wins; older
ones are ended. Nothing here decides anything about resources: see `sidecar.xds.session`.
Source: Envoy, aggregated discovery service (delta); grpcio server API.
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import trio
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from sidecar.agent.run_files import hold_lock
from sidecar.xds.events import DeltaRequest, SendResponse, StreamClosed, StreamOpened
from store.errors import InputError

if TYPE_CHECKING:
    from sidecar.xds.resource import Resource

__all__ = ["AdsServer", "StreamEvent", "encode"]

StreamEvent = StreamOpened | StreamClosed | DeltaRequest
"""What the server tells."""

SOCKET_PATH_MAX = 107
"""Longest path of a unix socket on Linux, in bytes."""
QUEUE_MAX = 64
"""Responses that may wait for a slow Envoy. The session coalesces and sends few; a stream with more is stuck,
and is ended: Envoy comes back with what it holds and gets the difference."""
THREADS = 8
"""Streams that may be open at once: one lives, the others are being ended."""
STOP_S = 2.0
"""How long ending streams may take when the server stops."""
_END = None


class _Stream:
    """One stream and the queue of what is to be sent on it."""

    def __init__(self, number: int, context: Any) -> None:
        self.number = number
        self.context = context
        self.outbox: queue.Queue[SendResponse | None] = queue.Queue(QUEUE_MAX)

    def put(self, response: SendResponse | None) -> None:
        """Queue a response, or the end; cancels the stream when the queue is full."""
        try:
            self.outbox.put_nowait(response)
        except queue.Full:
            self.context.cancel()


class AdsServer:
    """Serves `DeltaAggregatedResources` on a unix socket that only this user can open.

    Args:
        socket_path: Where to listen; its directory is made with mode 0700, an old socket is replaced.
        deliver: Called in trio's thread with what happened, in the order in which it happened.
    """

    def __init__(self, socket_path: Path, deliver: Callable[[StreamEvent], None]) -> None:
        self._path = socket_path
        self._deliver = deliver
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._stream: _Stream | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._closing = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then ends the stream and waits for its threads.

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
                self._end_stream()
                stopped = server.stop(grace=STOP_S)
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(stopped.wait, STOP_S * 2)

    def send(self, response: SendResponse) -> None:
        """Queue a response; dropped when its stream has ended meanwhile."""
        with self._lock:
            stream = self._stream
        if stream is not None and stream.number == response.stream:
            stream.put(response)

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
        """Run one stream in a thread of grpcio's pool, yielding encoded responses until it ends."""
        stream = _Stream(next(self._numbers), context)
        with self._lock:
            before, self._stream = self._stream, stream
        if before is not None:
            before.put(_END)
        context.add_callback(lambda: stream.put(_END))
        reader = threading.Thread(
            target=self._read,
            args=(stream, requests),
            name=f"ads-read-{stream.number}",
            daemon=True,
        )
        self._tell(StreamOpened(stream.number))
        reader.start()
        try:
            while not self._closing and (response := stream.outbox.get()) is not _END:
                yield encode(response)
        finally:
            with self._lock:
                if self._stream is stream:
                    self._stream = None
            context.cancel()
            self._tell(StreamClosed(stream.number))

    def _read(self, stream: _Stream, requests: Iterator[Any]) -> None:
        try:
            for request in requests:
                self._tell(_decode(stream.number, request))
        except (grpc.RpcError, ValueError):
            pass  # The stream was reset by either side: its end is all there is to tell.
        finally:
            stream.put(_END)

    def _tell(self, event: StreamEvent) -> None:
        token = self._token
        if token is None or self._closing:
            return
        try:
            token.run_sync_soon(self._deliver, event)
        except trio.RunFinishedError:
            self._closing = True

    def _end_stream(self) -> None:
        with self._lock:
            stream = self._stream
        if stream is not None:
            stream.put(_END)


class _Servicer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc] # generated, untyped
    def __init__(self, server: AdsServer) -> None:
        self._server = server

    def DeltaAggregatedResources(self, request_iterator: Any, context: Any) -> Iterator[Any]:
        return self._server.serve(request_iterator, context)


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


def encode(response: SendResponse) -> Any:
    """The wire message of a response. A resource without body carries name and aliases alone."""
    return discovery_pb2.DeltaDiscoveryResponse(
        system_version_info=response.label,
        type_url=response.type_url,
        nonce=response.nonce,
        resources=[_resource(resource) for resource in response.resources],
        removed_resources=response.removed,
    )


def _resource(resource: Resource) -> Any:
    message = discovery_pb2.Resource(
        name=resource.name, version=resource.version, aliases=resource.aliases
    )
    if resource.body:
        message.resource.type_url = resource.type_url
        message.resource.value = resource.body
    return message


def _decode(stream: int, request: Any) -> DeltaRequest:
    failed = request.HasField("error_detail")
    return DeltaRequest(
        stream=stream,
        type_url=request.type_url,
        subscribe=tuple(request.resource_names_subscribe),
        unsubscribe=tuple(request.resource_names_unsubscribe),
        initial_versions=dict(request.initial_resource_versions),
        nonce=request.response_nonce,
        error=request.error_detail.message if failed else None,
        node_id=request.node.id,
    )
