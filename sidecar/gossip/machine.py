"""The core of gossip: events in, effects out. Decides who is a member of the mesh and how each is held.

Knows no clock, no socket and no key. The shell tells it what comes in and when a deadline has come, and does what
it asks for. Parts: `probing` finds out who is silent, `membership` decides what that means, `exchanging` keeps
tables equal, `dissemination` holds news, `voice` speaks. This module only passes events on and keeps the time.

Sources: SWIM (Das, Gupta, Motivala 2002), Lifeguard (Dadgar, Phillips, Currey, arXiv 1707.00788), memberlist.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import assert_never

from sidecar.gossip import events as on
from sidecar.gossip import frames
from sidecar.gossip.claims import Claim, Identity, Status
from sidecar.gossip.exchanging import Exchanger
from sidecar.gossip.membership import Membership
from sidecar.gossip.probing import Prober, Relays
from sidecar.gossip.settings import LAN, GossipSettings
from sidecar.gossip.signing import Signer
from sidecar.gossip.voice import Randomness, Voice

__all__ = ["Gossip", "GossipView", "MemberView"]

_DIED_MAX = 1024
"""Deaths of the last moments that are remembered: so that the dead can be told. More are not told in that time."""


@dataclass(frozen=True, slots=True)
class MemberView:
    """How a member is held."""

    identity: Identity
    status: Status
    incarnation: int
    since_s: float
    """When it came to be held so; a time of the shell's clock."""
    accusers: tuple[str, ...]
    """Of a suspect: who found it silent."""
    udp_degraded: bool
    """It answers over TCP only."""


@dataclass(frozen=True, slots=True)
class GossipView:
    """What gossip holds."""

    identity: Identity
    incarnation: int
    members: tuple[MemberView, ...]
    """All others, those that are down included."""
    digest: int
    """Equal where the same members are held alive or suspect."""
    health: int
    """Local health score; 0 is well."""
    queued: int
    """Pieces of news still to be told."""
    relaying: int
    """Probes on behalf of others under way."""
    rival: Identity | None
    """Who has our name instead of us."""
    has_left: bool
    counters: tuple[tuple[str, int], ...]
    """What was passed over, by reason."""

    def names(self, *statuses: Status) -> frozenset[str]:
        """Nodes held so."""
        return frozenset(m.identity.node for m in self.members if m.status in statuses)


