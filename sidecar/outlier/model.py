"""The words of shared ejection: destinations, endpoints, outcomes, evidence rows, observers, policies.

Times: a row carries ages on the wire; here they are times of the holder's own monotonic clock, seconds, so that rows
of different hosts can be compared (off by what they were under way, some tenths of a second).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from sidecar.mesh.model import HostName, Locality

__all__ = [
    "Destination",
    "DestinationFacts",
    "EjectionPolicy",
    "EndpointFact",
    "Observer",
    "Outcomes",
    "Place",
    "Row",
    "RowClass",
]


class Destination(NamedTuple):
    """What clients name: one port of one service. Subsets and workload contexts share their evidence."""

    host: HostName
    port: int


class Place(NamedTuple):
    """Where an endpoint listens."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Outcomes:
    """First-hand outcomes of attempts at one endpoint since the last look. Each retry is an attempt of its own."""

    ok: int = 0
    """Answers below 500 (TCP: connections that came to be)."""
    external: int = 0
    """Answers of 5xx that are not gateway errors."""
    gateway: int = 0
    """Answers of 502, 503, 504."""
    local: int = 0
    """No connection, reset, time-out: may be our own fault."""


class RowClass(StrEnum):
    """What an observer makes of its own outcomes."""

    BAD = "bad"
    """An accusation: failures in a row, or nearly all of many."""
    CLEAR = "clear"
    """Successes lately: counter-evidence."""
    NEUTRAL = "neutral"
    """It uses the destination, but has nothing to say of this endpoint."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one observer says of one endpoint. Only the observer itself edits it."""

    destination: Destination
    place: Place
    generation: int
    """Which workload was meant (32 bits): rows of another generation say nothing of the one that is there now."""
    row_class: RowClass
    ok: int = 0
    """Successes in the window (10 s); of a BAD row since its failures began."""
    external: int = 0
    gateway: int = 0
    local: int = 0
    """Failures in the same time, by kind."""
    first_failure_s: float = float("-inf")
    """First failure of the present run of failures."""
    accused_s: float = float("-inf")
    """When the row last became BAD, or a trial failed."""
    last_ok_s: float = float("-inf")
    """Last success."""
    ok_run: int = 0
    """Successes in a row up to now, at most 15."""
    episode: int = 0
    """Level of the ejection that this accusation asks for: one above the last one's, less one for each base ejection
    time in health since."""
    since_s: float = float("-inf")
    """Of a BAD row: when it became BAD; failed trials do not move it. Of a CLEAR row: first success since it was last
    BAD or ejected. Of others: never."""
    failed_trials: int = 0
    """Of a BAD row: how many trials of the ejection had failed in all when this observer saw its last one fail."""
    heard_s: float = float("-inf")
    """When the holder first heard of this accusation; never on the wire, and of own rows long ago. What a row says of
    the past may be a lie: what must stand for a while must have been heard for as long."""


@dataclass(frozen=True, slots=True)
class Observer:
    """A member of the mesh as far as its evidence counts."""

    node: str
    counts: bool
    """Held alive by gossip: not suspect, dead or gone."""
    locality: Locality = field(default_factory=Locality)
    address: str = ""
    """Its address without port: observers of one address count once."""


@dataclass(frozen=True, slots=True)
class EndpointFact:
    """One endpoint of a destination, of any subset."""

    place: Place
    generation: int
    priority: int = 0
    locality: Locality = field(default_factory=Locality)
    takes_requests: bool = True
    """Not draining, and healthy by its own word."""
    node: str = ""
    """Host that it runs on; empty when it is none of the mesh's."""


@dataclass(frozen=True, slots=True)
class EjectionPolicy:
    """What is in force for one destination: MeshConfig.ejection, its DestinationRule's outlierDetection over it."""

    quorum: int | None = None
    """Observers that must accuse; None: by their number."""
    failures: int = 2
    """Failures in a row until an observer accuses."""
    agreement: float = 0.66
    """Share of those with a say that must accuse."""
    hold_off_s: float = 1.0
    """How long the quorum must hold."""
    base_ejection_s: float = 30.0
    max_ejection_s: float = 300.0
    max_ejection_share: float = 0.5
    """Of the endpoints, ejected at once for whatever reason."""
    min_health_share: float = 0.5
    """Below this share of healthy endpoints nothing more is ejected."""
    same_locality: bool = False
    """Whether only observers of our own locality count."""


@dataclass(frozen=True, slots=True)
class DestinationFacts:
    """A destination that takes part in shared ejection, as this host sees it."""

    policy: EjectionPolicy
    endpoints: tuple[EndpointFact, ...]
    """Sorted by place; of all subsets."""
