"""Wakes everyone who waits for something to change. A ring that nobody hears is forgotten."""

from __future__ import annotations

from collections.abc import Callable

import trio

__all__ = ["Bell"]


class Bell:
    """One thing that changes now and then."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        """Something changed: everyone looks again."""
        self._event.set()
        self._event = trio.Event()

    async def rung(self) -> None:
        """Return when it rings next."""
        await self._event.wait()

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Return when `predicate` holds; it is looked at now and after every ring."""
        while not predicate():
            await self._event.wait()
