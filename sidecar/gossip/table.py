"""The members table: what is held about each node, and the digest that tells whether two tables agree.

Knows claims and their order, no time outs and no messages. `apply` is the only way in.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from dataclasses import dataclass
from enum import Enum

from sidecar.gossip.claims import Claim, Status, merge, precedence

__all__ = ["Applied", "Member", "Outcome", "Table", "digest32", "digest_of"]

_OUTDATED_MAX = 64
"""Outdated entries of the heap of tombstones that are borne beside as many as there are tombstones."""


@dataclass(slots=True)
class Member:
    """What is held about a node."""

    claim: Claim
    since_s: float
    """When its status or identity last changed."""
    udp_degraded: bool = False
    """It answered its last probe over TCP only."""
    place: int = -1
    """Among those that are reachable; -1: it is none of them. The table's own."""

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
        self._addresses: Counter[str] = Counter()
        self._down: dict[str, None] = {}
        self._tombstones: list[tuple[float, str]] = []
        """A heap of those that are down by their time; holds outdated entries too."""
        self.digest = 0
        """Of all members held alive or suspect; ours not included."""
        self.forgotten: list[str] = []
        """Nodes remembered no longer; whoever keeps something of them takes them out."""

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
        member = self._members.get(node)
        return member is not None and member.place >= 0

    def has_address(self, address: str) -> bool:
        """Whether a member that is held alive or suspect has this address."""
        return address in self._addresses

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
            member = Member(claim, now_s - claim.age_ms / 1000)
            self._members[node] = member
            self._index(member)
            return Applied(Outcome.CHANGED, None, evicted)
        before = member.claim
        merged = merge(before, claim)
        if merged is before:
            return Applied(Outcome.NOTHING, before)
        if precedence(merged) != precedence(before):
            self._unindex(member)
            if merged.status is not before.status or merged.identity != before.identity:
                member.since_s = now_s - claim.age_ms / 1000
                member.udp_degraded = False
            member.claim = merged
            self._index(member)
            return Applied(Outcome.CHANGED, before)
        if merged.accusers != before.accusers:
            member.claim = merged
            return Applied(Outcome.CONFIRMED, before)
        return Applied(Outcome.NOTHING, before)

    def forget(self, node: str) -> None:
        """Remember a node no longer."""
        self._unindex(self._members[node])
        del self._members[node]
        self.forgotten.append(node)

    def _oldest_tombstone(self) -> str:
        while self._tombstones:
            since_s, node = heapq.heappop(self._tombstones)
            if node in self._down and self._members[node].since_s == since_s:
                return node
        return ""

    def _index(self, member: Member) -> None:
        who = member.claim.identity
        if member.status in (Status.ALIVE, Status.SUSPECT):
            member.place = len(self._reachable)
            self._reachable.append(who.node)
            self._addresses[who.address] += 1
            self.digest ^= digest_of(member.claim)
            return
        self._down[who.node] = None
        heapq.heappush(self._tombstones, (member.since_s, who.node))
        if len(self._tombstones) > 2 * len(self._down) + _OUTDATED_MAX:
            self._tombstones = [(self._members[node].since_s, node) for node in self._down]
            heapq.heapify(self._tombstones)

    def _unindex(self, member: Member) -> None:
        who = member.claim.identity
        if member.place < 0:
            del self._down[who.node]
            return
        # The last one takes the free place: removal costs the same in any mesh.
        last = self._reachable.pop()
        if last != who.node:
            self._reachable[member.place] = last
            self._members[last].place = member.place
        member.place = -1
        self._addresses[who.address] -= 1
        if not self._addresses[who.address]:
            del self._addresses[who.address]
        self.digest ^= digest_of(member.claim)


def digest_of(claim: Claim) -> int:
    """What one member adds to a digest: 32 bits of its name, epoch and incarnation; status is no part of it."""
    who = claim.identity
    return digest32(f"{who.node}\0{who.epoch}\0{claim.incarnation}")


def digest32(text: str) -> int:
    """32 bits of a text, to be combined by exclusive or.

    A checksum would not do: it is linear, so that the texts of four nodes named alike (`n0` to `n3`) cancel out.
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
