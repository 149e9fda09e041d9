"""Whether a local application takes connections yet: a host that registers sooner sends its peers into the void."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio

__all__ = ["wait_listening"]

POLL_S = 0.05
CONNECT_S = 1.0
"""Loopback answers at once, unless the application's queue is full: then it listens."""


async def wait_listening(places: Iterable[tuple[str, int]], waiting: Callable[[str], None]) -> None:
    """Return when every port of every application accepts a connection.

    Args:
        places: Address and port of each.
        waiting: Told what is waited for, each time that it is something else.
    """
    for address, port in places:
        while not await _accepts(address, port):
            waiting(f"the application does not accept connections on {address}:{port} yet")
            await trio.sleep(POLL_S)


async def _accepts(address: str, port: int) -> bool:
    with trio.move_on_after(CONNECT_S):
        try:
            stream = await trio.open_tcp_stream(address, port)
        except OSError:
            return False
        await stream.aclose()
    return True
