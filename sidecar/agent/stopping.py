"""The request to stop: SIGTERM or SIGINT, taken from the first moment on, whatever the daemon is doing then."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import trio

__all__ = ["SIGNALS", "StopRequest"]

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Set by the first signal; later ones are counted for who wants to hurry."""

    def __init__(self) -> None:
        self.number = 0
        """The signal that came first; 0 before one came."""
        self._asked = trio.Event()
        self._again = trio.Event()

    @property
    def is_asked(self) -> bool:
        """Whether the daemon was told to stop."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Return when the daemon was told to stop."""
        await self._asked.wait()

    async def wait_again(self) -> None:
        """Return when it was told so once more since the last call."""
        await self._again.wait()
        self._again = trio.Event()

    async def listen(self, signals: AsyncIterator[int]) -> None:
        """Take signals until cancelled."""
        async for number in signals:
            if self.is_asked:
                self._again.set()
            else:
                self.number = number
                self._asked.set()
