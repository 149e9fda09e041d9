"""What is said about a member, and which of two sayings prevails.

A member is an identity: node, address, boot epoch. A claim says in which state its teller holds an identity, at which
incarnation. Claims about one node are totally ordered, and merging takes the greater one, so that merging is
commutative, associative and idempotent: members that have heard the same claims, in any order and any number of
times, hold the same.

Order: boot epoch, then address (settles two processes under one name), then *left* (terminal for its identity), then
incarnation, then alive < suspect < dead. Source: SWIM (Das 2002), section 4.2; *left* as in memberlist.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = [
    "ACCUSERS_MAX",
    "EPOCH_MAX",
    "INCARNATION_MAX",
    "Claim",
    "Identity",
    "Status",
    "merge",
    "precedence",
]

INCARNATION_MAX = 1 << 20
"""Refutations within one life. Claims beyond are refused unread; who would have to go beyond takes a new epoch, so no
forged accusation can wrap the counter."""

EPOCH_MAX = 1 << 52
"""Boot epochs are about milliseconds since 1970; the bound leaves room above for lives to come."""

ACCUSERS_MAX = 6
"""Names of accusers that a claim carries: more than the confirmations that are
waited for, few enough that the longest claim fits a datagram beside a ping."""


class Status(StrEnum):
    """How a member is held."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    """Did not answer; has time to refute."""
    DEAD = "dead"
    """Did not refute in time. May still do so, by a higher incarnation."""
    LEFT = "left"
    """Said goodbye. Terminal for its identity; the node may return with a later epoch."""


_RANK = {Status.ALIVE: 0, Status.SUSPECT: 1, Status.DEAD: 2, Status.LEFT: 3}


@dataclass(frozen=True, slots=True)
class Identity:
    """One life of one node."""

    node: str
    """Name of the host in the mesh."""
    address: str
    """`address:port` of its gossip, as it announces it."""
    epoch: int
    """Boot epoch: greater in each life of the node."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody says about an identity."""

    identity: Identity
    status: Status
    incarnation: int
    """Raised by the subject only, to overrule what was said about it."""
    accusers: tuple[str, ...] = ()
    """Nodes that found the subject silent themselves, sorted; of a suspect only."""
    age_ms: int = 0
    """How long the teller has held a dead or left member so, in milliseconds. No part of the order."""

    def as_suspicion_by(self, accuser: str) -> Claim:
        """The same identity and incarnation, held suspect by this accuser."""
        return replace(self, status=Status.SUSPECT, accusers=(accuser,), age_ms=0)


def precedence(claim: Claim) -> tuple[int, str, bool, int, int]:
    """The place of a claim in the order of claims about its node; the greater one prevails."""
    return (
        claim.identity.epoch,
        claim.identity.address,
        claim.status is Status.LEFT,
        claim.incarnation,
        _RANK[claim.status],
    )


def merge(one: Claim, other: Claim) -> Claim:
    """The claim that prevails, both being about the same node; equal suspicions unite their accusers."""
    mine, theirs = precedence(one), precedence(other)
    if mine != theirs:
        return one if mine > theirs else other
    if one.accusers == other.accusers and one.age_ms >= other.age_ms:
        return one
    accusers = tuple(sorted({*one.accusers, *other.accusers})[:ACCUSERS_MAX])
    age_ms = max(one.age_ms, other.age_ms)
    return replace(one, accusers=accusers, age_ms=age_ms)
