"""The core of gossip: events in, effects out. Decides who is a member of the mesh and how each is held.

Knows no clock, no socket and no key. The shell tells it what comes in and when a deadline has come, and does what
it asks for. Parts: `probing` finds out who is silent, `membership` decides what that means, `exchanging` keeps
tables equal; `recording` holds what hosts say of themselves, `record_exchange` keeps that equal; `lanes` hold news,
`rounds` tell them, `voice` speaks. This module only passes events on and keeps the time.

Sources: SWIM (Das, Gupta, Motivala 2002), Lifeguard (Dadgar, Phillips, Currey, arXiv 1707.00788), memberlist.
"""

from __future__ import annotations

from typing import assert_never

from sidecar.gossip import events as on
from sidecar.gossip import frames
from sidecar.gossip.claims import Claim, Identity, Status
from sidecar.gossip.exchanging import Exchanger
from sidecar.gossip.membership import Membership
from sidecar.gossip.probing import Prober, Relays
from sidecar.gossip.record_exchange import RecordExchanger
from sidecar.gossip.recording import Recorder
from sidecar.gossip.records import Record
from sidecar.gossip.rounds import Rounds
from sidecar.gossip.settings import LAN, GossipSettings
from sidecar.gossip.signing import Signer
from sidecar.gossip.trust import Trust
from sidecar.gossip.view import GossipView, view_of
from sidecar.gossip.voice import Randomness, Voice

__all__ = ["Gossip"]


