"""What every shell around a pure core does: events one after the other, and a call when the core's deadline comes.

what arrives ─► Turns ─► core.handle ─► effects, each done in the same call
▲
Alarm ────────────┘ when core.deadline() has come
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import trio

__all__ = ["Alarm", "Turns"]

_Event = TypeVar("_Event")
_Effect = TypeVar("_Effect")


class Turns(Generic[_Event, _Effect]):
    """Hands events to a core, and has done what it asks for.

    Args:
        handle: The core's; told the event and the time.
        perform: Does one effect. It may bring events about: these come after it and those before them.
        clock: Monotonic seconds; trio's time.
    """

    def __init__(
        self,
        handle: Callable[[_Event, float], Iterable[_Effect]],
        perform: Callable[[_Effect], None],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._core_handle = handle
        self._perform = perform
        self._clock = clock
        self._events: deque[_Event] = deque()
        self._is_handling = False

    def take(self, event: _Event) -> bool:
        """Handle it, now or when those before it are; whether nothing waits any more."""
        self._events.append(event)
        if self._is_handling:
            return False
        self._is_handling = True
        try:
            while self._events:
                for effect in self._core_handle(self._events.popleft(), self._clock()):
                    self._perform(effect)
        finally:
            self._is_handling = False
        return True


class Alarm:
    """Calls when a deadline has come.

    Args:
        deadline: Asks for it, in trio's time; None: nothing is waited for.
        ring: Called when it has come.
    """

    def __init__(self, deadline: Callable[[], float | None], ring: Callable[[], None]) -> None:
        self._deadline = deadline
        self._ring = ring
        self._moved = trio.Event()
        self.at_s: float | None = None
        """The deadline that is kept now."""

    def look_again(self) -> None:
        """The deadline may be another than before."""
        self._moved.set()

    async def run(self) -> None:
        """Keep time until cancelled."""
        while True:
            deadline = self.at_s = self._deadline()
            with trio.move_on_at(math.inf if deadline is None else deadline) as scope:
                await self._moved.wait()
            self._moved = trio.Event()
            if scope.cancelled_caught:
                self._ring()
