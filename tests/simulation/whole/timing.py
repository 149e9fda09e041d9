"""When a core wants to be called again: one entry of the heap for each deadline that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.world import World as Clock

__all__ = ["Timer"]


@dataclass
class Timer:
    """Of one core of one process."""

    clock: Clock
    deadline: Callable[[], float | None]
    wake: Callable[[], None]
    lives: Callable[[], bool]
    _armed_s: float | None = None

    def arm(self) -> None:
        """The core was called: its deadline may be another."""
        due_s = self.deadline()
        if due_s is not None and due_s != self._armed_s:
            self._armed_s = due_s
            self.clock.at(max(due_s, self.clock.now_s), lambda: self._come(due_s))

    def _come(self, due_s: float) -> None:
        if self._armed_s != due_s or not self.lives():
            return
        self._armed_s = None
        if self.deadline() == due_s:
            self.wake()
        self.arm()
