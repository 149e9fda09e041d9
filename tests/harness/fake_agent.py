"""Sidecars that are only their status socket: they answer what a test tells them to."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["FakeAgent", "healthy_status", "mesh_answer", "stale_socket"]

Answer = tuple[int, Mapping[str, Any] | bytes]


class FakeAgent:
    """One sidecar called `node` in a run directory, while the context lasts.

    Answers by path; unknown paths get 404. An answer may be a function of the query text.
    """

    def __init__(self, run_dir: Path, node: str) -> None:
        self.node = node
        self.path = run_dir / node / "status.sock"
        self.answers: dict[str, Answer | Callable[[str], Answer]] = {
            "/v1/status": (200, healthy_status(node))
        }
        self.asked: list[str] = []
        self.bodies: list[Any] = []

    @contextmanager
    def serving(self) -> Iterator[FakeAgent]:
        """Listen; at the end the socket is removed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                agent._reply(self)

            def do_POST(self) -> None:
                agent._reply(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def address_string(self) -> str:
                return "unix"

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        with Server(str(self.path), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()
                self.path.unlink()

    def _reply(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{handler.command} {handler.path}")
        if length := int(handler.headers.get("Content-Length") or 0):
            self.bodies.append(json.loads(handler.rfile.read(length)))
        parts = urlsplit(handler.path)
        answer = self.answers.get(parts.path, (404, {"error": "there is no such page"}))
        try:
            status, body = answer(parts.query) if callable(answer) else answer
        except ConnectionAbortedError:
            handler.close_connection = True
            return  # the test lets it go away without an answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)


def healthy_status(node: str) -> dict[str, Any]:
    """The status of a sidecar with which all is well."""
    return {
        "node": node,
        "version": "0.1.0",
        "pid": 1,
        "uptime_s": 3723.0,
        "role": "sidecar",
        "config": {
            "state": "in-force",
            "source": "etcd",
            "epoch": "abc.1",
            "revision_received": 12,
            "revision_in_force": 12,
            "hash": "00",
            "age_s": None,
            "held": None,
            "refusal": "",
            "unchecked": 0,
        },
        "store": {
            "state": "watching",
            "endpoints": ["http://10.0.0.1:2379"],
            "version": "3.6.14",
            "error": "",
            "since_s": 60.0,
        },
        "envoy": {
            "state": "running",
            "version": "1.40.0",
            "pid": 2,
            "connected": True,
            "restarts": 0,
            "uptime_s": 60.0,
            "error": "",
        },
        "rejected": [],
        "quarantined": [],
        "registration": {"state": "registered", "lease_s_left": 9.0, "workloads": [], "error": ""},
        "kept_hosts": [],
        "refused_claims": [],
        "gossip": {"state": "on", "members": {"alive": 1}, "rival": None, "problems": []},
        "objects": {"VirtualService": 1},
        "services": 3,
        "mode": "eager",
        "resources": {"clusters": 4},
    }


def mesh_answer(node: str, *others: str, revision: int = 12) -> dict[str, Any]:
    """What `node` says of a mesh in which it and others have `revision` in force."""
    members = [
        {
            "node": name,
            "own": name == node,
            "status": "alive",
            "since_s": 60.0,
            "address": "10.0.0.1:7946",
            "heard": True,
            "told_s": 0.0 if name == node else 12.0,
            "cluster": "abc",
            "received": revision,
            "hash": "00" * 16,
            "in_force": revision,
            "sync": "store",
            "quarantined": 0,
            "rejected": 0,
            "withheld": [],
            "version": "0.1.0",
        }
        for name in (node, *others)
    ]
    return {
        "node": node,
        "gossip": {"state": "on", "reason": ""},
        "members": members,
        "alarms": [],
        "versions": {"0.1.0": sorted([node, *others])},
        "unreadable": 0,
        "summary": {
            "members": len(members),
            "cluster": "abc",
            "newest": revision,
            "in_force": len(members),
            "lagging": [],
        },
    }


def stale_socket(run_dir: Path, node: str) -> Path:
    """A socket that nobody listens on any more, as `kill -9` leaves it."""
    path = run_dir / node / "status.sock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    return path
