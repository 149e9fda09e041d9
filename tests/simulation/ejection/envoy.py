"""A model of one cluster of one Envoy: its load balancing, its own outlier detection, EDS health, counters.

Facts from Envoy's outlier detection as the project's notes have them: the consecutive detector fires inline and its
count does not age; un-ejection happens on ticks only; ejections grow with a multiplier that falls by one with each
quiet tick; the cap counts this Envoy's own ejections; panic sends to everybody. Requests are a Poisson process;
between two events of its host a cluster is independent of all others, so it is advanced lazily and exactly.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.outlier.events import Imposed
from sidecar.outlier.model import Destination, Outcomes, Place
from tests.simulation.ejection.faults import Kind

__all__ = ["Cluster", "EnvoySettings", "Journal"]

TRIAL_SHARE = 0.01
"""Weight of an endpoint on trial beside its siblings."""


@dataclass(frozen=True)
class EnvoySettings:
    """Of the detector and of the route."""

    consecutive_5xx: int = 5
    base_ejection_s: float = 30.0
    max_ejection_s: float = 300.0
    interval_s: float = 1.0
    max_ejection_share: float = 0.5
    panic_share: float = 0.5
    """Below this share of healthy endpoints all are sent to; 0: never."""
    timeout_s: float = 1.0
    """Of a request."""
    retries: int = 0
    """Further attempts, each at another endpoint than the last."""


@dataclass
class Journal:
    """What happened, for the figures."""

    failures: list[tuple[float, str, Destination, int]] = field(default_factory=list)
    """User-visible failures: when, at which host, of which endpoint (the last one tried)."""
    requests: int = 0
    avoided: list[tuple[float, str, Destination, int, str, bool]] = field(default_factory=list)
    """When, at which host, which endpoint, by whom (`envoy`, `mesh`, `trial`), whether it begins or ends."""
    arrivals: dict[tuple[Destination, int, int], int] = field(default_factory=dict)
    """Attempts by endpoint and whole second."""
    panics: list[tuple[float, str, bool]] = field(default_factory=list)
    """When a cluster of a host goes into panic or out of it."""


@dataclass
class _Endpoint:
    """State of one endpoint in this Envoy."""

    chance: float = 0.0
    kind: Kind = Kind.EXTERNAL
    run: int = 0
    ejected_at_s: float | None = None
    multiplier: int = 0
    imposed: Imposed | None = None
    ok: int = 0
    external: int = 0
    gateway: int = 0
    local: int = 0


class Cluster:
    """One destination in one Envoy.

    Args:
        host: Whose Envoy it is.
        destination: What it leads to.
        places: Its endpoints; their numbers are positions here.
        rate_per_s: Requests of this host to the destination.
        rng: Of arrivals and outcomes.
        settings: Of the detector.
        journal: Where to write what happens.
        began_s: The time now.
    """

    def __init__(
        self,
        host: str,
        destination: Destination,
        places: Sequence[Place],
        *,
        rate_per_s: float,
        rng: random.Random,
        settings: EnvoySettings,
        journal: Journal,
        began_s: float,
    ) -> None:
        self.host = host
        self.destination = destination
        self.places = list(places)
        self.endpoints = [_Endpoint() for _ in places]
        self._rate_per_s = rate_per_s
        self._rng = rng
        self._settings = settings
        self.journal = journal
        self._next_s = began_s + rng.expovariate(rate_per_s) if rate_per_s else float("inf")
        self._turn = rng.randrange(len(self.places))
        self._pending: deque[tuple[float, int, int]] = deque()
        self._in_panic = False
        self._full: list[int] = []
        self._trials: list[int] = []
        self._mend_rotation(began_s)

    def advance(self, to_s: float) -> None:
        """Let requests arrive and end up to a time."""
        rng, rate, pending = self._rng, self._rate_per_s, self._pending
        while True:
            arrives_s = self._next_s
            if pending and pending[0][0] <= arrives_s:
                if pending[0][0] > to_s:
                    return
                ended_s, number, tries = pending.popleft()
                self._failed(ended_s, number, Kind.HANG, tries)
                continue
            if arrives_s > to_s:
                return
            self._next_s = arrives_s + rng.expovariate(rate)
            self.journal.requests += 1
            self._attempt(arrives_s, self._settings.retries, -1)

    def meet(self, number: int, chance: float, kind: Kind) -> None:
        """From now on attempts at an endpoint fail so."""
        endpoint = self.endpoints[number]
        endpoint.chance, endpoint.kind = chance, kind

    def impose(self, imposed: Mapping[Place, Imposed], now_s: float) -> None:
        """EDS health as the sidecar has it, in the place of what was before."""
        self.advance(now_s)
        for number, place in enumerate(self.places):
            endpoint = self.endpoints[number]
            before, endpoint.imposed = endpoint.imposed, imposed.get(place)
            if before is not endpoint.imposed:
                if before is not None:
                    self._tell(now_s, number, _word(before), False)
                if endpoint.imposed is not None:
                    self._tell(now_s, number, _word(endpoint.imposed), True)
        self._mend_rotation(now_s)

    def tick(self, now_s: float) -> None:
        """The detector's interval has passed."""
        self.advance(now_s)
        for number, endpoint in enumerate(self.endpoints):
            if endpoint.ejected_at_s is None:
                endpoint.multiplier = max(0, endpoint.multiplier - 1)
                continue
            settings = self._settings
            lasts_s = min(settings.base_ejection_s * endpoint.multiplier, settings.max_ejection_s)
            if endpoint.ejected_at_s + lasts_s <= now_s:
                endpoint.ejected_at_s = None
                endpoint.run = 0
                self._tell(now_s, number, "envoy", False)
                self._mend_rotation(now_s)

    def take_counts(self) -> dict[Place, Outcomes]:
        """What the counters gained since the last look; endpoints without attempts are left out."""
        counts = {}
        for place, endpoint in zip(self.places, self.endpoints, strict=True):
            if endpoint.ok or endpoint.external or endpoint.gateway or endpoint.local:
                counts[place] = Outcomes(
                    endpoint.ok, endpoint.external, endpoint.gateway, endpoint.local
                )
                endpoint.ok = endpoint.external = endpoint.gateway = endpoint.local = 0
        return counts

    def ejected(self) -> frozenset[Place]:
        """What this Envoy's own detector has out."""
        return frozenset(
            place
            for place, endpoint in zip(self.places, self.endpoints, strict=True)
            if endpoint.ejected_at_s is not None
        )

    def avoids(self, number: int) -> bool:
        """Whether it sends nothing to an endpoint, by its own detector or because it was told."""
        endpoint = self.endpoints[number]
        return endpoint.ejected_at_s is not None or endpoint.imposed is Imposed.EJECTED

    def replace(self, number: int, place: Place, now_s: float) -> None:
        """Another workload stands there now: all state of the endpoint is gone, as with a new host in Envoy."""
        self.advance(now_s)
        self.places[number] = place
        self.endpoints[number] = _Endpoint()
        self._mend_rotation(now_s)

    def _attempt(self, now_s: float, tries: int, not_number: int) -> None:
        number = self._pick(not_number)
        endpoint = self.endpoints[number]
        key = (self.destination, number, int(now_s))
        arrivals = self.journal.arrivals
        arrivals[key] = arrivals.get(key, 0) + 1
        if not endpoint.chance or self._rng.random() >= endpoint.chance:
            endpoint.ok += 1
            endpoint.run = 0
        elif endpoint.kind is Kind.HANG:
            self._pending.append((now_s + self._settings.timeout_s, number, tries))
        else:
            self._failed(now_s, number, endpoint.kind, tries)

    def _failed(self, now_s: float, number: int, kind: Kind, tries: int) -> None:
        endpoint = self.endpoints[number]
        if kind is Kind.EXTERNAL:
            endpoint.external += 1
        elif kind is Kind.GATEWAY:
            endpoint.gateway += 1
        else:
            endpoint.local += 1
        endpoint.run += 1
        if endpoint.run == self._settings.consecutive_5xx and endpoint.ejected_at_s is None:
            self._eject(now_s, number)
        if tries:
            self._attempt(now_s, tries - 1, number)
        else:
            self.journal.failures.append((now_s, self.host, self.destination, number))

    def _eject(self, now_s: float, number: int) -> None:
        endpoint = self.endpoints[number]
        active = sum(other.ejected_at_s is not None for other in self.endpoints)
        endpoint.run = 0
        if active and (active + 1) / len(self.endpoints) > self._settings.max_ejection_share:
            return
        endpoint.ejected_at_s = now_s
        endpoint.multiplier += 1
        self._tell(now_s, number, "envoy", True)
        self._mend_rotation(now_s)

    def _mend_rotation(self, now_s: float) -> None:
        numbers = range(len(self.endpoints))
        healthy = [number for number in numbers if not self.avoids(number)]
        panics = len(healthy) < self._settings.panic_share * len(self.endpoints) or not healthy
        if panics != self._in_panic:
            self._in_panic = panics
            self.journal.panics.append((now_s, self.host, panics))
        usable = list(numbers) if panics else healthy
        self._trials = [n for n in usable if self.endpoints[n].imposed is Imposed.TRIAL]
        self._full = [n for n in usable if self.endpoints[n].imposed is not Imposed.TRIAL]
        if not self._full:
            self._full, self._trials = self._trials, []

    def _pick(self, not_number: int) -> int:
        if self._trials:
            tried = len(self._trials) * TRIAL_SHARE
            if self._rng.random() < tried / (tried + len(self._full)):
                return self._rng.choice(self._trials)
        self._turn = (self._turn + 1) % len(self._full)
        if self._full[self._turn] == not_number:
            self._turn = (self._turn + 1) % len(self._full)
        return self._full[self._turn]

    def _tell(self, now_s: float, number: int, whose: str, begins: bool) -> None:
        self.journal.avoided.append((now_s, self.host, self.destination, number, whose, begins))


def _word(imposed: Imposed) -> str:
    return "mesh" if imposed is Imposed.EJECTED else "trial"
