"""What shared ejection looks like from one host: for `meshd ejections`, the log, metrics and tests.

Times are of the holder's monotonic clock, as in all of this package; `OutlierView.at_s` says what time it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.outlier.events import Imposed, OverrideKind
from sidecar.outlier.model import Destination, Place, RowClass

__all__ = [
    "EndpointView",
    "JudgementState",
    "OutlierView",
    "OverrideView",
    "Reason",
    "WitnessView",
]


class JudgementState(StrEnum):
    """What the mesh makes of an endpoint that somebody accuses."""

    WITHHELD = "withheld"
    """Accused, not ejected; the reason says why not."""
    PENDING = "pending"
    """All agree; the hold-off runs."""
    EJECTED = "ejected"
    """Sent nothing by anybody."""
    TRIAL = "trial"
    """The hold is over: few hosts try it, the others still send nothing."""
    RESTORED = "restored"
    """It passed its trial; accusations of before are answered."""


class Reason(StrEnum):
    """Why an endpoint is judged as it is."""

    QUORUM = "quorum"
    """Ejected: enough accuse it. Withheld: too few accuse it. Restored: more use it than had said so, and it takes
    more to accuse it."""
    TRIAL_FAILED = "trial_failed"
    """Ejected again, one level up."""
    HOLD_OVER = "hold_over"
    """On trial."""
    RECOVERED = "recovered"
    """Restored: the trial passed."""
    COUNTER_EVIDENCE = "counter_evidence"
    """Too many others succeed with it."""
    DIVERSITY = "diversity"
    """All who accuse it are of one zone, others see it too."""
    LOCAL_ORIGIN = "local_origin"
    """No answer at all, which may be the accusers' own fault: that takes three accusers, or all users."""
    SIBLINGS = "siblings"
    """The other endpoints of the destination are hardly better."""
    CAP = "cap"
    """maxEjectionPercent is used up."""
    MIN_HEALTH = "min_health"
    """Fewer than minHealthPercent would stay healthy."""
    LAST_ONE = "last_one"
    """It is the last that takes requests."""
    MASS = "mass"
    """Too many of the destination's endpoints fell at once: nothing new is ejected for a while."""
    CONTRADICTED = "contradicted"
    """Those who accuse it also accuse what others succeed with: they are sick themselves."""
    NOT_COUNTING = "not_counting"
    """Those who accuse it are not held alive, or not of our locality."""
    ALONE = "alone"
    """Gossip reaches nobody who counts: Envoy's own detector decides."""
    PINNED = "pinned"
    """An operator pinned it."""
    PAUSED = "paused"
    """An operator paused shared ejection."""
    OVERRIDDEN = "overridden"
    """An operator cleared, pinned or paused: an ejection ended by that."""
    EVIDENCE_DIED = "evidence_died"
    """An ejection ended because too few accusations are left alive."""
    UNKNOWN = "unknown"
    """The endpoint is no more, or is another workload than the one accused."""


@dataclass(frozen=True, slots=True)
class WitnessView:
    """What one observer says of the endpoint."""

    node: str
    row_class: RowClass
    ok: int
    external: int
    gateway: int
    local: int
    first_failure_s: float
    """-inf: none."""
    accused_s: float
    """-inf: never."""
    last_ok_s: float
    """-inf: none."""
    ignored: Reason | None = None
    """Why it does not count (`NOT_COUNTING`, `CONTRADICTED`, `OVERRIDDEN`, `UNKNOWN`); None: it counts."""


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint that somebody accuses, that is imposed upon, or that our own Envoy has ejected."""

    destination: Destination
    place: Place
    state: JudgementState | None
    """None: nobody accuses it; it is here because our Envoy has it ejected or still returns to it."""
    reason: Reason | None
    detail: str = ""
    """For people: `1 of 2 observers`, `2 of 4 endpoints are ejected already`, ..."""
    since_s: float | None = None
    """When this state began, as the evidence says it."""
    until_s: float | None = None
    """When the state ends by itself: the hold-off, or the hold."""
    level: int = 0
    """Each level doubles the hold; 0 where it was not ejected."""
    accusing: int = 0
    """Votes that accuse it and count."""
    opposing: int = 0
    """Votes that succeed with it and count."""
    quorum: int = 0
    """Votes that it takes."""
    users: int = 0
    """Observers that use the destination and count."""
    trying: tuple[str, ...] = ()
    """On trial: who may try it now."""
    imposed: Imposed | None = None
    """What our Envoy is told."""
    locally_ejected: bool = False
    """Whether our own Envoy's detector has it ejected."""
    witnesses: tuple[WitnessView, ...] = ()
    """All rows about it, accusers first."""


@dataclass(frozen=True, slots=True)
class OverrideView:
    """An operator's word that holds."""

    node: str
    """The host that said it."""
    kind: OverrideKind
    destination: Destination | None
    place: Place | None
    said_s: float
    until_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class OutlierView:
    """All of shared ejection as this host sees it."""

    at_s: float
    """What time it was."""
    node: str
    """This host."""
    endpoints: tuple[EndpointView, ...] = ()
    """Sorted by destination and place."""
    overrides: tuple[OverrideView, ...] = ()
    """Sorted by when they were said."""
    self_sick: bool = False
    """Most of what we talk to fails: we accuse nobody."""
    ignored_observers: tuple[str, ...] = ()
    """Held for sick: others contradict what they accuse."""
    destinations: int = 0
    """Destinations that take part."""
    rows_said: int = 0
    """Rows of ours that the mesh knows now."""
    rows_held: int = 0
    """Rows of others that live."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """Since the start: `rows_refused`, `pages_refused`, `overrides_refused`, `rows_unsaid`, and for each verdict
    (`ejected`, `trial`, `restored`, `withheld`) how often there was one."""
