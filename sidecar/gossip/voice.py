"""What the parts of gossip share: who we are, what we hold, and the way out.

Every frame that leaves carries our identity, which is a claim about ourselves; then what its part wants to say;
then, to a member that is not held alive as it may believe, what we hold about it (buddy system, Lifeguard section
IV-C); then as much news as fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableSequence, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from sidecar.gossip import frames
from sidecar.gossip.budget import Pace
from sidecar.gossip.claims import Claim, Identity, Status
from sidecar.gossip.dissemination import Dissemination
from sidecar.gossip.events import Effect, SendDatagram
from sidecar.gossip.holdings import Holdings
from sidecar.gossip.keyring import SEAL_BYTES
from sidecar.gossip.lanes import Lane, Lanes
from sidecar.gossip.settings import GossipSettings, retransmit_limit
from sidecar.gossip.table import Table, digest_of

__all__ = ["HEADER_BYTES", "PROBE_BYTES_MAX", "LocalHealth", "Randomness", "Voice"]

_T = TypeVar("_T")
PROBE_BYTES_MAX = 300
"""How far news may fill probes and answers, unsealed: those pass where large datagrams are lost."""
HEADER_BYTES = SEAL_BYTES + 28
"""What a body costs on its way beside itself: sealing, UDP, IPv4."""


class Randomness(Protocol):
    """A seeded source of randomness (`random.Random`)."""

    def random(self) -> float:
        """A number from 0 to below 1."""

    def randrange(self, stop: int, /) -> int:
        """A whole number from 0 to below `stop`."""

    def sample(self, population: Sequence[_T], k: int) -> list[_T]:
        """So many different ones."""

    def shuffle(self, x: MutableSequence[_T]) -> None:
        """Mix in place."""


class LocalHealth:
    """How far we trust ourselves: 0 well, up to `health_max - 1`. Source: Lifeguard, section IV-A."""

    def __init__(self, health_max: int) -> None:
        self._highest = health_max - 1
        self.score = 0
        """Probes take (score + 1) times as long."""

    def change(self, by: int) -> None:
        """Worse by so much, or better (negative)."""
        self.score = min(self._highest, max(0, self.score + by))


class Voice:
    """What the parts share.

    Args:
        identity: Who we are in this life.
        settings: What may be turned.
        rng: Seeded randomness.
    """

    def __init__(self, identity: Identity, settings: GossipSettings, rng: Randomness) -> None:
        self.settings = settings
        self.rng = rng
        self.sender = frames.Sender(identity, 0)
        """Identity and incarnation that every frame carries."""
        self.table = Table(settings.members_max)
        self.news = Dissemination(settings.members_max)
        """Claims that are told."""
        self.lanes = Lanes(
            {
                Lane.MEMBERS: self.news,
                Lane.EVIDENCE: Dissemination(settings.records_max),
                Lane.WORDS: Dissemination(settings.records_max),
            }
        )
        """All that is told, claims among them."""
        self.pace = Pace(settings.news_bytes_per_s)
        """What news may cost."""
        self.is_urgent = False
        """Whether there is evidence that should not wait for the next round."""
        self.holdings = Holdings(settings.records_max, settings.evidence_ttl_s)
        self.health = LocalHealth(settings.health_max)
        self.effects: list[Effect] = []
        """Of the event being handled."""
        self.counters: Counter[str] = Counter()
        """What was passed over and why."""
        self._seq = rng.randrange(1 << 31)
        self._calls = 0

    @property
    def identity(self) -> Identity:
        """Who we are."""
        return self.sender.identity

    @property
    def size(self) -> int:
        """n: members held alive or suspect, and ourselves."""
        return len(self.table.reachable) + 1

    @property
    def digest(self) -> int:
        """Of all members that we hold, ourselves included; equal tables have equal digests."""
        return self.table.digest ^ digest_of(self.own_claim())

    def own_claim(self, status: Status = Status.ALIVE) -> Claim:
        """What we say about ourselves."""
        return Claim(self.identity, status, self.sender.incarnation)

    def become(self, identity: Identity, incarnation: int) -> None:
        """Speak as this from now on."""
        self.sender = replace(self.sender, identity=identity, incarnation=incarnation)

    def ping(self, seq: int, node: str) -> frames.Ping:
        """A ping to this node, with our digests."""
        return frames.Ping(seq, node, self.digest, self.holdings.digest)

    def ack(self, seq: int) -> frames.Ack:
        """The answer to a ping, with our digests."""
        return frames.Ack(seq, self.digest, self.holdings.digest)

    def tellings(self) -> int:
        """Times that each piece of news is told by each member; exchanges repair what is missed."""
        return retransmit_limit(self.settings, self.size)

    def next_seq(self) -> int:
        """A sequence number for a ping."""
        self._seq = (self._seq + 1) % (1 << 32)
        return self._seq

    def next_call(self) -> int:
        """A number for a call."""
        self._calls += 1
        return self._calls

    def choose(self, count: int, *, but: str = "", only_alive: bool = False) -> list[Identity]:
        """So many random members that are held alive or suspect."""
        reachable = self.table.reachable
        chosen: list[Identity] = []
        for node in self.rng.sample(reachable, min(len(reachable), 3 * count + 1)):
            member = self.table.get(node)
            assert member is not None, node
            if node != but and not (only_alive and member.status is not Status.ALIVE):
                chosen.append(member.claim.identity)
        return chosen[:count]

    def spread(self, claim: Claim) -> None:
        """Tell others what we hold now."""
        self.news.put(claim.identity.node, frames.encode_message(claim))

    def tell(self, to: Identity, *messages: frames.Message, now_s: float) -> None:
        """Send a datagram: these messages, what we hold about the receiver, and news."""
        parts = [frames.encode_message(message) for message in messages]
        accusation = self.about(to, now_s)
        if accusation is not None:
            parts.append(frames.encode_message(accusation))
        self._send(to.address, parts, PROBE_BYTES_MAX, now_s)

    def tell_news(self, to: Identity, now_s: float) -> int:
        """Send a datagram of news alone, where there is some; what it cost in bytes, headers included."""
        accusation = self.about(to, now_s)
        parts = [] if accusation is None else [frames.encode_message(accusation)]
        return self._send(to.address, parts, frames.BODY_BYTES_MAX, now_s, only_news=True)

    def send_alone(self, address: str, encoded: bytes) -> None:
        """Send a datagram of one encoded message, without news."""
        self._emit(address, frames.encode(self.sender, [encoded]))

    def about(self, to: Identity, now_s: float) -> Claim | None:
        """What this one should know about itself: that it is accused, or that another bears its name."""
        member = self.table.get(to.node)
        if member is None or not self.settings.tells_accused:
            return None
        if member.status is Status.ALIVE and member.claim.identity == to:
            return None
        return self.aged(to.node, now_s)

    def aged(self, node: str, now_s: float) -> Claim:
        """The claim about a member as it is passed on: that of one that is down with its age."""
        member = self.table.get(node)
        assert member is not None, node
        if member.status in (Status.DEAD, Status.LEFT):
            return replace(member.claim, age_ms=max(0, int((now_s - member.since_s) * 1000)))
        return member.claim

    def _send(
        self,
        address: str,
        parts: list[bytes],
        bytes_max: int,
        now_s: float,
        *,
        only_news: bool = False,
    ) -> int:
        bare = frames.encode(self.sender, parts)
        news = self.lanes.take(bytes_max - len(bare), self.tellings(), now_s) if self.lanes else []
        if news:
            bare = frames.encode(self.sender, [*parts, *news])
        elif only_news:
            return 0
        return self._emit(address, bare)

    def _emit(self, address: str, body: bytes) -> int:
        if len(body) > frames.BODY_BYTES_MAX:
            self.counters["oversize"] += 1
            return 0
        self.effects.append(SendDatagram(address, body))
        return len(body) + HEADER_BYTES
