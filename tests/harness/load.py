"""Requests in end-to-end tests: one at a time, and a steady stream of which every single one is recorded."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.harness.processes import wait_until

__all__ = ["Load", "Reply", "send"]

TIMEOUT_S = 45.0
"""How long an answer may take at all; above every timeout that the mesh has."""
PAUSE_S = 0.005
"""Between two requests of one worker: some 150 requests a second each, so that etcd and Envoys get a turn."""


@dataclass(frozen=True)
class Reply:
    """What a request got; status 0 when the connection broke or was refused."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    took_s: float = 0.0
    at_s: float = 0.0
    """When it was sent, monotonic seconds."""

    @property
    def seen(self) -> dict[str, Any]:
        """What an `EchoBackend` said that it saw."""
        assert self.status == 200, self
        answer: dict[str, Any] = json.loads(self.text)
        return answer

    @property
    def version(self) -> str:
        """Which version answered; the status where none did."""
        return self.seen["version"] if self.status == 200 else str(self.status)

    @property
    def name(self) -> str:
        """Which application answered; the status where none did."""
        return self.seen["name"] if self.status == 200 else str(self.status)


def send(
    connection: http.client.HTTPConnection,
    host: str,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    """One request over `connection`, with `host` as its Host header; `path` may be a whole URL (a proxy request)."""
    began = time.monotonic()
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as problem:
        connection.close()
        return Reply(0, repr(problem), {}, time.monotonic() - began, began)
    answered = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, text, answered, time.monotonic() - began, began)


class Load:
    """A steady stream of requests to one listener; use as a context manager, then look at `replies`.

    Every worker keeps one connection alive as long as it lasts, or with `keeps` false opens one for each request; a
    broken one is a recorded failure, and the next request opens another.
    """

    def __init__(
        self,
        port: int,
        host: str,
        path: str = "/",
        *,
        workers: int = 2,
        pause_s: float = PAUSE_S,
        keeps: bool = True,
    ) -> None:
        self._port, self._host, self._path = port, host, path
        self._pause_s = pause_s
        self._keeps = keeps
        self._stop = threading.Event()
        self.replies: list[Reply] = []
        """Every request in the order of its answer; only appended to."""
        self._threads = [threading.Thread(target=self._work) for _ in range(workers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        while not self._stop.is_set():
            self.replies.append(send(connection, self._host, self._path))
            if not self._keeps:
                connection.close()
            self._stop.wait(self._pause_s)
        connection.close()

    def wait_for(self, count: int, deadline_s: float = 30.0) -> None:
        """Wait until that many more requests were answered (or failed)."""
        target = len(self.replies) + count
        wait_until(lambda: len(self.replies) >= target, deadline_s, f"{count} more requests")

    def since(self, at_s: float) -> list[Reply]:
        """Replies to requests sent at `at_s` (monotonic seconds) or later."""
        return [reply for reply in self.replies if reply.at_s >= at_s]

    def statuses(self) -> Counter[int]:
        """How often each status came."""
        return Counter(reply.status for reply in self.replies)

    def assert_none_failed(self, at_least: int = 1) -> None:
        """AssertionError with the first failures, or when too few requests were sent to say anything."""
        failed = [reply for reply in self.replies if reply.status != 200]
        assert not failed, f"{len(failed)} of {len(self.replies)} requests failed: {failed[:3]}"
        assert len(self.replies) >= at_least, f"only {len(self.replies)} requests were sent"
