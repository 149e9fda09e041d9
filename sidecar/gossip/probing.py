"""Probes: one member at a time, each once before any again; and probes on behalf of others.

    ping ──ack──────────────────────────────────────────────► alive, health better
      └─ probe timeout ─► k relays and TCP ──ack via relay──► alive, health better
                                           ├─ TCP only ─────► alive, UDP degraded
                                           └─ interval over ► suspect; health worse by each relay that said nothing

Interval and timeout are stretched by local health. A relay that gets no answer in time says so (nack): the prober
learns that its own network works. Sources: SWIM section 4.3 (round robin), Lifeguard section IV-A (health, nacks),
memberlist (TCP fallback).
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.gossip import frames
from sidecar.gossip.claims import Identity
from sidecar.gossip.events import CallPeer, ProbeEnded, ProbeOutcome, UdpDegraded
from sidecar.gossip.membership import Membership
from sidecar.gossip.voice import Voice

__all__ = ["RELAYED_MAX", "Prober", "Relays"]

RELAYED_MAX = 256
"""Probes on behalf of others under way at most; further requests are passed over."""


@dataclass(slots=True)
class _Probe:
    seq: int
    target: Identity
    began_s: float
    widen_at_s: float
    """When relays and TCP are asked; infinite when they were."""
    ends_at_s: float
    relays: int = 0
    nacks: int = 0
    call: int = 0
    tcp_answered: bool = False


class Prober:
    """Our own probes.

    Args:
        voice: What the parts share.
        membership: Whom to accuse.
    """

    def __init__(self, voice: Voice, membership: Membership) -> None:
        self._voice = voice
        self._membership = membership
        self._round: list[str] = []
        self._place = 0
        self._probe: _Probe | None = None
        self._next_at_s: float | None = None

    def deadline(self) -> float | None:
        """When to go on with the probe under way, or start the next one."""
        probe = self._probe
        return min(probe.widen_at_s, probe.ends_at_s) if probe is not None else self._next_at_s

    def add(self, node: str) -> None:
        """Probe this new member too, at a random place in what is left of the round."""
        left = len(self._round) - self._place
        self._round.insert(self._place + self._voice.rng.randrange(left + 1), node)

    def check(self, node: str) -> None:
        """Others accuse this member: a few of us probe it next, so that it is confirmed, or hears of it, soon."""
        voice = self._voice
        wanted = voice.settings.checkers
        if voice.rng.random() * len(voice.table.reachable) < wanted:
            self._round.insert(self._place, node)

    def arm(self, now_s: float) -> None:
        """Start probing when there is somebody to probe, at a random time within one interval."""
        if self._next_at_s is None and self._voice.table.reachable:
            interval_s = self._voice.settings.probe_interval_s
            self._next_at_s = now_s + self._voice.rng.random() * interval_s

    def restart(self, now_s: float) -> None:
        """We stood still: what the probe under way found says nothing. Wait one full interval for what comes in."""
        self._probe = None
        if self._next_at_s is not None:
            self._next_at_s = now_s + self._voice.settings.probe_interval_s

    def stop(self) -> None:
        """Probe nobody."""
        self._probe = None
        self._next_at_s = None

    def tick(self, now_s: float) -> None:
        """Do what is due."""
        probe = self._probe
        if probe is not None and probe.ends_at_s <= now_s:
            self._conclude(probe, now_s)
            probe = None
        if probe is not None and probe.widen_at_s <= now_s:
            self._widen(probe, now_s)
        if probe is None and self._next_at_s is not None and self._next_at_s <= now_s:
            self._start(now_s)

    def acked(self, seq: int, now_s: float) -> None:
        """An answer, direct or by a relay."""
        probe = self._probe
        if probe is None or probe.seq != seq:
            return
        self._probe = None
        self._ended(probe, ProbeOutcome.ANSWERED, now_s)
        self._voice.health.change(-1)
        self._mark_udp(probe.target.node, degraded=False)

    def nacked(self, seq: int) -> None:
        """A relay had no answer either."""
        if self._probe is not None and self._probe.seq == seq:
            self._probe.nacks += 1

    def answered_over_tcp(self, call: int) -> bool:
        """The TCP probe was answered; False when the call is none of ours."""
        if self._probe is None or self._probe.call != call:
            return False
        self._probe.tcp_answered = True
        return True

    def _next_target(self) -> Identity | None:
        table = self._voice.table
        for _ in range(2):
            while self._place < len(self._round):
                node = self._round[self._place]
                self._place += 1
                member = table.get(node)
                if member is not None and table.is_reachable(node):
                    return member.claim.identity
            self._round = list(table.reachable)
            self._voice.rng.shuffle(self._round)
            self._place = 0
        return None

    def _start(self, now_s: float) -> None:
        voice = self._voice
        target = self._next_target()
        if target is None:
            self._next_at_s = None
            return
        settings, stretch = voice.settings, voice.health.score + 1
        probe = _Probe(
            voice.next_seq(),
            target,
            now_s,
            now_s + settings.probe_timeout_s * stretch,
            now_s + settings.probe_interval_s * stretch,
        )
        self._probe = probe
        self._next_at_s = probe.ends_at_s
        voice.tell(target, voice.ping(probe.seq, target.node), now_s=now_s)

    def _widen(self, probe: _Probe, now_s: float) -> None:
        voice, target = self._voice, probe.target
        probe.widen_at_s = float("inf")
        request = frames.PingRequest(probe.seq, target.node, target.address)
        for relay in voice.choose(voice.settings.relays, but=target.node, only_alive=True):
            voice.tell(relay, request, now_s=now_s)
            probe.relays += 1
        if voice.settings.tcp_fallback:
            probe.call = voice.next_call()
            ping = voice.ping(probe.seq, target.node)
            body = frames.encode(voice.sender, [frames.encode_message(ping)])
            timeout_s = max(0.05, probe.ends_at_s - now_s)
            voice.effects.append(CallPeer(probe.call, target.address, body, timeout_s))

    def _conclude(self, probe: _Probe, now_s: float) -> None:
        self._probe = None
        voice, node = self._voice, probe.target.node
        if probe.tcp_answered:
            self._ended(probe, ProbeOutcome.TCP, now_s)
            self._mark_udp(node, degraded=True)
            return
        self._ended(probe, ProbeOutcome.SILENT, now_s)
        voice.health.change(probe.relays - min(probe.nacks, probe.relays) if probe.relays else +1)
        member = voice.table.get(node)
        if member is not None and member.claim.identity == probe.target:
            self._membership.accuse(node, now_s)

    def _ended(self, probe: _Probe, outcome: ProbeOutcome, now_s: float) -> None:
        took_s = now_s - probe.began_s
        self._voice.effects.append(ProbeEnded(probe.target.node, outcome, took_s))

    def _mark_udp(self, node: str, *, degraded: bool) -> None:
        member = self._voice.table.get(node)
        if member is not None and member.udp_degraded is not degraded:
            member.udp_degraded = degraded
            self._voice.effects.append(UdpDegraded(node, degraded))


@dataclass(slots=True)
class _Relayed:
    origin: Identity
    origin_seq: int
    nack_at_s: float
    """Infinite when the nack was sent."""
    forget_at_s: float


class Relays:
    """Probes on behalf of others.

    Args:
        voice: What the parts share.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._relayed: dict[int, _Relayed] = {}

    def __len__(self) -> int:
        return len(self._relayed)

    def deadline(self) -> float | None:
        """When the next nack is due, or an entry is to be forgotten."""
        return min((min(r.nack_at_s, r.forget_at_s) for r in self._relayed.values()), default=None)

    def ask(self, request: frames.PingRequest, origin: Identity, now_s: float) -> None:
        """Probe for somebody."""
        voice, settings = self._voice, self._voice.settings
        if len(self._relayed) >= RELAYED_MAX:
            voice.counters["relay_full"] += 1
            return
        seq = voice.next_seq()
        self._relayed[seq] = _Relayed(
            origin,
            request.seq,
            now_s + settings.probe_timeout_s,
            now_s + settings.probe_timeout_s + settings.probe_interval_s,
        )
        member = voice.table.get(request.node)
        known = None if member is None else member.claim.identity
        target = known or Identity(request.node, request.address, 0)
        voice.tell(target, voice.ping(seq, request.node), now_s=now_s)

    def acked(self, seq: int, now_s: float) -> bool:
        """Pass an answer on; False when it is to none of these pings."""
        relayed = self._relayed.pop(seq, None)
        if relayed is None:
            return False
        ack = self._voice.ack(relayed.origin_seq)
        self._voice.tell(relayed.origin, ack, now_s=now_s)
        return True

    def tick(self, now_s: float) -> None:
        """Send nacks that are due; forget what is over."""
        for relayed in self._relayed.values():
            if relayed.nack_at_s <= now_s:
                relayed.nack_at_s = float("inf")
                self._voice.tell(relayed.origin, frames.Nack(relayed.origin_seq), now_s=now_s)
        over = [seq for seq, r in self._relayed.items() if r.forget_at_s <= now_s]
        for seq in over:
            del self._relayed[seq]

    def clear(self) -> None:
        """Probe for nobody any more."""
        self._relayed.clear()