class Gossip:
    """One member of the mesh.

    Args:
        identity: Who we are; the epoch must be greater than that of any earlier life, as far as is known.
        rng: Seeded randomness (`random.Random`).
        settings: What may be turned.
        signer: Signs what this host says; without it, it says no records, and holds those of others all the same.
        mesh_id: Name of the mesh, bound into each signature; never empty where there is a signer.
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
        assert signer is None or mesh_id, "records are signed for a mesh: say which one"
        self._own_key = b"" if signer is None else signer.public
        self._voice = Voice(identity, settings, rng)
        self._membership = Membership(self._voice)
        self._prober = Prober(self._voice, self._membership)
        self._relays = Relays(self._voice)
        self._exchanger = Exchanger(self._voice, self._membership)
        self._trust = Trust()
        self._recorder = Recorder(self._voice, self._membership, self._trust, signer, mesh_id)
        self._records = RecordExchanger(self._voice, self._recorder)
        self._rounds = Rounds(self._voice)
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

    @property
    def records_digest(self) -> int:
        """Equal where the same records are held, but for the youngest and for evidence about to die."""
        return self._voice.holdings.digest

    def records(self, now_s: float) -> tuple[Record, ...]:
        """All records that are held, ours included, with their ages; in no order."""
        holdings = self._voice.holdings
        return tuple(h.aged(now_s) for node in holdings.nodes() for h in holdings.of(node))

    def snapshot(self) -> GossipView:
        """What is held now."""
        return view_of(
            self._voice,
            self._trust,
            relaying=len(self._relays),
            rival=self._membership.rival,
            has_left=self._has_left,
            own_key=self._own_key,
            refused=self._recorder.refused,
        )

    def handle(self, event: on.Event, now_s: float) -> list[on.Effect]:
        """Take in what happened.

        Args:
            event: What happened.
            now_s: Monotonic seconds; never less than before.

        Returns:
            What the shell is to do, in order.

        Raises:
            InputError: `SayRecord` says what cannot be said. Nothing has changed, and nothing is to be done.
        """
        effects: list[on.Effect] = []
        self._voice.effects = effects
        if self._has_left:
            return effects
        if self._due_s is not None and now_s - self._due_s > self._voice.settings.stall_s:
            self._stood_still(now_s - self._due_s, now_s)
        self._recorder.tick(now_s)
        self._take(event, now_s)
        self._tick(now_s)
        for effect in tuple(effects):
            self._follow(effect, now_s)
        while self._voice.table.forgotten:
            self._recorder.forget(self._voice.table.forgotten.pop())
        self._speak(now_s)
        self._due_s = self._next_deadline(now_s)
        return effects

    def _follow(self, effect: on.Effect, now_s: float) -> None:
        """Let those parts know of a change that it concerns: whom to probe, whom to tell, whose words are void."""
        match effect:
            case on.MemberChanged(identity, _, after, _, accusers):
                self._recorder.follow(effect)
                if after is Status.DEAD:
                    self._rounds.died(identity.node, now_s)
                if _has_become_reachable(effect):
                    self._prober.add(identity.node)
                elif after is Status.SUSPECT and self._voice.identity.node not in accusers:
                    self._prober.check(identity.node)
            case on.IdentityChanged():
                self._recorder.renewed(now_s)
            case _:
                pass

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
                if not self._records.failed(call):
                    self._exchanger.failed(call)
            case on.SeedsFound(addresses):
                if not self._membership.leaving:
                    self._exchanger.seeds_found(addresses, now_s)
            case on.LeaveAsked():
                self._leave(now_s)
            case on.SayRecord():
                self._recorder.say(event, now_s)
            case on.AskRecords():
                self._recorder.ask(event, now_s)
            case on.TrustSet(keys, is_closed):
                self._trust.set(keys, is_closed=is_closed)
                self._recorder.trust_changed()
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
                    voice.tell(sender, voice.ack(message.seq), now_s=now_s)
            case frames.Ack():
                if not self._relays.acked(message.seq, now_s):
                    self._prober.acked(message.seq, now_s)
                if not self._membership.leaving:
                    self._exchanger.digest_seen(sender, message.digest, now_s)
                    self._records.digest_seen(sender, message.records, now_s)
            case frames.Nack():
                self._prober.nacked(message.seq)
            case frames.PingRequest():
                self._relays.ask(message, sender, now_s)
            case Claim():
                self._membership.hear(message, now_s)
            case Record():
                self._recorder.hear(message, now_s)
            case frames.RecordWanted(topic):
                self._recorder.asked(topic, sender, now_s)
            case frames.Exchange() | frames.Refusal() | frames.RecordTable():
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
            case (frames.RecordTable() as table, *_):
                self._records.asked(call, frame, table, now_s)
            case (frames.Ping() as ping, *_) if ping.node == self._voice.identity.node:
                ack = frames.encode_message(self._voice.ack(ping.seq))
                self._voice.effects.append(
                    on.AnswerPeer(call, frames.encode(self._voice.sender, [ack]))
                )
            case _:
                self._voice.counters["out_of_place"] += 1

    def _answered(self, call: int, body: bytes, now_s: float) -> None:
        frame = self._read(body, None, now_s)
        if frame is None:
            if not self._records.failed(call):
                self._exchanger.failed(call)
            return
        peer, has_joined = frame.sender.identity, False
        if self._records.answered(call, frame, now_s):
            return
        if not self._prober.answered_over_tcp(call):
            has_joined = self._exchanger.answered(call, frame, now_s)
        if self._membership.leaving:
            return
        match frame.messages:
            case (frames.Exchange(_, records), *_):
                self._records.digest_seen(peer, records, now_s, joins=has_joined)
            case (frames.Ack(_, digest, records), *_):
                self._exchanger.digest_seen(peer, digest, now_s)
                self._records.digest_seen(peer, records, now_s)
            case _:
                pass

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
            self._records.stop()
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

    def _speak(self, now_s: float) -> None:
        """Tell news; where the goodbye is told, be gone."""
        if self._membership.rival is None:
            self._rounds.tick(now_s)
        else:
            self._rounds.pause()
        if self._leave_by_s is not None and (
            now_s >= self._leave_by_s
            or self._voice.identity.node not in self._voice.news
            or not self._voice.table.reachable
        ):
            self._has_left = True
            self._voice.effects.append(on.LeaveSpread())

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
            self._rounds.deadline(),
            self._recorder.deadline(),
            self._leave_by_s,
        )
        return min((t for t in times if t is not None), default=None)


def _has_become_reachable(change: on.MemberChanged) -> bool:
    up = (Status.ALIVE, Status.SUSPECT)
    return change.after in up and change.before not in up
