"""The decision: what the mesh makes of the endpoints of one destination.

A pure function of rows, members, policy, endpoints, operators' words and time. It remembers nothing, so hosts that
hold the same rows agree, also one that joined just now. In the order in which it asks:

    votes      enough accuse it, few speak for it                      sidecar.outlier.votes
    siblings   the other endpoints are clearly better
    guard      not too many fell at once                               sidecar.outlier.caps
    course     hold-off, hold, trial, next hold                        sidecar.outlier.phases
    caps       the destination stays usable                            sidecar.outlier.caps

It does not know what our own Envoy ejects; `sidecar.outlier.imposing` counts that in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sidecar.outlier.caps import MASS_WINDOW_S, caps, frozen
from sidecar.outlier.hashing import stable_hash
from sidecar.outlier.model import (
    Destination,
    DestinationFacts,
    EndpointFact,
    Place,
    Row,
    RowClass,
)
from sidecar.outlier.phases import Course, Trial, course, trial_order
from sidecar.outlier.view import JudgementState, Reason
from sidecar.outlier.votes import Electorate, Members, Poll, poll

__all__ = ["Judgement", "Mesh", "decide"]

_OUTLIER_MARGIN = 0.3
_NO_TRIAL = Trial((), math.inf)


@dataclass(frozen=True, slots=True)
class Mesh:
    """Who speaks, and whom to believe."""

    members: Members
    """All whose rows count."""
    near: Members
    """Those of our own locality, for destinations whose policy asks for it."""
    ignored: frozenset[str]
    """Members that are not believed (`sidecar.outlier.poison`)."""
    cleared_s: Callable[[Destination, Place], float]
    """Up to when accusations were cleared by an operator; -inf: none."""
    override: Callable[[Destination, Place], Reason | None]
    """`PINNED` or `PAUSED` where an operator said so."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the mesh makes of one endpoint that somebody accuses."""

    state: JudgementState
    reason: Reason
    poll: Poll
    since_s: float
    until_s: float | None = None
    """When it ends by itself, or is to be looked at again."""
    level: int = 0
    failed_trials: int = 0
    trial: Trial = _NO_TRIAL

    @property
    def is_ejected(self) -> bool:
        """Whether those who do not try it send it nothing."""
        return self.state in (JudgementState.EJECTED, JudgementState.TRIAL)


@dataclass(frozen=True, slots=True)
class _Candidate:
    fact: EndpointFact
    poll: Poll
    said: int
    """Members who have spoken of it."""
    override: Reason | None


def decide(
    destination: Destination,
    facts: DestinationFacts,
    rows: Mapping[Place, Mapping[str, Row]],
    mesh: Mesh,
    now_s: float,
) -> dict[Place, Judgement]:
    """Judge the endpoints that somebody accuses.

    Args:
        destination: Which destination.
        facts: Its policy and endpoints.
        rows: All rows about it that live.
        mesh: Who speaks, and whom to believe.
        now_s: The time.
    """
    members = mesh.near if facts.policy.same_locality else mesh.members
    electorate = Electorate(members, set().union(*rows.values()))
    found: dict[Place, _Candidate] = {}
    judged: dict[Place, Judgement] = {}
    shares: dict[Place, float] = {}
    for fact in facts.endpoints:
        about = _current(fact, rows.get(fact.place, {}))
        if not about:
            continue
        cleared_s = mesh.cleared_s(destination, fact.place)
        votes = poll(about, electorate, facts.policy, cleared_s)
        shares[fact.place] = votes.share
        if any(row.row_class is RowClass.BAD for row in about.values()):
            override = mesh.override(destination, fact.place)
            said = sum(1 for node in about if node in electorate.voters)
            found[fact.place] = _Candidate(fact, votes, said, override)
    for place, one in found.items():
        reason = _why_not(one, rows[place], mesh, electorate)
        if reason is None and not _is_outlier(place, shares, facts):
            reason = Reason.SIBLINGS
        reason = reason or one.override
        if reason is not None:
            judged[place] = _withheld(reason, one.poll, now_s)
    candidates = {place: one for place, one in found.items() if place not in judged}
    judged.update(_courses(destination, facts, candidates, electorate, now_s))
    return judged