class Gossip:
    """One member of the mesh.

    Args:
        identity: Who we are; the epoch must be greater than that of any earlier life, as far as is known.
        rng: Seeded randomness (`random.Random`).
        settings: What may be turned.
        signer: Signs what this host says; without it, it says no records, and holds those of others all the same.
        mesh_id: Name of the mesh, bound into each signature.
    """

    def __init__(
        self,
        identity: Identity,
        rng: Randomness,
        settings: GossipSettings = LAN,
        *,
        signer: Signer | None = None,
        mesh_id: str = "",
    ) -> None:
        self._signer, self._mesh_id = signer, mesh_id
        self._voice = Voice(identity, settings, rng)
        self._membership = Membership(self._voice)
        self._prober = Prober(self._voice, self._membership)
        self._relays = Relays(self._voice)
        self._exchanger = Exchanger(self._voice, self._membership)
        self._gossip_at_s: float | None = None
        self._gossiped_at_s = float("-inf")
        self._died: deque[tuple[float, str]] = deque(maxlen=_DIED_MAX)
        """Who was declared dead, and when; the latest last."""
        self._leave_by_s: float | None = None
        self._has_started = False
        self._has_left = False
        self._due_s: float | None = None

    def deadline(self) -> float | None:
        """When to say `TimePassed` if nothing else happens; None: not before something does."""
        return self._due_s

    @property
    def digest(self) -> int:
        """Equal where the same members are held alive or suspect; cheaper than a snapshot."""
        return self._voice.digest

    def snapshot(self) -> GossipView:
        """What is held now."""
        voice = self._voice
        members = tuple(
            MemberView(
                m.claim.identity,
                m.status,
                m.claim.incarnation,
                m.since_s,
                m.claim.accusers,
                m.udp_degraded,
            )
            for m in voice.table.all()
        )
        return GossipView(
            voice.identity,
            voice.sender.incarnation,
            members,
            voice.digest,
            voice.health.score,
            len(voice.news),
            len(self._relays),
            self._membership.rival,
            self._has_left,
            tuple(sorted(voice.counters.items())),
        )

    def handle(self, event: on.Event, now_s: float) -> list[on.Effect]:
        """Take in what happened.

        Args:
            event: What happened.
            now_s: Monotonic seconds; never less than before.

        Returns:
            What the shell is to do, in order.
        """
        effects: list[on.Effect] = []
        self._voice.effects = effects
        if self._has_left:
            return effects
        if self._due_s is not None and now_s - self._due_s > self._voice.settings.stall_s:
            self._stood_still(now_s - self._due_s, now_s)
        self._take(event, now_s)
        self._tick(now_s)
        for effect in effects:
            if isinstance(effect, on.MemberChanged):
                self._follow(effect, now_s)
        self._due_s = self._next_deadline(now_s)
        return effects

    def _follow(self, change: on.MemberChanged, now_s: float) -> None:
        """Let the prober know whom to probe, and remember whom to tell that it died."""
        if change.after is Status.DEAD:
            self._died.append((now_s, change.identity.node))
        if _has_become_reachable(change):
            self._prober.add(change.identity.node)
        elif change.after is Status.SUSPECT and self._voice.identity.node not in change.accusers:
            self._prober.check(change.identity.node)

    def _take(self, event: on.Event, now_s: float) -> None:
        match event:
            case on.Started():
                self._has_started = True
                self._exchanger.start(now_s)
            case on.TimePassed():
                pass
            case on.DatagramReceived(body):
                self._received(body, now_s)
            case on.PeerCalled(call, body):
                self._called(call, body, now_s)
            case on.PeerAnswered(call, body):
                self._answered(call, body, now_s)
            case on.PeerFailed(call):
                self._exchanger.failed(call)
            case on.SeedsFound(addresses):
                if not self._membership.leaving:
                    self._exchanger.seeds_found(addresses, now_s)
            case on.LeaveAsked():
                self._leave(now_s)
            case on.SayRecord() | on.AskRecords() | on.TrustSet():
                self._voice.counters["records_to_come"] += 1
            case _:
                assert_never(event)

    def _received(self, body: bytes, now_s: float) -> None:
        frame = self._read(body, None, now_s)
        if frame is None:
            return
        if frame.sender.identity.node == self._voice.identity.node:
            return  # Another process of our name, or an echo: all that it can tell us is that it is there.
        for message in frame.messages:
            self._heard(message, frame, now_s)

    def _heard(self, message: frames.Message, frame: frames.Frame, now_s: float) -> None:
        voice, sender = self._voice, frame.sender.identity
        match message:
            case frames.Ping():
                if message.node == voice.identity.node and self._membership.rival is None:
                    voice.tell(sender, frames.Ack(message.seq, voice.digest), now_s=now_s)
            case frames.Ack():
                if not self._relays.acked(message.seq, now_s):
                    self._prober.acked(message.seq)
                if not self._membership.leaving:
                    self._exchanger.digest_seen(sender, message.digest, now_s)
            case frames.Nack():
                self._prober.nacked(message.seq)
            case frames.PingRequest():
                self._relays.ask(message, sender, now_s)
            case Claim():
                self._membership.hear(message, now_s)
            case frames.Exchange() | frames.Refusal():
                voice.counters["out_of_place"] += 1
            case _:
                assert_never(message)

    def _called(self, call: int, body: bytes, now_s: float) -> None:
        frame = self._read(body, call, now_s)
        if frame is None:
            return
        match frame.messages:
            case (frames.Exchange(), *_):
                self._exchanger.asked(call, frame, now_s)
            case (frames.Ping() as ping, *_) if ping.node == self._voice.identity.node:
                ack = frames.encode_message(frames.Ack(ping.seq, self._voice.digest))
                self._voice.effects.append(
                    on.AnswerPeer(call, frames.encode(self._voice.sender, [ack]))
                )
            case _:
                self._voice.counters["out_of_place"] += 1

    def _answered(self, call: int, body: bytes, now_s: float) -> None:
        frame = self._read(body, None, now_s)
        if frame is None:
            self._exchanger.failed(call)
        elif not self._prober.answered_over_tcp(call):
            self._exchanger.answered(call, frame, now_s)

    def _read(self, body: bytes, call: int | None, now_s: float) -> frames.Frame | None:
        """The frame, when it is one and its sender speaks our protocol; its sender is alive then."""
        voice = self._voice
        frame = frames.decode(body)
        if frame is None:
            voice.counters["no_frame"] += 1
            return None
        if frame.ignored:
            voice.counters["unknown_message"] += frame.ignored
        sender = frame.sender
        if sender.newest < frames.PROTOCOL_OLDEST or sender.oldest > frames.PROTOCOL:
            voice.counters["other_protocol"] += 1
            self._exchanger.refuse(call, sender)
            return None
        if sender.identity == voice.identity:
            voice.counters["echo"] += 1
            return None
        member = voice.table.get(sender.identity.node)
        known = None if member is None else member.claim
        if (
            known is None
            or known.identity != sender.identity
            or known.incarnation < sender.incarnation
        ):
            self._membership.hear(Claim(sender.identity, Status.ALIVE, sender.incarnation), now_s)
        return frame

    def _leave(self, now_s: float) -> None:
        if self._leave_by_s is None:
            self._membership.leave()
            self._prober.stop()
            self._exchanger.stop()
            self._leave_by_s = now_s + self._voice.settings.leave_s

    def _stood_still(self, lateness_s: float, now_s: float) -> None:
        """Our process or host was stopped: what we have not heard meanwhile says nothing about others."""
        voice = self._voice
        voice.counters["stood_still"] += 1
        voice.health.change(+1 + int(lateness_s / voice.settings.probe_interval_s))
        self._membership.grant(lateness_s)
        self._prober.restart(now_s)
        self._relays.clear()
        if lateness_s > voice.settings.forget_after_s and not self._membership.leaving:
            self._exchanger.forget_all(now_s)

    def _tick(self, now_s: float) -> None:
        leaving, silent = self._membership.leaving, self._membership.rival is not None
        self._membership.tick(now_s)
        if not leaving:
            self._exchanger.tick(now_s)
        if silent:
            self._prober.stop()
        elif not leaving:
            self._prober.tick(now_s)
        self._relays.tick(now_s)
        if not silent:
            self._gossip(now_s)
        if self._leave_by_s is not None and (
            now_s >= self._leave_by_s
            or self._voice.identity.node not in self._voice.news
            or not self._voice.table.reachable
        ):
            self._has_left = True
            self._voice.effects.append(on.LeaveSpread())

    def _gossip(self, now_s: float) -> None:
        """Tell news to a few, at most once an interval; no timer while there is none, or nobody to tell."""
        voice = self._voice
        interval_s = voice.settings.gossip_interval_s
        if not voice.news or not voice.table.reachable:
            self._gossip_at_s = None
            return
        if now_s >= self._gossiped_at_s + interval_s:
            self._gossiped_at_s = now_s
            for target in self._gossip_targets(now_s):
                voice.tell_news(target, now_s)
        self._gossip_at_s = self._gossiped_at_s + interval_s if voice.news else None

    def _gossip_targets(self, now_s: float) -> list[Identity]:
        """Random members; those who died a moment ago among them, so that they may refute."""
        voice, fanout = self._voice, self._voice.settings.gossip_fanout
        targets = voice.choose(fanout)
        dead = self._died_a_moment_ago(now_s)
        if not dead:
            return targets
        pool = targets + dead
        return voice.rng.sample(pool, min(fanout, len(pool)))

    def _died_a_moment_ago(self, now_s: float) -> list[Identity]:
        """As many as are told in one round, of those who died so lately that they may not know it yet."""
        voice, died = self._voice, self._died
        long_ago_s = now_s - voice.settings.gossip_to_dead_s
        while died and died[0][0] <= long_ago_s:
            died.popleft()
        chosen = voice.rng.sample(died, min(voice.settings.gossip_fanout, len(died)))
        members = {node: voice.table.get(node) for _, node in chosen}
        return [
            member.claim.identity
            for member in members.values()
            if member is not None and member.status is Status.DEAD and member.since_s > long_ago_s
        ]

    def _next_deadline(self, now_s: float) -> float | None:
        if self._has_left:
            return None
        if self._has_started and not self._membership.leaving:
            self._exchanger.arm(now_s)
            if self._membership.rival is None:
                self._prober.arm(now_s)
        times = (
            self._membership.deadline(),
            self._prober.deadline(),
            self._relays.deadline(),
            self._exchanger.deadline(),
            self._gossip_at_s,
            self._leave_by_s,
        )
        return min((t for t in times if t is not None), default=None)


def _has_become_reachable(change: on.MemberChanged) -> bool:
    up = (Status.ALIVE, Status.SUSPECT)
    return change.after in up and change.before not in up
