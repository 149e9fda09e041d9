"""Settings of gossip and the formulas that scale them with the size of the mesh.

Letters as in the papers: n members (with ourselves), P probe interval, k confirmations wanted, C confirmations had.
Sources: SWIM (Das 2002), Lifeguard (arXiv 1707.00788), memberlist's LAN profile as the point of departure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "LAN",
    "GossipSettings",
    "confirmations_wanted",
    "retransmit_limit",
    "scaled_gap_s",
    "standing_gap_s",
    "suspicion_min_s",
    "suspicion_timeout_s",
]


@dataclass(frozen=True, slots=True)
class GossipSettings:
    """Everything that may be turned. Defaults are for hosts of one region."""

    probe_interval_s: float = 1.0
    """One member is probed in each. Longer: slower detection, less traffic."""
    probe_timeout_s: float = 0.4
    """Wait for a direct answer before relays and TCP are asked. Should exceed the 99th percentile of the round trip."""
    relays: int = 3
    """Members asked to probe on our behalf."""
    tcp_fallback: bool = True
    """Also ask over TCP, so that blocked UDP kills nobody."""
    suspicion_mult: int = 2
    """Shortest suspicion in probe intervals, times log10(n). Half of memberlist's: three confirmations are wanted
    instead of two, and suspects are probed out of turn, so that who can refute does so sooner."""
    suspicion_max_mult: int = 6
    """Longest suspicion (nobody confirms), as a multiple of the shortest."""
    confirmations: int = 3
    """Independent accusers wanted, beside the first, for the shortest suspicion."""
    checkers: int = 6
    """Members of the whole mesh that probe a new suspect out of turn: twice the confirmations wanted."""
    health_max: int = 8
    """Local health scores run from 0 to one less; the probe interval and timeout are multiplied by score + 1."""
    stall_s: float = 0.5
    """A timer later than this says that we stood still: what we believe about others is old by as much."""
    tells_accused: bool = True
    """Buddy system: whoever is held suspect or dead hears so in the first frame that we send to it."""
    gossip_interval_s: float = 0.2
    """Between rounds of dissemination while there is something to tell; no timer otherwise."""
    gossip_fanout: int = 3
    """Members told in each round."""
    retransmit_mult: int = 4
    """Times that each piece of news is sent, times the rounded-up log10(n + 1)."""
    gossip_to_dead_s: float = 30.0
    """How long the dead are still told news, so that they may refute."""
    exchange_gap_s: float = 3.0
    """Shortest time between exchanges of tables that differing digests cause, for up to 32 members."""
    record_exchange_gap_s: float = 3.0
    """Shortest time between exchanges of records that differing digests cause, for up to 32 members."""
    evidence_ttl_s: float = 15.0
    """Age at which evidence dies unless its host renews it."""
    standing_gap_s: float = 1.0
    """Shortest time between two words of a host on its standing, for up to 32 members; longer in larger meshes."""
    news_bytes_per_s: float = 12_500.0
    """What news may cost, headers included; with a round begun in time, answers and probes: 20 kB in a second."""
    verifications_per_s: float = 1000.0
    """Signatures verified at most: an eighth of a core. Beyond, records are passed over; exchanges repair that."""
    records_max: int = 20_000
    """Records held; beyond, the oldest evidence goes, then newcomers are refused."""
    announce_interval_s: float = 30.0
    """Between attempts to reach members that are down, and seeds that are not members."""
    tombstone_s: float = 86_400.0
    """How long the dead and the left are remembered; older rows of others are refused."""
    forget_after_s: float = 43_200.0
    """Who stood still for longer than this forgets the others and joins anew: half the life of a tombstone."""
    join_retry_s: float = 1.0
    """First wait while alone with seeds unanswered; doubled up to the announce interval."""
    leave_s: float = 5.0
    """Longest time that a goodbye takes."""
    members_max: int = 10_000
    """Nodes remembered, tombstones included; beyond, the oldest tombstones go, then newcomers are refused."""


LAN = GossipSettings()
"""Hosts of one region."""


def suspicion_min_s(settings: GossipSettings, n: int) -> float:
    """Shortest suspicion: mult * max(1, log10(n)) * P, in seconds."""
    return settings.suspicion_mult * max(1.0, math.log10(max(1, n))) * settings.probe_interval_s


def confirmations_wanted(settings: GossipSettings, n: int) -> int:
    """k: as set, or none where there are too few others to confirm (n - 2 < k)."""
    k = settings.confirmations
    return 0 if n - 2 < k else k


def suspicion_timeout_s(settings: GossipSettings, n: int, confirmed: int) -> float:
    """How long a suspect has, from its first accusation, after so many confirmations (C).

    max - log(C + 1) / log(k + 1) * (max - min), never below min, in whole milliseconds. Source: Lifeguard, section
    IV-B.
    """
    shortest = suspicion_min_s(settings, n)
    k = confirmations_wanted(settings, n)
    if k == 0:
        return shortest
    longest = shortest * settings.suspicion_max_mult
    share = math.log(confirmed + 1) / math.log(k + 1)
    return max(shortest, math.floor((longest - share * (longest - shortest)) * 1000) / 1000)


def retransmit_limit(settings: GossipSettings, n: int) -> int:
    """Times that one piece of news is sent: mult * ceil(log10(n + 1))."""
    return settings.retransmit_mult * math.ceil(math.log10(n + 1))


def scaled_gap_s(gap_s: float, n: int) -> float:
    """A gap between exchanges, longer in large meshes: times ceil(log2(n / 32)) + 1 above 32 members."""
    return gap_s if n <= 32 else gap_s * (math.ceil(math.log2(n / 32)) + 1)


def standing_gap_s(settings: GossipSettings, n: int) -> float:
    """Shortest time between two words of one host on its standing: in proportion to n above 32 members.

    So at most 32 hosts a second have something new to say of theirs, however large the mesh.
    """
    return settings.standing_gap_s * max(1.0, n / 32)
