"""Who accuses an endpoint and who speaks for it: the count of votes, before siblings and caps have their say.

    A   votes of BAD rows that are not answered; one vote an address
    T   when the failures began, as the accusers say it: the q-th earliest, or the middle one where that is later
        (an error of everyday just before the fall makes some accusers say an earlier time)
    C   votes of CLEAR rows whose last success is after T
    Q   when the quorum came about: as many accusations as it takes stood since then

A success before T says nothing, which is why accusations are not simply outnumbered by everybody's better past.
Answered are accusations that are followed, after most of a hold, by six successes at two observers or more (at most
three of each count), and by no failed trial since. Steps 3, 5 and 8 of docs/ejection.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sidecar.outlier.model import EjectionPolicy, Observer, Row, RowClass
from sidecar.outlier.sight import TRIAL_SUCCESSES
from sidecar.outlier.view import Reason

__all__ = ["ANSWER_SHARE", "WITNESSES", "Electorate", "Members", "Poll", "Vote", "hold_s", "poll"]

SEVERAL_USERS = 10
"""From so many observers on, three must accuse instead of two."""
LOCAL_QUORUM = 3
"""Accusers that it takes at least, or all users where they are fewer, when no answer came at all: two whose own network
is broken must not suffice. One more than the quorum everywhere was tried; in larger destinations the
answers of those who succeed protect as well, and the fourth accuser cost 7 % more failures (simulated, 12 hosts)."""
HEARD_SHARE = 0.5
"""Of the hold-off, as heard here."""
ANSWERS_S = 1.0
"""An accusation reaches everybody, and their answers everybody else, in less."""
WITNESSES = 2
"""Observers that must have passed a trial."""

ANSWER_SHARE = 0.6
"""Of the first hold: successes so long after an accusation come from a trial, or from those who never heard of it.
The shortest hold, with its jitter, is 0.8 of it; the rest leaves room for those who accused last."""


@dataclass(frozen=True, slots=True)
class Members:
    """The members of the mesh whose rows count."""

    voters: Mapping[str, str]
    """By node; the value is its vote: hosts of one address have one."""
    zones: Mapping[str, tuple[str, str]]
    """Region and zone of each vote."""
    counting: int
    """Members that gossip holds alive, whether or not they are believed."""

    @classmethod
    def of(
        cls,
        observers: Mapping[str, Observer],
        ignored: frozenset[str] = frozenset(),
        near: Observer | None = None,
    ) -> Members:
        """Those who count.

        Args:
            observers: The members of the mesh.
            ignored: Those who are not believed.
            near: Only observers of this one's locality count; None: all.
        """
        voters = {}
        zones = {}
        counting = 0
        for node, observer in observers.items():
            if not observer.counts or (near is not None and observer.locality != near.locality):
                continue
            counting += 1
            if node not in ignored:
                voter = observer.address or node
                voters[node] = voter
                zones[voter] = (observer.locality.region, observer.locality.zone)
        return cls(voters, zones, counting)


class Electorate:
    """Whose rows count for a destination.

    Args:
        members: The members that count.
        speakers: Everybody who says a row of the destination.
    """

    def __init__(self, members: Members, speakers: Iterable[str]) -> None:
        self.voters = members.voters
        self.zones = members.zones
        self.speakers = tuple(node for node in speakers if node in members.voters)
        """Those of them who count."""
        self.users = len({members.voters[node] for node in self.speakers})
        """Votes of those who use the destination, as far as they have said so."""
        self.others = members.counting > 1
        """Whether the mesh has anybody else who could say something that counts."""
        self._members = members.counting
        self._many = members.counting >= SEVERAL_USERS

    def quorum(self, policy: EjectionPolicy) -> int:
        """Votes that it takes at least."""
        if policy.quorum is not None:
            return policy.quorum
        return 2 if self.users < SEVERAL_USERS else 3

    def is_unsure(self, policy: EjectionPolicy) -> bool:
        """Whether many might use the destination and few have said so yet: it may take three instead of two."""
        return self._many and self.users < SEVERAL_USERS and policy.quorum is None

    def hold_off_s(self, policy: EjectionPolicy) -> float:
        """How long the quorum must hold; longer where the answers of others are awaited."""
        return policy.hold_off_s + (ANSWERS_S if self.is_unsure(policy) else 0.0)

    def answers_s(self, policy: EjectionPolicy, said: int) -> float:
        """How long after accusations were heard here the answers of others are awaited, whatever the accusers say.

        Half of the hold-off where enough users are known: an honest accusation is half a poll old when it is heard,
        so the hold-off from its beginning ends later. Nothing, where all members have spoken of the endpoint, or
        where they are few.

        Args:
            policy: What is in force for the destination.
            said: How many have spoken of the endpoint.
        """
        if self.is_unsure(policy):
            return self.hold_off_s(policy)
        is_awaited = self._many and said < self._members - 1
        return policy.hold_off_s * HEARD_SHARE if is_awaited else 0.0


@dataclass(frozen=True, slots=True)
class Vote:
    """An accusation that counts."""

    voter: str
    row: Row

    @property
    def is_local(self) -> bool:
        """Whether no answer at all came: it may be the accuser's own fault."""
        return self.row.local > 0 and not self.row.external and not self.row.gateway


