"""Exchanges of tables over TCP: joining, anti-entropy, and the ways back from partitions of any length.

An exchange is one call: the asker sends its table, the answerer takes it in and answers with what the asker lacks.
It is made

- with seeds while we are alone, again and again with growing pauses, on freshly resolved addresses; and once more with
  somebody a moment after joining;
- with a member whose digest differs from ours while there is no news under way (at most one in `exchange_gap_s`);
- every announce interval with a member that is down, and with a seed that is not a member, each with such a
  probability that the whole mesh makes about one attempt for each of them. That heals what gossip to the dead is
  too late for.

Source: memberlist's push-pull, foca's periodic announce, ringpop's partition healing and checksums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from sidecar.gossip import frames
from sidecar.gossip.claims import Claim, Identity, Status, precedence
from sidecar.gossip.events import AnswerPeer, CallPeer, FindSeeds, PeerRefused
from sidecar.gossip.membership import Membership
from sidecar.gossip.settings import scaled_gap_s
from sidecar.gossip.voice import Voice

__all__ = ["CALL_TIMEOUT_S", "Exchanger"]

CALL_TIMEOUT_S = 5.0
"""For one exchange; a peer that is there answers in milliseconds."""
_YOUNG_S = 10.0
"""After joining, exchanges are made thrice as often, and not put off for news that are under way."""
_SECOND_LOOK_S = 0.25
"""After joining, who answered is asked for its digest, and for its table where that differs: of those who joined at the
same moment it had not heard then."""
_LOOKED_AT_BY = 64
"""In a larger mesh somebody else is asked: hundreds who join at once must not all come back to one seed."""
_CALLS_MAX = 16
_SEEDS_AT_ONCE = 5
_REMEMBERED_MAX = 16
_REFUSED_MAX = 64


class Exchanger:
    """Who is asked for its table, and when.

    Args:
        voice: What the parts share.
        membership: Where rows go.
    """

    def __init__(self, voice: Voice, membership: Membership) -> None:
        self._voice = voice
        self._membership = membership
        self._calls: dict[int, bool] = {}
        """Calls under way: whether we were alone when we asked."""
        self._remembered: tuple[str, ...] = ()
        self._refused: dict[str, None] = {}
        self._join_at_s: float | None = None
        self._join_wait_s = voice.settings.join_retry_s
        self._announce_at_s: float | None = None
        self._exchanged_at_s = -math.inf
        self._young_until_s = -math.inf
        self._look_again_at_s: float | None = None
        self._joined_through: Identity | None = None

    @property
    def pending(self) -> int:
        """Exchanges under way."""
        return len(self._calls)

    def deadline(self) -> float | None:
        """When to try seeds again, or to look for those who are down."""
        times = (self._join_at_s, self._announce_at_s, self._look_again_at_s)
        return min((t for t in times if t is not None), default=None)

    def start(self, now_s: float) -> None:
        """Look for seeds."""
        self._voice.effects.append(FindSeeds())
        self._join_at_s = now_s + self._join_wait_s
        self._plan_announcement(now_s)

    def stop(self) -> None:
        """Ask nobody any more."""
        self._join_at_s = self._announce_at_s = self._look_again_at_s = None
        self._calls.clear()

    def arm(self, now_s: float) -> None:
        """Look for seeds while alone, and only then."""
        alone = not self._voice.table.reachable
        if alone and self._join_at_s is None and self._announce_at_s is not None:
            self._join_wait_s = self._voice.settings.join_retry_s
            self._join_at_s = now_s + self._join_wait_s
        elif not alone:
            self._join_at_s = None

    def forget_all(self, now_s: float) -> None:
        """What we know of others is too old to be told: keep their addresses only, and join anew."""
        table = self._voice.table
        addresses = [member.claim.identity.address for member in table.all()]
        self._remembered = tuple(
            self._voice.rng.sample(addresses, min(len(addresses), _REMEMBERED_MAX))
        )
        for member in table.all():
            self._membership.forget(member.claim.identity.node)
        self.start(now_s)

    def seeds_found(self, addresses: tuple[str, ...], now_s: float) -> None:
        """Ask seeds: several while alone; else perhaps one that is not a member that we reach."""
        voice = self._voice
        table = voice.table
        strangers = [
            address
            for address in dict.fromkeys((*addresses, *self._remembered))
            if address != voice.identity.address and not table.has_address(address)
        ]
        if not strangers:
            return
        if not table.reachable:
            for address in voice.rng.sample(strangers, min(len(strangers), _SEEDS_AT_ONCE)):
                self._ask(address, now_s)
        elif voice.rng.random() * len(table.reachable) < len(strangers):
            self._ask(strangers[voice.rng.randrange(len(strangers))], now_s)

    def digest_seen(self, peer: Identity, digest: int, now_s: float) -> None:
        """A member told the digest of its table."""
        voice = self._voice
        if digest == voice.digest:
            return
        settings = voice.settings
        if now_s < self._young_until_s:
            # So much may be joining that news alone would take long: ask again soon, and somebody else.
            gap_s = settings.exchange_gap_s / 3
        elif voice.news:
            return
        else:
            gap_s = scaled_gap_s(settings.exchange_gap_s, voice.size)
        if now_s - self._exchanged_at_s >= gap_s:
            self._ask(peer.address, now_s)

    def asked(self, call: int, frame: frames.Frame, now_s: float) -> None:
        """Take in a table, and answer with what it lacks."""
        theirs = {frame.sender.identity.node: self._spoken(frame)}
        for message in frame.messages:
            if isinstance(message, Claim):
                theirs[message.identity.node] = precedence(message)
                self._membership.hear(message, now_s, table_of=frame.sender.identity.node)
        rows = (c for c in self._rows(now_s) if precedence(c) > theirs.get(c.identity.node, ()))
        self._voice.effects.append(AnswerPeer(call, self._table_frame(rows)))

    def answered(self, call: int, frame: frames.Frame, now_s: float) -> bool:
        """Take in what we lacked; whether we have joined by it."""
        was_alone = self._calls.pop(call, None)
        if was_alone is None:
            return False
        if was_alone:
            self._young_until_s = now_s + _YOUNG_S
            self._look_again_at_s = now_s + _SECOND_LOOK_S * (0.8 + 0.4 * self._voice.rng.random())
            self._joined_through = frame.sender.identity
        for message in frame.messages:
            match message:
                case Claim():
                    self._membership.hear(
                        message,
                        now_s,
                        table_of=frame.sender.identity.node,
                        known_there=was_alone,
                    )
                case frames.Refusal():
                    self._report(frame.sender.identity, message.reason)
                case _:
                    pass
        return was_alone

    def failed(self, call: int) -> None:
        """Nobody answered; the next attempt is due when it is due."""
        self._calls.pop(call, None)

    def refuse(self, call: int | None, sender: frames.Sender) -> None:
        """Talk to nobody whose protocol we do not speak; say why where an answer is awaited."""
        reason = (
            f"it speaks protocol versions {sender.oldest} to {sender.newest}, "
            f"{frames.PROTOCOL_OLDEST} to {frames.PROTOCOL} are spoken here"
        )
        self._report(sender.identity, reason)
        if call is not None:
            refusal = frames.encode_message(frames.Refusal(reason))
            body = frames.encode(self._voice.sender, [refusal])
            self._voice.effects.append(AnswerPeer(call, body))

    def tick(self, now_s: float) -> None:
        """Do what is due."""
        voice = self._voice
        if self._join_at_s is not None and self._join_at_s <= now_s:
            self._join_wait_s = min(2 * self._join_wait_s, voice.settings.announce_interval_s)
            self._join_at_s = now_s + self._join_wait_s
            voice.effects.append(FindSeeds())
        if self._look_again_at_s is not None and self._look_again_at_s <= now_s:
            self._look_again_at_s = None
            for peer in self._second_opinion():
                # Its answer carries a digest: the table is asked for where it differs, as after any probe.
                voice.tell(peer, voice.ping(voice.next_seq(), peer.node), now_s=now_s)
                self._exchanged_at_s = -math.inf  # the first table was read too early to wait for
        if self._announce_at_s is not None and self._announce_at_s <= now_s:
            self._plan_announcement(now_s)
            self._announce(now_s)

    def _second_opinion(self) -> list[Identity]:
        """Whom a joiner asks again: through whom so many joined at once has heard of all of them by now."""
        through = self._joined_through
        if through is None or self._voice.size > _LOOKED_AT_BY:
            return self._voice.choose(1)
        return [through]

    def _announce(self, now_s: float) -> None:
        voice, table = self._voice, self._voice.table
        dead: list[Identity] = []
        for node in table.down:
            member = table.get(node)
            assert member is not None, node
            if now_s - member.since_s > voice.settings.tombstone_s:
                self._membership.forget(node)
            elif member.status is Status.DEAD:
                dead.append(member.claim.identity)
        voice.effects.append(FindSeeds())
        if self._membership.rival is not None and table.reachable:
            self._ask(voice.choose(1)[0].address, now_s)
        elif dead and voice.rng.random() * max(1, len(table.reachable)) < len(dead):
            self._ask(dead[voice.rng.randrange(len(dead))].address, now_s)

    def _plan_announcement(self, now_s: float) -> None:
        jitter = 0.9 + 0.2 * self._voice.rng.random()
        self._announce_at_s = now_s + self._voice.settings.announce_interval_s * jitter

    def _ask(self, address: str, now_s: float) -> None:
        if len(self._calls) >= _CALLS_MAX:
            self._calls.pop(next(iter(self._calls)))
        call = self._voice.next_call()
        self._calls[call] = not self._voice.table.reachable
        self._exchanged_at_s = now_s
        body = self._table_frame(self._rows(now_s))
        self._voice.effects.append(CallPeer(call, address, body, CALL_TIMEOUT_S))

    def _rows(self, now_s: float) -> Iterator[Claim]:
        tombstone_s = self._voice.settings.tombstone_s
        for member in self._voice.table.all():
            is_down = member.status in (Status.DEAD, Status.LEFT)
            if not is_down or now_s - member.since_s < tombstone_s:
                yield self._voice.aged(member.claim.identity.node, now_s)

    def _table_frame(self, rows: Iterator[Claim]) -> bytes:
        voice = self._voice
        messages = [frames.encode_message(frames.Exchange(voice.digest, voice.holdings.digest))]
        room = frames.STREAM_BYTES_MAX - frames.BODY_BYTES_MAX
        for row in rows:
            encoded = frames.encode_message(row)
            room -= len(encoded)
            if room < 0:
                self._voice.counters["table_cut"] += 1
                break
            messages.append(encoded)
        return frames.encode(self._voice.sender, messages)

    def _spoken(self, frame: frames.Frame) -> tuple[int, str, bool, int, int]:
        sender = frame.sender
        return precedence(Claim(sender.identity, Status.ALIVE, sender.incarnation))

    def _report(self, identity: Identity, reason: str) -> None:
        if identity.node in self._refused:
            return
        if len(self._refused) >= _REFUSED_MAX:
            self._refused.clear()
        self._refused[identity.node] = None
        self._voice.effects.append(PeerRefused(identity, reason))
