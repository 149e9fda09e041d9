"""Requests of each Envoy to the endpoints that it has, in batches; its own detector; what of it the sidecar is told.

A batch stands for half a second of traffic (docs/xds.md, E1 to E8): what an endpoint answers is drawn at once.
Ejections of Envoy's own follow the rule in `writers.py`; a changed cluster forgets them (M4).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.outlier.model import Outcomes, Place
from tests.simulation.whole.envoy import Envoy

__all__ = ["EVERY_S", "REQUESTS", "Batch", "Traffic"]

EVERY_S = 0.5
"""Between two reports of Envoy."""
REQUESTS = 4
"""Of each host to each endpoint in that time."""
CONSECUTIVE, BASE_S, SHARE_MAX = 5, 10.0, 0.5
"""Of the DestinationRule that the writers write."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a report says."""

    outcomes: dict[tuple[str, Place], Outcomes]
    until_s: dict[tuple[str, Place], float]
    """Envoy's own ejections, and when they end."""
    answered: frozenset[Place]


@dataclass
class Traffic:
    """Of one Envoy.

    Args:
        envoy: It.
        rng: Of outcomes.
        reaches: Whether connections to an endpoint come to be.
        error_share: Of answers of an endpoint that are 5xx.
    """

    envoy: Envoy
    rng: random.Random
    reaches: Callable[[Place], bool]
    error_share: Callable[[Place], float]
    _runs: dict[tuple[str, Place], int] = field(default_factory=dict)
    _until_s: dict[tuple[str, Place], float] = field(default_factory=dict)

    def cleared(self, cluster: str) -> None:
        """The cluster was made anew."""
        for rows in (self._runs, self._until_s):
            for key in [key for key in rows if key[0] == cluster]:
                del rows[key]

    def batch(self, now_s: float) -> Batch:
        """Half a second of requests."""
        self._until_s = {key: at for key, at in self._until_s.items() if at > now_s}
        outcomes: dict[tuple[str, Place], Outcomes] = {}
        answered: set[Place] = set()
        for cluster in self.envoy.active:
            spots = self.envoy.spots(cluster)
            usable = [
                spot.place
                for spot in spots
                if spot.is_healthy and (cluster, spot.place) not in self._until_s
            ]
            if 2 * len(usable) < len(spots):
                usable = [spot.place for spot in spots]  # panic
            for place in usable:
                row = outcomes[cluster, place] = self._meet(place)
                if row.ok:
                    answered.add(place)
                self._detect((cluster, place), row, len(spots), now_s)
        return Batch(outcomes, dict(self._until_s), frozenset(answered))

    def _meet(self, place: Place) -> Outcomes:
        if not self.reaches(place):
            return Outcomes(local=REQUESTS)
        share = self.error_share(place)
        bad = sum(self.rng.random() < share for _ in range(REQUESTS)) if share else 0
        return Outcomes(ok=REQUESTS - bad, external=bad)

    def _detect(self, key: tuple[str, Place], row: Outcomes, endpoints: int, now_s: float) -> None:
        run = 0 if row.ok else self._runs.get(key, 0) + REQUESTS
        self._runs[key] = run
        active = sum(1 for cluster, _ in self._until_s if cluster == key[0])
        if run >= CONSECUTIVE and (not active or (active + 1) / endpoints <= SHARE_MAX):
            self._until_s[key] = now_s + BASE_S
            self._runs[key] = 0
