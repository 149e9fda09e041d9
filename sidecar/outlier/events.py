"""What shared ejection is told and what it asks for: the words between its core and the shell around it.

One core a host (`sidecar.outlier.outlier.Outlier`): it turns outcomes of its own Envoy's requests into evidence, holds
the evidence of others, and decides which endpoints its own Envoy leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.gossip.records import Record, Topic
from sidecar.outlier.model import Destination, DestinationFacts, Observer, Outcomes, Place

__all__ = [
    "DestinationsSeen",
    "Effect",
    "EnvoyEjects",
    "Event",
    "Impose",
    "Imposed",
    "ObserversSeen",
    "OperatorSaid",
    "OutcomesCounted",
    "Override",
    "OverrideKind",
    "RecordHeard",
    "Say",
    "TimePassed",
    "VerdictChanged",
]

EndpointName = tuple[Destination, Place]


@dataclass(frozen=True, slots=True)
class OutcomesCounted:
    """A look at Envoy's counters: what came since the last one. Endpoints without attempts may be left out."""

    outcomes: Mapping[EndpointName, Outcomes]


@dataclass(frozen=True, slots=True)
class EnvoyEjects:
    """All endpoints that our own Envoy's detector has ejected now (never what we imposed on it)."""

    endpoints: frozenset[EndpointName]


@dataclass(frozen=True, slots=True)
class DestinationsSeen:
    """The destinations that take part and that our Envoy uses: all of them, in the place of those before."""

    facts: Mapping[Destination, DestinationFacts]
    lifetime_s: float = 15.0
    """Evidence that is not renewed dies after this time (`MeshConfig.ejection.evidenceLifetime`)."""


@dataclass(frozen=True, slots=True)
class ObserversSeen:
    """All members that gossip knows, ourselves among them, in the place of those before."""

    observers: Mapping[str, Observer]


@dataclass(frozen=True, slots=True)
class RecordHeard:
    """A newer record of topic `evidence` or `overrides` of another host; its signature is checked."""

    record: Record


class OverrideKind(StrEnum):
    """What an operator may ask; each only ever takes ejections back, so that a stolen host gains nothing by it."""

    CLEAR = "clear"
    """End the ejection: evidence older than this word no longer counts."""
    PIN = "pin"
    """Never eject it by evidence of peers until this runs out."""
    PAUSE = "pause"
    """Eject nothing by evidence of peers until this runs out (everywhere, or of one destination)."""


@dataclass(frozen=True, slots=True)
class Override:
    """One word of an operator."""

    kind: OverrideKind
    destination: Destination | None
    """None: all (of PAUSE only)."""
    place: Place | None
    """None: all endpoints of the destination."""
    for_s: float
    """How long it holds from when it was said."""
    reason: str = ""
    """As the operator gave it."""


@dataclass(frozen=True, slots=True)
class OperatorSaid:
    """An operator speaks through this host; the word is told to the whole mesh. `for_s` 0 takes it back."""

    override: Override


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The deadline has come."""


Event = (
    OutcomesCounted
    | EnvoyEjects
    | DestinationsSeen
    | ObserversSeen
    | RecordHeard
    | OperatorSaid
    | TimePassed
)


class Imposed(StrEnum):
    """What our Envoy is told of an endpoint."""

    EJECTED = "ejected"
    """Sent nothing: EDS health UNHEALTHY."""
    TRIAL = "trial"
    """Sent a little, to see whether it has recovered: healthy, with the smallest weight."""


@dataclass(frozen=True, slots=True)
class Impose:
    """All that is imposed on our Envoy's endpoints from now on, in the place of what was before."""

    imposed: Mapping[EndpointName, Imposed]


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the mesh this page of ours; an empty body withdraws it."""

    topic: Topic
    page: int
    body: bytes


@dataclass(frozen=True, slots=True)
class VerdictChanged:
    """For the log and the counters: an endpoint is ejected, on trial, restored, or not ejected for a reason."""

    destination: Destination
    place: Place
    verdict: str
    """`ejected`, `trial`, `restored`, `withheld`."""
    reason: str
    """`quorum`, `trial_failed`, `recovered`, `counter_evidence`, `evidence_died`, `cap`, `last_one`, `mass`,
    `overridden`, ..."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Its evidence: observers with counts and ages, level, until when."""


Effect = Impose | Say | VerdictChanged
