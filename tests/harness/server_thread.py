"""A server of the standard library that serves in a thread of its own until it is ended."""

from __future__ import annotations

import socketserver
import threading

__all__ = ["ServerThread"]


class ServerThread:
    """Serves from the moment that it is made.

    Args:
        server: It listens already.
    """

    def __init__(self, server: socketserver.BaseServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take no more connections, free the port, and return when the thread has ended."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
