"""Outcomes of the last ten seconds, in buckets of one second."""

from __future__ import annotations

import math
from collections import deque

from sidecar.outlier.model import Outcomes

__all__ = ["BUCKET_S", "WINDOW_S", "Window", "failures_of", "total"]

WINDOW_S = 10.0
"""How far back counts reach. Longer smooths more, and calls an endpoint good for longer after it failed."""
BUCKET_S = 1.0
"""Grain in which counts age."""


class Window:
    """Counts that age."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, Outcomes]] = deque()

    def add(self, outcomes: Outcomes, now_s: float) -> None:
        """Count outcomes of now."""
        number = math.floor(now_s / BUCKET_S)
        if self._buckets and self._buckets[-1][0] >= number:
            number, held = self._buckets.pop()
            outcomes = total(held, outcomes)
        self._buckets.append((number, outcomes))
        self._age(now_s)

    def counts(self, now_s: float) -> Outcomes:
        """What the window holds."""
        self._age(now_s)
        return total(*[outcomes for _, outcomes in self._buckets])

    def clear(self) -> None:
        """Begin anew."""
        self._buckets.clear()

    def _age(self, now_s: float) -> None:
        oldest = math.floor((now_s - WINDOW_S) / BUCKET_S)
        while self._buckets and self._buckets[0][0] <= oldest:
            self._buckets.popleft()


def failures_of(outcomes: Outcomes) -> int:
    """Failures of every kind."""
    return outcomes.external + outcomes.gateway + outcomes.local


def total(*parts: Outcomes) -> Outcomes:
    """The sum."""
    ok = external = gateway = local = 0
    for part in parts:
        ok += part.ok
        external += part.external
        gateway += part.gateway
        local += part.local
    return Outcomes(ok, external, gateway, local)
