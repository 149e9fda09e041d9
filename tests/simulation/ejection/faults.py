"""What is wrong with endpoints, when, and for whom: scripts that a simulated Envoy's requests meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

__all__ = ["Fault", "Kind", "boundaries", "chance_of"]

FOREVER = float("inf")


class Kind(Enum):
    """How an attempt fails."""

    EXTERNAL = "5xx"
    """Answered at once with a 5xx that is no gateway's."""
    GATEWAY = "gateway"
    """Answered at once with 502, 503 or 504."""
    REFUSED = "refused"
    """No connection, at once."""
    HANG = "hang"
    """No answer until the time-out."""


@dataclass(frozen=True)
class Fault:
    """Some endpoints fail for a while. Times are seconds after the scenario began."""

    endpoints: frozenset[int]
    """By number."""
    since_s: float = 0.0
    until_s: float = FOREVER
    share: float = 1.0
    """Of attempts that fail."""
    kind: Kind = Kind.EXTERNAL
    observers: frozenset[str] | None = None
    """Hosts that meet it; None: all."""
    destination: int | None = 0
    """By number; None: all destinations."""

    def meets(self, host: str, at_s: float) -> bool:
        """Whether this host's attempts meet it now."""
        return self.since_s <= at_s < self.until_s and (
            self.observers is None or host in self.observers
        )


def boundaries(faults: Iterable[Fault]) -> list[float]:
    """When anything begins or ends."""
    times = {time for fault in faults for time in (fault.since_s, fault.until_s)}
    return sorted(time for time in times if time < FOREVER)


def chance_of(
    faults: Iterable[Fault],
    host: str,
    endpoint: tuple[int, int],
    at_s: float,
    base_error: float,
) -> tuple[float, Kind]:
    """Chance that an attempt fails, and how: the gravest fault decides the kind.

    Args:
        faults: All there are.
        host: Who attempts.
        endpoint: Number of the destination, number of the endpoint.
        at_s: Since the scenario began.
        base_error: Share of attempts that fail in health, with 5xx.
    """
    destination, number = endpoint
    chance, kind, gravest = base_error, Kind.EXTERNAL, 0.0
    for fault in faults:
        there = fault.destination in (None, destination) and number in fault.endpoints
        if there and fault.meets(host, at_s):
            chance = 1.0 - (1.0 - chance) * (1.0 - fault.share)
            if fault.share > gravest:
                kind, gravest = fault.kind, fault.share
    return chance, kind