def _current(fact: EndpointFact, rows: Mapping[str, Row]) -> dict[str, Row]:
    """The rows that mean the workload that is there now."""
    return {node: row for node, row in rows.items() if row.generation == fact.generation}


def _why_not(
    one: _Candidate, rows: Mapping[str, Row], mesh: Mesh, electorate: Electorate
) -> Reason | None:
    """Why the votes do not suffice; None: they do."""
    if not one.fact.takes_requests:
        return Reason.UNKNOWN
    if one.poll.accusing or one.poll.answered or electorate.users == 0:
        return one.poll.reason
    accusers = {node for node, row in rows.items() if row.row_class is RowClass.BAD}
    if accusers & mesh.ignored:
        return Reason.CONTRADICTED
    if accusers & electorate.voters.keys():
        return Reason.OVERRIDDEN
    return Reason.NOT_COUNTING


def _is_outlier(place: Place, shares: Mapping[Place, float], facts: DestinationFacts) -> bool:
    """Whether it fails clearly more than the lower middle of the others; those that nobody speaks of do not fail."""
    others = sorted(
        shares.get(fact.place, 0.0)
        for fact in facts.endpoints
        if fact.place != place and fact.takes_requests
    )
    usual = others[(len(others) - 1) // 2] if others else 0.0
    return shares[place] >= usual + _OUTLIER_MARGIN


def _courses(
    destination: Destination,
    facts: DestinationFacts,
    candidates: Mapping[Place, _Candidate],
    electorate: Electorate,
    now_s: float,
) -> dict[Place, Judgement]:
    """The candidates' ejections, as far as guard and caps allow them."""
    quorum_s = {place: one.poll.quorum_s for place, one in candidates.items()}
    order = sorted(
        candidates, key=lambda place: (quorum_s[place], stable_hash(*destination, *place), place)
    )
    usable = sum(1 for fact in facts.endpoints if fact.takes_requests)
    waiting = frozen(quorum_s, order, usable)
    limits = caps(facts)
    judged = {}
    for place in order:
        one = candidates[place]
        starts_s = quorum_s[place] + electorate.hold_off_s(facts.policy)
        if place in waiting:
            starts_s += MASS_WINDOW_S
        stand = course((destination, place), one.poll, facts.policy, starts_s, now_s)
        if stand.state is not JudgementState.PENDING:
            # What rows say of the past may be a lie: answers are awaited from when the accusations were heard.
            heard_s = one.poll.heard_s + electorate.answers_s(facts.policy, one.said)
            if now_s < heard_s:
                stand = replace(stand, state=JudgementState.PENDING, until_s=heard_s)
        if stand.state is JudgementState.PENDING:
            reason = Reason.MASS if place in waiting else Reason.QUORUM
            judged[place] = _judgement(stand, one.poll, reason)
            continue
        refused = limits[one.fact.priority].take()
        if refused is not None:
            judged[place] = _withheld(refused, one.poll, quorum_s[place])
        elif stand.state is JudgementState.TRIAL:
            trial = Trial(
                trial_order((destination, place), stand.level, electorate),
                stand.since_s,
            )
            judged[place] = replace(_judgement(stand, one.poll, Reason.HOLD_OVER), trial=trial)
        else:
            reason = Reason.TRIAL_FAILED if stand.failed_trials else Reason.QUORUM
            judged[place] = _judgement(stand, one.poll, reason)
    return judged


def _judgement(stand: Course, votes: Poll, reason: Reason) -> Judgement:
    return Judgement(
        stand.state,
        reason,
        votes,
        stand.since_s,
        stand.until_s,
        stand.level,
        stand.failed_trials,
    )


def _withheld(reason: Reason, votes: Poll, since_s: float) -> Judgement:
    state = JudgementState.RESTORED if reason is Reason.RECOVERED else JudgementState.WITHHELD
    return Judgement(state, reason, votes, since_s)