@dataclass(frozen=True, slots=True)
class Poll:
    """The votes about one endpoint."""

    accusing: tuple[Vote, ...]
    """A, the earliest first."""
    answered: int
    """Accusations that are answered."""
    opposing: int
    """C."""
    quorum: int
    """Votes that it takes."""
    users: int
    reason: Reason | None = None
    """Why the votes do not suffice; None: they do."""
    quorum_s: float = math.inf
    """Q."""
    heard_s: float = math.inf
    """When so many accusations had been heard here: what rows say of the past does not shorten the hold-off."""
    share: float = 0.0
    """Of those with a say the share that accuses; where no quorum does: of the requests the share that fails."""


def hold_s(policy: EjectionPolicy, level: int) -> float:
    """How long an ejection of this level lasts, without jitter: base * 2^(level - 1), to the maximum."""
    return min(policy.max_ejection_s, policy.base_ejection_s * 2.0 ** (max(1, level) - 1))


def poll(
    rows: Mapping[str, Row], electorate: Electorate, policy: EjectionPolicy, cleared_s: float
) -> Poll:
    """Count the votes about one endpoint.

    Args:
        rows: The rows about it, of the workload that is there now, by observer.
        electorate: Whose rows count.
        policy: What is in force for the destination.
        cleared_s: Accusations up to then were cleared by an operator.
    """
    counting = {node: row for node, row in rows.items() if node in electorate.voters}
    votes = _accusations(counting, electorate, cleared_s)
    answer_s = _answer_s(counting, electorate, votes)
    patience_s = ANSWER_SHARE * hold_s(policy, 1)
    standing = tuple(vote for vote in votes if vote.row.accused_s + patience_s >= answer_s)
    q = electorate.quorum(policy)
    needed = q
    if standing and all(vote.is_local for vote in standing):
        needed = max(q, min(LOCAL_QUORUM, electorate.users))
    opposing = _opposing(counting, electorate, standing, q)
    reason, wanted = _verdict(standing, len(opposing), electorate, policy, (q, needed))
    if reason is Reason.QUORUM and len(votes) >= needed:
        reason = Reason.RECOVERED
    if reason is None and not _is_diverse(counting, standing, electorate):
        reason = Reason.DIVERSITY
    return Poll(
        accusing=standing,
        answered=len(votes) - len(standing),
        opposing=len(opposing),
        quorum=needed,
        users=electorate.users,
        reason=reason,
        quorum_s=standing[wanted - 1].row.since_s if wanted else math.inf,
        heard_s=_heard_s(standing, wanted),
        share=len(standing) / (len(standing) + len(opposing))
        if len(standing) >= q
        else _failing_share(counting),
    )


def _accusations(
    rows: Mapping[str, Row], electorate: Electorate, cleared_s: float
) -> tuple[Vote, ...]:
    """One vote of each address, its earliest; the earliest first."""
    found: dict[str, Vote] = {}
    for node, row in rows.items():
        if row.row_class is not RowClass.BAD or row.since_s <= cleared_s:
            continue
        vote = Vote(electorate.voters[node], row)
        held = found.get(vote.voter)
        if held is None or _age_order(vote) < _age_order(held):
            found[vote.voter] = vote
    return tuple(sorted(found.values(), key=_age_order))


