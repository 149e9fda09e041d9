"""The one door to etcd's generated messages (`aetcd.rpc`) and to the names of its calls.

Importing `aetcd` runs its asyncio client as well (0.15 s of a command's start), so the three modules of
messages are loaded by themselves, under a package name of our own. They register the same descriptors, so a
program that also imports `aetcd` still works.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

__all__ = ["kv", "rpc", "stream", "unary"]

_PACKAGE = "store.etcd._rpc"


def _load() -> tuple[Any, Any]:
    """Loads `auth_pb2`, `kv_pb2` and `rpc_pb2` of the aetcd wheel, without running its packages' own code."""
    spec = importlib.machinery.PathFinder.find_spec("aetcd")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("the wheel aetcd is not installed; it carries etcd's generated messages")
    folder = Path(next(iter(spec.submodule_search_locations))) / "rpc"
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[_PACKAGE] = package
    for name in ("auth_pb2", "kv_pb2", "rpc_pb2"):
        importlib.import_module(f"{_PACKAGE}.{name}")
    return sys.modules[f"{_PACKAGE}.rpc_pb2"], sys.modules[f"{_PACKAGE}.kv_pb2"]


rpc, kv = _load()
"""The modules `rpc_pb2` (requests and answers) and `kv_pb2` (KeyValue, Event)."""

_UNARY = {
    "KV/Range": ("RangeRequest", "RangeResponse"),
    "KV/Txn": ("TxnRequest", "TxnResponse"),
    "KV/Compact": ("CompactionRequest", "CompactionResponse"),
    "Lease/LeaseGrant": ("LeaseGrantRequest", "LeaseGrantResponse"),
    "Lease/LeaseRevoke": ("LeaseRevokeRequest", "LeaseRevokeResponse"),
    "Maintenance/Status": ("StatusRequest", "StatusResponse"),
    "Auth/Authenticate": ("AuthenticateRequest", "AuthenticateResponse"),
}
_STREAMS = {
    "Watch/Watch": ("WatchRequest", "WatchResponse"),
    "Lease/LeaseKeepAlive": ("LeaseKeepAliveRequest", "LeaseKeepAliveResponse"),
}


def unary(channel: grpc.Channel, method: str) -> Callable[..., Any]:
    """The callable for one question and one answer; `method` is for instance `KV/Range`."""
    request, answer = _UNARY[method]
    return channel.unary_unary(  # type: ignore[no-any-return]  # grpc has no types
        f"/etcdserverpb.{method}",
        request_serializer=getattr(rpc, request).SerializeToString,
        response_deserializer=getattr(rpc, answer).FromString,
    )


def stream(channel: grpc.Channel, method: str) -> Callable[..., Any]:
    """The callable for a stream of questions and answers: `Watch/Watch` or `Lease/LeaseKeepAlive`."""
    request, answer = _STREAMS[method]
    return channel.stream_stream(  # type: ignore[no-any-return]  # grpc has no types
        f"/etcdserverpb.{method}",
        request_serializer=getattr(rpc, request).SerializeToString,
        response_deserializer=getattr(rpc, answer).FromString,
    )
