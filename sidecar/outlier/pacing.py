"""How often a destination is judged because others spoke of it: at once for a few, in batches for a flood.

While everybody speaks of one destination (all of its endpoints fail a little), each record would be a judgement; so
the cost would grow with the hosts that speak. Beyond a budget, records wait for each other for a moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sidecar.outlier.events import EndpointName
from sidecar.outlier.model import Destination

__all__ = ["BURST", "RATE_PER_S", "Pacing"]

BURST = 16
"""Records about one destination that are looked at as they come."""
RATE_PER_S = 10.0
"""How fast that budget fills again, and how often those that wait are looked at."""
_DESTINATIONS_MAX = 1024


class Pacing:
    """Which endpoints wait."""

    def __init__(self) -> None:
        self._spent: dict[Destination, tuple[float, float]] = {}
        """By destination: how much of the budget was spent, and as of when."""
        self._waiting: dict[EndpointName, float] = {}

    def admit(self, names: Iterable[EndpointName], now_s: float) -> set[EndpointName]:
        """Those of the endpoints of one record that are to be looked at now; the others wait."""
        found = set(names)
        for destination in {destination for destination, _ in found}:
            spent, at_s = self._spent.get(destination, (0.0, now_s))
            spent = max(0.0, spent - (now_s - at_s) * RATE_PER_S)
            if spent <= BURST - 1:
                self._spent.pop(destination, None)
                if len(self._spent) >= _DESTINATIONS_MAX:
                    del self._spent[next(iter(self._spent))]
                self._spent[destination] = (spent + 1, now_s)
                continue
            late = {name for name in found if name[0] == destination}
            found -= late
            for name in late:
                self._waiting.setdefault(name, now_s + 1 / RATE_PER_S)
        return found

    def due(self, now_s: float) -> set[EndpointName]:
        """Those that have waited long enough; told once."""
        over = {name for name, due_s in self._waiting.items() if due_s <= now_s}
        for name in over:
            del self._waiting[name]
        return over

    def deadline(self) -> float | None:
        """When `due` has some; None: nobody waits."""
        found = min(self._waiting.values(), default=math.inf)
        return None if math.isinf(found) else found
