"""The members table: what is held about each node, and the digest that tells whether two tables agree.

Knows claims and their order, no time outs and no messages. `apply` is the only way in.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import Enum

from sidecar.gossip.claims import Claim, Status, merge, precedence

__all__ = ["Applied", "Member", "Outcome", "Table", "digest_of"]


@dataclass(slots=True)
class Member:
    """What is held about a node."""

    claim: Claim
    since_s: float
    """When its status or identity last changed."""
    udp_degraded: bool = False
    """It answered its last probe over TCP only."""

    @property
    def status(self) -> Status:
        """How it is held."""
        return self.claim.status


class Outcome(Enum):
    """What a claim did to the table."""

    NOTHING = "nothing"
    """It was known, or overruled by what is known."""
    REFUSED = "refused"
    """The table is full, or the row too old."""
    CHANGED = "changed"
    """The member is new, or held otherwise, or of a higher incarnation."""
    CONFIRMED = "confirmed"
    """A suspect has got more accusers."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a claim did, and what was held before."""

    outcome: Outcome
    before: Claim | None
    evicted: str = ""
    """The node whose tombstone made room."""


class Table:
    """All other nodes by name, in the order in which they became known.

    Args:
        members_max: Nodes remembered at most.
    """

    def __init__(self, members_max: int) -> None:
        self._members_max = members_max
        self._members: dict[str, Member] = {}
        self._reachable: list[str] = []
        self._place: dict[str, int] = {}
        self._down: dict[str, None] = {}
        self.digest = 0
        """Of all members held alive or suspect; ours not included."""

    def __len__(self) -> int:
        return len(self._members)

    def get(self, node: str) -> Member | None:
        """What is held about a node."""
        return self._members.get(node)

    def all(self) -> list[Member]:
        """Every node remembered."""
        return list(self._members.values())

    @property
    def reachable(self) -> list[str]:
        """Nodes held alive or suspect. Not to be changed by the caller."""
        return self._reachable

    def is_reachable(self, node: str) -> bool:
        """Whether it is held alive or suspect."""
        return node in self._place

    @property
    def down(self) -> list[str]:
        """Nodes held dead or left."""
        return list(self._down)

    def apply(self, claim: Claim, now_s: float) -> Applied:
        """Merge a claim about another node. A dead or left one counts from `age_ms` ago."""
        node = claim.identity.node
        member = self._members.get(node)
        if member is None:
            evicted = ""
            if len(self._members) >= self._members_max:
                evicted = self._oldest_tombstone()
                if not evicted:
                    return Applied(Outcome.REFUSED, None)
                self.forget(evicted)
            self._members[node] = Member(claim, now_s - claim.age_ms / 1000)
            self._index(claim)
            return Applied(Outcome.CHANGED, None, evicted)
        before = member.claim
        merged = merge(before, claim)
        if precedence(merged) != precedence(before):
            self._unindex(before)
            if merged.status is not before.status or merged.identity != before.identity:
                member.since_s = now_s - claim.age_ms / 1000
                member.udp_degraded = False
            member.claim = merged
            self._index(merged)
            return Applied(Outcome.CHANGED, before)
        if merged.accusers != before.accusers:
            member.claim = merged
            return Applied(Outcome.CONFIRMED, before)
        return Applied(Outcome.NOTHING, before)

    def forget(self, node: str) -> None:
        """Remember a node no longer."""
        member = self._members.pop(node)
        self._unindex(member.claim)

    def _oldest_tombstone(self) -> str:
        return min(self._down, key=lambda node: self._members[node].since_s, default="")

    def _index(self, claim: Claim) -> None:
        node = claim.identity.node
        if claim.status in (Status.ALIVE, Status.SUSPECT):
            self._place[node] = len(self._reachable)
            self._reachable.append(node)
            self.digest ^= digest_of(claim)
        else:
            self._down[node] = None

    def _unindex(self, claim: Claim) -> None:
        node = claim.identity.node
        if claim.status in (Status.ALIVE, Status.SUSPECT):
            # The last one takes the free place: removal costs the same in any mesh.
            place = self._place.pop(node)
            last = self._reachable.pop()
            if last != node:
                self._reachable[place] = last
                self._place[last] = place
            self.digest ^= digest_of(claim)
        else:
            self._down.pop(node, None)


def digest_of(claim: Claim) -> int:
    """What one member adds to a digest: 32 bits of its name, epoch and incarnation; status is no part of it."""
    who = claim.identity
    return zlib.crc32(f"{who.node}\0{who.epoch}\0{claim.incarnation}".encode())
