"""A client of etcd in a process of its own, for tests that live in a network namespace of their own.

gRPC's threads are made once for a process, and stay in the namespace in which they were made. A test that enters
another one later reaches an etcd there only as long as the connection happens to be made in its own thread; made anew
by one of gRPC's, it ends at the loopback of the namespace before, where nobody listens.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.managers import BaseManager
from typing import Any, cast

from store.etcd.client import EtcdClient
from store.etcd.settings import EtcdSettings

__all__ = ["client_apart"]


class _Process(BaseManager):
    """The process; spoken to over a unix socket, which namespaces do not part."""


_Process.register("client", EtcdClient)


class _Client:
    """What `EtcdClient` offers: its settings here, its calls there."""

    def __init__(self, settings: EtcdSettings, calls: Any) -> None:
        self.settings = settings
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            told = (tuple(one) if isinstance(one, Iterator) else one for one in given)
            return getattr(self._calls, name)(*told, **named)

        return call


@contextmanager
def client_apart(settings: EtcdSettings) -> Iterator[EtcdClient]:
    """A client whose calls are made in the namespace that the calling thread is in now."""
    with _Process(ctx=multiprocessing.get_context("spawn")) as process:
        yield cast(EtcdClient, _Client(settings, cast(Any, process).client(settings)))
