"""The course of an ejection, from its votes alone: hold-off, hold, trial, next hold.

    Q ── hold-off ──> ejected ── hold(k) ──> trial ── passed ──> (accusations are answered: no ejection)
                         ^                     │
                         └──── hold(k + 1) ────┘ failed

Nothing is remembered: Q, the level k and failed trials are read from the rows, so a host that joins late finds the
same state. k is the q-th highest level that an accuser of the first hour asks for, so that one liar cannot raise it;
trials that failed raise it further, but not faster than holds can have passed. Whoever says that a trial failed
can prolong an ejection (an honest one, too, is believed alone); it cannot cause one.

A trial starts with two observers, twice as many each two seconds while it is not decided: where requests are rare,
two alone would take minutes. Each sends little at first, and what it always sends after one second: when so
little has decided nothing by then, requests are too rare to hurt. Steps 7 and 8 of docs/ejection.md;
`weight 1 of 100` for the whole trial takes an hour at one request per second and ten endpoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sidecar.outlier.hashing import fraction, stable_hash
from sidecar.outlier.model import Destination, EjectionPolicy, Place
from sidecar.outlier.view import JudgementState
from sidecar.outlier.votes import WITNESSES, Electorate, Poll, hold_s

__all__ = ["CAUTION_S", "TRIAL_STEP_S", "Course", "Trial", "course", "trial_order"]

TRIAL_STEP_S = 2.0
"""A trial that is not decided for so long takes in as many observers again."""
CAUTION_S = 1.0
"""For so long an observer that tries sends only a little."""
_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Course:
    """Where an ejection stands."""

    state: JudgementState
    """PENDING, EJECTED or TRIAL."""
    since_s: float
    until_s: float | None
    """None: a trial has no end of its own."""
    level: int
    failed_trials: int


@dataclass(frozen=True, slots=True)
class Trial:
    """Who tries an endpoint, and from when on."""

    order: tuple[str, ...]
    """Observers, those who begin first."""
    since_s: float

    def starts_s(self, node: str) -> float:
        """From when on this observer tries it; never, where it has no part in it."""
        return self._starts_s(self.order.index(node)) if node in self.order else math.inf

    def trying(self, now_s: float) -> tuple[str, ...]:
        """Those who try it now."""
        return tuple(
            node for number, node in enumerate(self.order) if self._starts_s(number) <= now_s
        )

    def next_step_s(self, node: str, now_s: float) -> float | None:
        """When something changes for this observer next."""
        starts_s = self.starts_s(node)
        steps = [at_s for at_s in (starts_s, starts_s + CAUTION_S) if at_s > now_s]
        return min(steps) if steps and steps[0] < math.inf else None

    def _starts_s(self, number: int) -> float:
        steps = math.ceil(math.log2((number + 1) / WITNESSES)) if number >= WITNESSES else 0
        return self.since_s + steps * TRIAL_STEP_S


def course(
    name: tuple[Destination, Place],
    votes: Poll,
    policy: EjectionPolicy,
    starts_s: float,
    now_s: float,
) -> Course:
    """Where the ejection of an endpoint stands.

    Args:
        name: The endpoint.
        votes: The votes about it, which suffice.
        policy: What is in force for the destination.
        starts_s: When the hold-off is over.
        now_s: The time.
    """
    quorum_s, accusing = votes.quorum_s, votes.accusing
    first = [vote.row for vote in accusing if vote.row.since_s <= starts_s]
    levels = sorted((max(1, row.episode) for row in first), reverse=True)
    level = levels[min(votes.quorum, len(levels)) - 1]
    if now_s < starts_s:
        return Course(JudgementState.PENDING, quorum_s, starts_s, level, 0)
    ends_s = starts_s + _jittered_hold_s(name, policy, level)
    if now_s < ends_s:
        return Course(JudgementState.EJECTED, starts_s, ends_s, level, 0)
    later = [vote.row for vote in accusing if vote.row.accused_s > ends_s]
    if not later:
        return Course(JudgementState.TRIAL, ends_s, None, level, 0)
    failed_s = max(row.accused_s for row in later)
    claimed = max(1, *(row.failed_trials for row in later))
    failed_trials, after_s = 1, ends_s
    while failed_trials < claimed:
        after_s += _jittered_hold_s(name, policy, level + failed_trials)
        if after_s >= failed_s:
            break
        failed_trials += 1
    level += failed_trials
    ends_s = failed_s + _jittered_hold_s(name, policy, level)
    if now_s < ends_s:
        return Course(JudgementState.EJECTED, failed_s, ends_s, level, failed_trials)
    return Course(JudgementState.TRIAL, ends_s, None, level, failed_trials)


def trial_order(
    name: tuple[Destination, Place], level: int, electorate: Electorate
) -> tuple[str, ...]:
    """The observers in the order in which they try an endpoint: other ones first at each level.

    Args:
        name: The endpoint.
        level: Of the ejection.
        electorate: Those who use the destination; of one vote one observer tries it.
    """
    (host, port), place = name
    ranked = sorted(
        electorate.speakers,
        key=lambda node: (stable_hash("trial", host, port, *place, level, node), node),
    )
    seen: set[str] = set()
    order = []
    for node in ranked:
        voter = electorate.voters[node]
        if voter not in seen:
            seen.add(voter)
            order.append(node)
    return tuple(order)


def _jittered_hold_s(name: tuple[Destination, Place], policy: EjectionPolicy, level: int) -> float:
    """The hold, up to 20 % shorter or longer: endpoints that fell together do not return together."""
    (host, port), place = name
    jitter = 1 + _JITTER * (2 * fraction("hold", host, port, *place, level) - 1)
    return min(policy.max_ejection_s, hold_s(policy, level) * jitter)
