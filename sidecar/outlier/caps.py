"""How many endpoints of a destination may be ejected at once, and whether too many fell at once.

    allowed = floor(max_ejection_share * n), at least 1 of two or more, never all
    healthy share after it >= min_health_share

n are the endpoints of one priority that take requests. Earlier accusations go first, so that later ones push nobody
back. Steps 4 and 6 of docs/ejection.md; the guard against mass ejection is Eureka's self-preservation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from sidecar.outlier.model import DestinationFacts, EjectionPolicy, Place
from sidecar.outlier.view import Reason

__all__ = ["MASS_WINDOW_S", "Cap", "caps", "frozen"]

MASS_WINDOW_S = 30.0
"""Candidates within this time fell together; those over the limit wait for as long."""
_MASS_SHARE = 0.3
_MASS_MIN = 3


class Cap:
    """What may be ejected of one priority of a destination.

    Args:
        usable: Endpoints that take requests.
        listed: All endpoints.
        policy: What is in force.
    """

    def __init__(self, usable: int, listed: int, policy: EjectionPolicy) -> None:
        self._limits = sorted(
            (
                (max(0, usable - 1), Reason.LAST_ONE),
                (max(1, math.floor(policy.max_ejection_share * usable + 1e-9)), Reason.CAP),
                (
                    max(0, math.floor(usable - policy.min_health_share * listed + 1e-9)),
                    Reason.MIN_HEALTH,
                ),
            ),
            key=lambda limit: limit[0],
        )
        self.taken = 0
        """Endpoints that are ejected."""

    @property
    def allowed(self) -> int:
        """Endpoints that may be ejected at once."""
        return self._limits[0][0]

    def take(self) -> Reason | None:
        """Eject one more; or why not."""
        if self.taken >= self.allowed:
            return self._limits[0][1]
        self.taken += 1
        return None


def caps(facts: DestinationFacts) -> dict[int, Cap]:
    """The cap of each priority."""
    usable: dict[int, int] = {}
    listed: dict[int, int] = {}
    for endpoint in facts.endpoints:
        listed[endpoint.priority] = listed.get(endpoint.priority, 0) + 1
        if endpoint.takes_requests:
            usable[endpoint.priority] = usable.get(endpoint.priority, 0) + 1
    return {
        priority: Cap(usable.get(priority, 0), number, facts.policy)
        for priority, number in listed.items()
    }


def frozen(
    quorum_s: Mapping[Place, float], order: Sequence[Place], endpoints: int
) -> frozenset[Place]:
    """The candidates that wait, since too many fell within a short time: it is not the endpoints that are sick.

    Args:
        quorum_s: When each candidate's quorum came about.
        order: The candidates, the earliest first.
        endpoints: Endpoints of the destination.
    """
    waiting = set()
    for number, place in enumerate(order):
        fell = number + 1 - _before(order[:number], quorum_s, quorum_s[place] - MASS_WINDOW_S)
        if fell >= _MASS_MIN and fell > _MASS_SHARE * endpoints:
            waiting.add(place)
    return frozenset(waiting)


def _before(places: Iterable[Place], quorum_s: Mapping[Place, float], at_s: float) -> int:
    return sum(1 for place in places if quorum_s[place] <= at_s)
