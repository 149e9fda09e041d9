"""One etcd member and the connection to it, shared by threads.

A connection that failed is dropped at once, so that the next call makes a new one without waiting for a hidden
back-off; it is closed when the last call that still uses it is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from store.etcd import stubs
from store.etcd.channel import open_channel
from store.etcd.settings import EtcdSettings

__all__ = ["Member", "Metadata"]

Metadata = tuple[tuple[str, str], ...]

TIMEOUT_S_MIN = 0.001
"""A deadline that has passed is asked as this one, so that gRPC itself says that it has."""


@dataclass(slots=True, eq=False)
class _Link:
    """One channel and the calls that use it."""

    channel: grpc.Channel
    callables: dict[str, Callable[..., Any]] = field(default_factory=dict)
    users: int = 0
    is_dropped: bool = False


class Member:
    """One endpoint; connects when first asked. Safe to use from several threads."""

    def __init__(self, settings: EtcdSettings, url: str) -> None:
        self.url = url
        self.is_greeted = False
        """Whether it has answered on the present connection: then a write may be sent to it."""
        self._settings = settings
        self._lock = threading.Lock()
        self._link: _Link | None = None

    def ask(self, method: str, request: Any, *, timeout_s: float, metadata: Metadata = ()) -> Any:
        """One question, one answer.

        Raises:
            grpc.RpcError: Whatever went wrong.
        """
        with self._use() as link:
            call = link.callables.get(method)
            if call is None:
                call = link.callables[method] = stubs.unary(link.channel, method)
            return call(request, timeout=max(timeout_s, TIMEOUT_S_MIN), metadata=metadata)

    def ask_on_stream(
        self, method: str, request: Any, *, timeout_s: float, metadata: Metadata = ()
    ) -> Any:
        """The first answer on a stream of its own, None where the stream ends without one; needs a leader."""
        with self._use() as link:
            call = stubs.stream(link.channel, method)(
                iter((request,)),
                timeout=max(timeout_s, TIMEOUT_S_MIN),
                metadata=(("hasleader", "true"), *metadata),
            )
            try:
                return next(call, None)
            finally:
                call.cancel()

    def drop(self) -> None:
        """Forgets the connection; the next call makes a new one."""
        with self._lock:
            link, self._link = self._link, None
            self.is_greeted = False
            if link is not None:
                link.is_dropped = True
        self._close_if_unused(link)

    def close(self) -> None:
        """Closes the connection; calls that are under way fail."""
        with self._lock:
            link, self._link = self._link, None
            self.is_greeted = False
        if link is not None:
            link.channel.close()

    @contextmanager
    def _use(self) -> Iterator[_Link]:
        """The present connection, kept open at least until the end of the block."""
        with self._lock:
            if self._link is None:
                self._link = _Link(open_channel(self._settings, self.url))
            link = self._link
            link.users += 1
        try:
            yield link
        finally:
            with self._lock:
                link.users -= 1
            self._close_if_unused(link)

    def _close_if_unused(self, link: _Link | None) -> None:
        with self._lock:
            is_over = link is not None and link.is_dropped and link.users == 0
        if is_over and link is not None:
            link.channel.close()
