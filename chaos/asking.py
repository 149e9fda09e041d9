"""Questions over unix sockets: the sidecar's status API, Envoy's admin interface, an application's control socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

__all__ = ["ask", "control"]

TIMEOUT_S = 2.0
"""A process that does not answer in this time is taken for one that cannot."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def ask(path: Path, target: str, method: str = "GET") -> dict[str, Any] | None:
    """The JSON that is answered; None: there is no answer, or none that is understood."""
    connection = _UnixConnection(path)
    try:
        connection.request(method, target)
        found = json.loads(connection.getresponse().read())
        return found if isinstance(found, dict) else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def control(path: Path, word: str) -> str:
    """Tell an application a word; its answer, empty where it cannot be reached."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(TIMEOUT_S)
            line.connect(str(path))
            line.sendall(f"{word}\n".encode())
            return line.recv(100).decode().strip()
    except OSError:
        return ""