def _age_order(vote: Vote) -> tuple[float, float, int, int, str]:
    row = vote.row
    return (row.since_s, row.accused_s, row.episode, row.failed_trials, vote.voter)


def _answer_s(rows: Mapping[str, Row], electorate: Electorate, votes: Iterable[Vote]) -> float:
    """Since when there are enough successes to answer accusations of before; -inf: there are not.

    A failed trial voids the successes before it.
    """
    failed_s = max(
        (vote.row.accused_s for vote in votes if vote.row.accused_s > vote.row.since_s),
        default=-math.inf,
    )
    best: dict[str, tuple[float, int]] = {}
    for node, row in rows.items():
        if row.ok_run and row.last_ok_s > failed_s:
            seen = (row.last_ok_s, min(row.ok_run, TRIAL_SUCCESSES))
            voter = electorate.voters[node]
            best[voter] = max(best.get(voter, seen), seen)
    successes = 0
    for number, (at_s, ok_run) in enumerate(sorted(best.values(), reverse=True), 1):
        successes += ok_run
        if number >= WITNESSES and successes >= WITNESSES * TRIAL_SUCCESSES:
            return at_s
    return -math.inf


def _opposing(
    rows: Mapping[str, Row], electorate: Electorate, standing: tuple[Vote, ...], q: int
) -> set[str]:
    """C: votes that succeed with it after T and do not accuse it."""
    if not standing:
        return set()
    began = sorted(vote.row.first_failure_s for vote in standing)
    began_s = began[max(min(q, len(began)) - 1, len(began) // 2)]
    against = {vote.voter for vote in standing}
    return {
        electorate.voters[node]
        for node, row in rows.items()
        if row.row_class is RowClass.CLEAR and row.last_ok_s > began_s
    } - against


def _verdict(
    standing: tuple[Vote, ...],
    opposing: int,
    electorate: Electorate,
    policy: EjectionPolicy,
    quorums: tuple[int, int],
) -> tuple[Reason | None, int]:
    """Why the votes do not suffice, or None; and how many accusations it took."""
    q, needed = quorums
    if not electorate.others:
        return Reason.ALONE, 0
    if electorate.users < WITNESSES:
        return Reason.QUORUM, 0
    if len(standing) < needed:
        return (Reason.QUORUM if len(standing) < q else Reason.LOCAL_ORIGIN), 0
    # |A| / (|A| + |C|) >= agreement, solved for |A|
    if opposing and policy.agreement >= 1:
        return Reason.COUNTER_EVIDENCE, 0
    share = policy.agreement * opposing / (1 - policy.agreement) if opposing else 0.0
    wanted = max(needed, math.ceil(share - 1e-9))
    if len(standing) < wanted:
        return Reason.COUNTER_EVIDENCE, 0
    return None, wanted


def _heard_s(standing: Sequence[Vote], wanted: int) -> float:
    """When the last of the first so many accusations was heard here."""
    if not wanted:
        return math.inf
    return sorted(max(vote.row.since_s, vote.row.heard_s) for vote in standing)[wanted - 1]


def _is_diverse(rows: Mapping[str, Row], standing: Iterable[Vote], electorate: Electorate) -> bool:
    """Whether those who accuse it span two zones, where observers of two have tried it."""
    known = {
        electorate.zones[electorate.voters[node]]
        for node, row in rows.items()
        if row.row_class is RowClass.BAD or row.ok + row.external + row.gateway + row.local
    } - {("", "")}
    return len({electorate.zones[vote.voter] for vote in standing}) >= min(2, len(known))


def _failing_share(rows: Mapping[str, Row]) -> float:
    """Of the requests the share that fails, each observer weighing the same; accusations left out."""
    shares = [
        (row.external + row.gateway + row.local) / (row.ok + row.external + row.gateway + row.local)
        for row in rows.values()
        if row.row_class is not RowClass.BAD and row.ok + row.external + row.gateway + row.local
    ]
    return sum(shares) / len(shares) if shares else 0.0
