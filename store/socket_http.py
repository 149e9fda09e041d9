"""HTTP over a unix socket, for programs that ask the status API or Envoy's admin interface and wait for the answer.

A shell, as `store.etcd` is: no core may import it.
"""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

__all__ = ["SocketConnection"]


class SocketConnection(http.client.HTTPConnection):
    """A connection of the standard library's client that goes to a socket in the file system.

    Args:
        path: The socket.
        timeout_s: How long connecting, and each word of the answer, may take.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket.

        Raises:
            OSError: Nobody listens, or not to us.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
