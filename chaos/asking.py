"""Questions over unix sockets: the sidecar's status API, Envoy's admin interface, an application's control socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from store.socket_http import SocketConnection

__all__ = ["ask", "control"]

TIMEOUT_S = 2.0
"""A process that does not answer in this time is taken for one that cannot."""


def ask(path: Path, target: str, method: str = "GET") -> dict[str, Any] | None:
    """The JSON that is answered; None: there is no answer, or none that is understood."""
    connection = SocketConnection(path, TIMEOUT_S)
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
