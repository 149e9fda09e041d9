"""Client of Envoy's admin interface on its unix socket.

One connection a request, HTTP/1.1, closed by Envoy after the answer. Callers bound the time with trio's
`move_on_after` or `fail_after`. Source: Envoy administration interface.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trio

from store.errors import AgentUnavailable

__all__ = ["AdminClient"]

ANSWER_MAX = 256 * 1024 * 1024
"""Largest answer read: a config dump of 10,000 clusters is some 100 MB."""
_CHUNK = 1 << 16


class AdminClient:
    """Asks one Envoy.

    Args:
        socket_path: Envoy's admin socket.
    """

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path

    async def get(self, path: str) -> bytes:
        """Body of `GET path`.

        Raises:
            AgentUnavailable: Envoy cannot be reached, answered with an error, or broke off.
        """
        return await self._ask("GET", path)

    async def post(self, path: str) -> bytes:
        """Body of `POST path`; raises like `get`."""
        return await self._ask("POST", path)

    async def is_ready(self) -> bool:
        """Whether Envoy's server is live: configured, and its listeners accept."""
        try:
            return (await self.get("/ready")).startswith(b"LIVE")
        except AgentUnavailable:
            return False

    async def stats(self, pattern: str = "") -> Mapping[str, int]:
        """Counters and gauges whose name matches the regular expression; histograms are left out."""
        query = f"?filter={quote(pattern)}" if pattern else ""
        text = (await self.get(f"/stats{query}")).decode()
        pairs = (line.rpartition(": ") for line in text.splitlines())
        return {name: int(value) for name, _, value in pairs if value.lstrip("-").isdigit()}

    async def clusters(self, pattern: str = "") -> Any:
        """`/clusters?format=json`: each host's counters and health; of clusters that match the pattern alone."""
        query = f"&filter={quote(pattern, safe='')}" if pattern else ""
        return await self._json(f"/clusters?format=json{query}")

    async def server_info(self) -> Any:
        """`/server_info`: version, state, uptime, node, command line."""
        return await self._json("/server_info")

    async def config_dump(self, query: str = "") -> Any:
        """`/config_dump`, with `query` such as `include_eds` or `resource=dynamic_listeners`."""
        return await self._json(f"/config_dump?{query}" if query else "/config_dump")

    async def _json(self, path: str) -> Any:
        body = await self.get(path)
        try:
            return json.loads(body)
        except ValueError as problem:
            raise self._unavailable(f"answered {path} with no JSON: {body[:80]!r}") from problem

    async def _ask(self, method: str, path: str) -> bytes:
        request = f"{method} {path} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        try:
            stream = await trio.open_unix_socket(self._path)
            async with stream:
                await stream.send_all(request.encode())
                answer = bytearray()
                while chunk := await stream.receive_some(_CHUNK):
                    answer += chunk
                    if len(answer) > ANSWER_MAX:
                        raise self._unavailable(
                            f"answered {path} with more than {ANSWER_MAX} bytes"
                        )
        except (OSError, trio.BrokenResourceError) as problem:
            raise self._unavailable(f"cannot be reached: {problem}") from problem
        return self._body(path, bytes(answer))

    def _body(self, path: str, answer: bytes) -> bytes:
        head, separator, body = answer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = lines[0].split(" ")
        if not separator or len(status) < 2:
            raise self._unavailable(f"broke off its answer to {path}")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if headers.get("transfer-encoding") == "chunked":
            body = _join_chunks(body)
        if status[1] != "200":
            raise self._unavailable(
                f"answered {path} with {' '.join(status[1:])}: {body[:200].decode(errors='replace')}"
            )
        return body

    def _unavailable(self, what: str) -> AgentUnavailable:
        return AgentUnavailable(f"Envoy's admin socket {self._path} {what}")


def _join_chunks(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if length == 0:
            break
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)
