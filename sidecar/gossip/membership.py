"""What claims do: who is held how, who is given time, and what we answer to claims about ourselves.

Rules beyond the order of claims (`sidecar.gossip.claims`):

- Death that is read from a table (an exchange) is hearsay about somebody held alive: it makes a suspect, who can
  refute.
- Only the subject raises its incarnation: to one above the accusation. Where that is not possible, or after a
  goodbye in its name, it takes a new boot epoch.
- A suspect has less time the more accusers find it silent on their own (Lifeguard). Each counted accuser is told on.
- Another process under our name: the later epoch keeps it. The loser is silent until it learns that the other is
  gone.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

from sidecar.gossip.claims import (
    EPOCH_MAX,
    INCARNATION_MAX,
    Claim,
    Identity,
    Status,
    precedence,
)
from sidecar.gossip.events import IdentityChanged, MemberChanged, NameConflict
from sidecar.gossip.settings import confirmations_wanted, suspicion_timeout_s
from sidecar.gossip.table import Outcome
from sidecar.gossip.voice import Voice

__all__ = ["Membership"]

_OUTDATED_MAX = 64
"""Outdated deadlines that are borne beside as many as there are suspects."""


@dataclass(slots=True)
class _Suspicion:
    since_s: float
    size: int
    """n when it began."""
    deadline_s: float


class Membership:
    """Who is held how.

    Args:
        voice: What the parts share.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._suspicions: dict[str, _Suspicion] = {}
        self._deadlines: list[tuple[float, str]] = []
        """A heap of suspects by when their time runs out; holds outdated entries too, but not in the first place."""
        self._conflicts: dict[str, Identity] = {}
        self.rival: Identity | None = None
        """The process that has our name instead of us."""
        self.leaving = False
        """Whether we have said goodbye."""

    def deadline(self) -> float | None:
        """When the first suspect has run out of time."""
        return self._deadlines[0][0] if self._deadlines else None

    def hear(
        self, claim: Claim, now_s: float, *, table_of: str = "", known_there: bool = False
    ) -> None:
        """Take in a claim.

        Args:
            claim: What was said.
            now_s: The time.
            table_of: The peer from whose table it was read; empty for news and for what members say of themselves.
            known_there: Whether all others know it already, so that it is no news: we join.
        """
        voice = self._voice
        if claim.identity.node == voice.identity.node:
            self._about_us(claim)
            return
        if claim.status in (Status.DEAD, Status.LEFT):
            if claim.age_ms > voice.settings.tombstone_s * 1000:
                voice.counters["too_old"] += 1
                return
            if table_of and claim.status is Status.DEAD and self._is_reachable(claim):
                claim = claim.as_suspicion_by(table_of)
        self._apply(claim, now_s, quietly=known_there)

    def accuse(self, node: str, now_s: float) -> None:
        """Our probe found this member silent."""
        member = self._voice.table.get(node)
        if member is not None and self._voice.table.is_reachable(node):
            self._apply(member.claim.as_suspicion_by(self._voice.identity.node), now_s)

    def tick(self, now_s: float) -> None:
        """Declare dead whose time has run out."""
        while self._deadlines and self._deadlines[0][0] <= now_s:
            node = self._deadlines[0][1]
            member = self._voice.table.get(node)
            assert member is not None, node
            self._apply(replace(member.claim, status=Status.DEAD, accusers=(), age_ms=0), now_s)

    def grant(self, lateness_s: float) -> None:
        """We stood still: give suspects the time in which we could not hear them."""
        for suspicion in self._suspicions.values():
            suspicion.since_s += lateness_s
            suspicion.deadline_s += lateness_s
        self._deadlines = [(s.deadline_s, node) for node, s in self._suspicions.items()]
        heapq.heapify(self._deadlines)

    def leave(self) -> None:
        """Say goodbye."""
        self.leaving = True
        self._suspicions.clear()
        self._deadlines.clear()
        self._voice.spread(self._voice.own_claim(Status.LEFT))

    def outlive(self, epoch: int) -> None:
        """We spoke with this later epoch before: take the next one."""
        if epoch >= self._voice.identity.epoch and not self.leaving:
            self._renew(epoch)

    def forget(self, node: str) -> None:
        """Remember a node no longer, and tell nothing about it."""
        self._voice.table.forget(node)
        self._voice.news.drop(node)
        self._cease(node)

    def _is_reachable(self, claim: Claim) -> bool:
        node = claim.identity.node
        member = self._voice.table.get(node)
        return (
            member is not None
            and self._voice.table.is_reachable(node)
            and member.claim.identity == claim.identity
        )

    def _apply(self, claim: Claim, now_s: float, *, quietly: bool = False) -> None:
        voice = self._voice
        node = claim.identity.node
        applied = voice.table.apply(claim, now_s)
        if applied.evicted:
            voice.news.drop(applied.evicted)
        match applied.outcome:
            case Outcome.NOTHING:
                return
            case Outcome.REFUSED:
                voice.counters["table_full"] += 1
                return
            case Outcome.CONFIRMED:
                self._confirmed(node)
                return
            case Outcome.CHANGED:
                pass
        member = voice.table.get(node)
        assert member is not None, node
        before = applied.before
        if member.status is Status.SUSPECT:
            self._suspect(node, now_s)
        else:
            self._cease(node)
        if not quietly:
            voice.spread(voice.aged(node, now_s))
        if (
            before is None
            or before.status is not member.status
            or before.identity != member.claim.identity
        ):
            voice.effects.append(
                MemberChanged(
                    member.claim.identity,
                    None if before is None else before.status,
                    member.status,
                    member.claim.incarnation,
                    member.claim.accusers,
                )
            )

    def _suspect(self, node: str, now_s: float) -> None:
        # A suspect of a higher incarnation has refuted in between, or a table told so: its time begins anew.
        self._suspicions[node] = _Suspicion(now_s, self._voice.size, 0.0)
        self._set_deadline(node)

    def _confirmed(self, node: str) -> None:
        voice = self._voice
        member = voice.table.get(node)
        suspicion = self._suspicions.get(node)
        if member is None or suspicion is None:
            return
        if len(member.claim.accusers) - 1 <= confirmations_wanted(voice.settings, suspicion.size):
            voice.spread(member.claim)
        self._set_deadline(node)

    def _set_deadline(self, node: str) -> None:
        settings, suspicion = self._voice.settings, self._suspicions[node]
        member = self._voice.table.get(node)
        assert member is not None, node
        wanted = confirmations_wanted(settings, suspicion.size)
        confirmed = min(wanted, max(0, len(member.claim.accusers) - 1))
        timeout_s = suspicion_timeout_s(settings, suspicion.size, confirmed)
        suspicion.deadline_s = suspicion.since_s + timeout_s
        heapq.heappush(self._deadlines, (suspicion.deadline_s, node))
        self._weed()

    def _cease(self, node: str) -> None:
        """It is no suspect, or none any more."""
        if self._suspicions.pop(node, None) is not None:
            self._weed()

    def _weed(self) -> None:
        """Keep the first of the deadlines a true one, and the outdated ones few."""
        if len(self._deadlines) > 2 * len(self._suspicions) + _OUTDATED_MAX:
            self._deadlines = [(s.deadline_s, node) for node, s in self._suspicions.items()]
            heapq.heapify(self._deadlines)
        while self._deadlines:
            deadline_s, node = self._deadlines[0]
            suspicion = self._suspicions.get(node)
            if suspicion is not None and suspicion.deadline_s == deadline_s:
                return
            heapq.heappop(self._deadlines)

    def _about_us(self, claim: Claim) -> None:
        voice = self._voice
        own = voice.own_claim()
        if precedence(claim) <= precedence(own):
            if claim.identity.address != own.identity.address and claim.status is Status.ALIVE:
                self._conflict(claim.identity, lost=False)
            return
        if self.leaving:
            return
        if claim.identity == own.identity and claim.status is not Status.LEFT:
            voice.health.change(+1)
            if claim.incarnation < INCARNATION_MAX:
                self._become(own.identity, claim.incarnation + 1)
            else:
                self._renew(own.identity.epoch)
        elif claim.identity.address == own.identity.address:
            self._renew(claim.identity.epoch)
        elif claim.status in (Status.DEAD, Status.LEFT):
            self._renew(claim.identity.epoch)
        else:
            self._conflict(claim.identity, lost=True)

    def _renew(self, above_epoch: int) -> None:
        """Take a new epoch: our clock went backwards, or this life was said goodbye for."""
        if above_epoch >= EPOCH_MAX:
            self._voice.counters["epoch_exhausted"] += 1
            return
        self.rival = None
        self._become(replace(self._voice.identity, epoch=above_epoch + 1), 0)
        self._voice.effects.append(IdentityChanged(self._voice.identity))

    def _become(self, identity: Identity, incarnation: int) -> None:
        self._voice.become(identity, incarnation)
        self._voice.spread(self._voice.own_claim())

    def _conflict(self, rival: Identity, *, lost: bool) -> None:
        if self._conflicts.get(rival.address) != rival:
            if len(self._conflicts) >= 16:
                self._conflicts.clear()
            self._conflicts[rival.address] = rival
            self._voice.effects.append(NameConflict(rival, lost))
        if lost:
            self.rival = rival
            self._voice.news.drop(self._voice.identity.node)
