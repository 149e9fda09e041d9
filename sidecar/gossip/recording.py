"""Records: what this host says of itself, and what of others is believed, held and passed on.

A record is looked at in this order: is it newer than what is known; is its host a member, in this life; may its key
speak for that host; may another signature be verified now; is the signature right. Only then is anything changed. So
repetitions cost a look-up, and who floods us with forgeries costs us a bounded number of verifications a second.

Own standing leaves at once when it has not changed lately, else at the end of a gap that grows with the mesh
(`standing_gap_s`): after a change of configuration every host has something to say. Who asks us is told at once what
is true now. Evidence and overrides leave at once.
"""

from __future__ import annotations

from collections import Counter

from sidecar.gossip.budget import Budget
from sidecar.gossip.claims import Identity, Status
from sidecar.gossip.events import (
    AskRecords,
    MemberChanged,
    RecordDropped,
    RecordHeard,
    RecordRefused,
    SayRecord,
)
from sidecar.gossip.frames import RecordWanted
from sidecar.gossip.lanes import Lane
from sidecar.gossip.membership import Membership
from sidecar.gossip.record_frames import with_age
from sidecar.gossip.records import PAGES_MAX, RECORD_BODY_BYTES_MAX, Record, Topic
from sidecar.gossip.settings import standing_gap_s
from sidecar.gossip.signing import Signer, verify
from sidecar.gossip.trust import Refusal, Trust
from sidecar.gossip.voice import Voice
from store.errors import InputError

__all__ = ["ASKED_MAX", "Recorder"]

ASKED_MAX = 64
"""Members asked at once; of more, so many by chance: who waits for them asks again."""
_ANSWERS_PER_S, _ANSWERS_STOCK = 50, 100
"""Own records sent to those who ask for them, at most: 50 kB/s at their longest."""
_VERIFICATIONS_STOCK = 4000
"""Of a burst: all records of 2,000 hosts that one exchange brings; half a second of work."""
_TOLD_AGAIN_S = 300.0
_TOLD_MAX = 256
_TELLS_PER_S, _TELLS_STOCK = 0.2, 16
_SUSPICIOUS = (Refusal.SIGNATURE, Refusal.OTHER_KEY, Refusal.NOT_ADMITTED)


class Recorder:
    """What becomes of records.

    Args:
        voice: What the parts share.
        membership: Who is told that an earlier life of ours had a later epoch.
        trust: Whose key may speak for whom.
        signer: Our own key; None: we say nothing.
        mesh_id: Name of the mesh, bound into signatures.
    """

    def __init__(
        self,
        voice: Voice,
        membership: Membership,
        trust: Trust,
        signer: Signer | None,
        mesh_id: str,
    ) -> None:
        self._voice = voice
        self._membership = membership
        self._trust = trust
        self._signer = signer
        self._mesh_id = mesh_id
        self._waiting: dict[int, bytes] = {}
        """Own pages of standing that wait for the end of the gap."""
        self._said_s: dict[int, float] = {}
        """When each page of standing was last said."""
        self._verifications = Budget(voice.settings.verifications_per_s, _VERIFICATIONS_STOCK)
        self._answers = Budget(_ANSWERS_PER_S, _ANSWERS_STOCK)
        self._tells = Budget(_TELLS_PER_S, _TELLS_STOCK)
        self._told: dict[tuple[str, Refusal], float] = {}
        self.refused: Counter[str] = Counter()
        """Records not taken, by reason."""

    def deadline(self) -> float | None:
        """When own standing that waits may be said."""
        gap_s = standing_gap_s(self._voice.settings, self._voice.size)
        return min((self._said_s[page] + gap_s for page in self._waiting), default=None)

    def say(self, event: SayRecord, now_s: float) -> None:
        """Say a page of ours.

        Raises:
            InputError: The body is too long, there is no such page, or there is no key to sign with.
        """
        self._check(event)
        voice, topic, page = self._voice, event.topic, event.page
        held = voice.holdings.get(topic, voice.identity.node, page)
        waited = self._waiting.pop(page, None) if topic is Topic.STANDING else None
        if held is None and not event.body:
            return  # there is nothing to withdraw
        if held is not None and held.record.epoch == voice.identity.epoch:
            is_renewed = topic is Topic.EVIDENCE and bool(event.body)
            if held.record.body == event.body and not is_renewed:
                if waited == event.body:
                    self._waiting[page] = waited  # told to who asked, and not to all yet
                return
        if topic is Topic.STANDING:
            gap_s = standing_gap_s(voice.settings, voice.size)
            if now_s < self._said_s.get(page, float("-inf")) + gap_s:
                self._waiting[page] = event.body
                return
        self._say(topic, page, event.body, now_s)

    def tick(self, now_s: float) -> None:
        """Let what is too old die, and say what has waited long enough."""
        voice = self._voice
        for record in voice.holdings.expire(now_s):
            self._dropped(record)
        if self._waiting:
            gap_s = standing_gap_s(voice.settings, voice.size)
            for page in [p for p in self._waiting if now_s >= self._said_s[p] + gap_s]:
                self._say(Topic.STANDING, page, self._waiting.pop(page), now_s)

    def renewed(self, now_s: float) -> None:
        """We speak with a new boot epoch: say again what this life has said."""
        voice = self._voice
        for held in voice.holdings.of(voice.identity.node):
            record = held.record
            if record.key == self._own_key():
                age_ms = held.aged(now_s).age_ms
                self._say(record.topic, record.page, record.body, now_s, age_ms=age_ms)

    def hear(self, record: Record, now_s: float, *, quietly: bool = False) -> bool:
        """Take in a record, whoever brought it.

        Args:
            record: As it came.
            now_s: The time.
            quietly: Whether all others have it already, so that it need not be told on.

        Returns:
            Whether it is newer than what was known, and believed.
        """
        voice = self._voice
        known = voice.holdings.known(record.topic, record.node, record.page)
        if (record.epoch, record.version) <= known:
            held = voice.holdings.get(record.topic, record.node, record.page)
            if held is not None and held.record.key != record.key:
                self._refuse(record.node, Refusal.OTHER_KEY, now_s)  # two go by this name
            elif held is not None and held.record.signature == record.signature:
                queue = voice.lanes.queue(_lane(record.topic))
                queue.heard(_subject(record), voice.tellings())
            return False
        refusal = self._refusal(record, now_s)
        if refusal is not None:
            self._refuse(record.node, refusal, now_s)
            return False
        if record.node == voice.identity.node:
            return self._hear_ourselves(record, now_s)
        self._trust.bind(record)
        if not self._hold(record, now_s, quietly=quietly):
            return False
        if record.topic is Topic.EVIDENCE and not quietly:
            voice.is_urgent = True
        voice.effects.append(RecordHeard(record))
        return True

    def ask(self, event: AskRecords, now_s: float) -> None:
        """Ask members for their own records."""
        voice = self._voice
        members = [voice.table.get(node) for node in dict.fromkeys(event.nodes)]
        known = [member.claim.identity for member in members if member is not None]
        if len(known) > ASKED_MAX:
            known = voice.rng.sample(known, ASKED_MAX)
        for identity in known:
            voice.tell(identity, RecordWanted(event.topic), now_s=now_s)

    def asked(self, topic: Topic, sender: Identity, now_s: float) -> None:
        """Somebody wants our own records: as they are, also where all others must wait for it."""
        voice = self._voice
        if topic is Topic.STANDING:
            for page, body in self._waiting.items():
                known = voice.holdings.get(topic, voice.identity.node, page)
                if known is None or known.record.body != body:
                    self._say(topic, page, body, now_s, quietly=True)
        for held in voice.holdings.of(voice.identity.node):
            if held.record.topic is not topic:
                continue
            if not self._answers.spend(now_s):
                voice.counters["unanswered"] += 1
                return
            voice.send_alone(sender.address, with_age(held.encoded, held.age_s(now_s)))

    def follow(self, change: MemberChanged) -> None:
        """A member is held otherwise: drop what its goodbye or its new life has made void."""
        voice, identity = self._voice, change.identity
        for held in voice.holdings.of(identity.node):
            topic, epoch = held.record.topic, held.record.epoch
            dies_by_itself = topic is Topic.EVIDENCE and epoch == identity.epoch
            if not dies_by_itself and _is_gone(topic, epoch, identity, change.after):
                self._drop(held.record)
        was_away = change.before in (Status.DEAD, Status.LEFT)
        if was_away and change.after in (Status.ALIVE, Status.SUSPECT):
            self._trust.free(identity.node, identity.epoch)

    def forget(self, node: str) -> None:
        """A node is remembered no longer."""
        for held in self._voice.holdings.of(node):
            self._drop(held.record)
        self._voice.holdings.forget(node)
        self._trust.forget(node)

    def trust_changed(self) -> None:
        """Other keys are believed: drop what was signed with one that is not."""
        voice = self._voice
        for node in voice.holdings.nodes():
            for held in voice.holdings.of(node):
                if node != voice.identity.node and self._trust.refusal(held.record) is not None:
                    self._drop(held.record)
                    voice.holdings.forget(node)  # numbers of a stranger bind nobody

    def takes(self, topic: Topic, node: str, epoch: int) -> bool:
        """Whether a record of this life of this host may be believed, as far as can be told without seeing it."""
        voice = self._voice
        if node == voice.identity.node:
            return topic is Topic.OVERRIDES or epoch >= voice.identity.epoch
        member = voice.table.get(node)
        if member is None or epoch > member.claim.identity.epoch:
            return False
        return not _is_gone(topic, epoch, member.claim.identity, member.status)

    def _check(self, event: SayRecord) -> None:
        if len(event.body) > RECORD_BODY_BYTES_MAX:
            self._voice.counters["record_oversize"] += 1
            raise InputError(
                f"Page {event.page} of {event.topic} has {len(event.body)} bytes; "
                f"{RECORD_BODY_BYTES_MAX} are allowed",
                hint="Say it on several pages.",
            )
        if not 0 <= event.page < PAGES_MAX:
            raise InputError(
                f"There is no page {event.page} of {event.topic}; 0 to {PAGES_MAX - 1} are allowed",
                hint="Say less, or put more on each page.",
            )
        if self._signer is None:
            raise InputError(
                f"{event.topic} cannot be said: this host has no key to sign it with",
                hint="Give gossip the host key when it starts.",
            )

    def _say(
        self,
        topic: Topic,
        page: int,
        body: bytes,
        now_s: float,
        *,
        age_ms: int = 0,
        quietly: bool = False,
    ) -> None:
        assert self._signer is not None
        voice, identity = self._voice, self._voice.identity
        epoch, version = voice.holdings.known(topic, identity.node, page)
        version = version + 1 if epoch == identity.epoch else 1
        bare = Record(topic, identity.node, page, identity.epoch, version, body, b"", b"", age_ms)
        if topic is Topic.STANDING and not quietly:
            self._said_s[page] = now_s
        elif topic is Topic.EVIDENCE:
            voice.is_urgent = True
        self._hold(self._signer.sign(bare, self._mesh_id), now_s, quietly=quietly)

    def _hold(self, record: Record, now_s: float, *, quietly: bool = False) -> bool:
        voice = self._voice
        is_ours = record.node == voice.identity.node
        evicted = voice.holdings.put(record, now_s, is_ours=is_ours)
        if evicted is None:
            self.refused[Refusal.FULL] += 1
            return False
        for gone in evicted:
            voice.counters["record_evicted"] += 1
            self._dropped(gone)
        if not quietly:
            held = voice.holdings.get(record.topic, record.node, record.page)
            assert held is not None
            queue = voice.lanes.queue(_lane(record.topic))
            queue.put(_subject(record), held.encoded, held.said_s)
        return True

    def _refusal(self, record: Record, now_s: float) -> Refusal | None:
        """Why this record, newer than what is known, is not taken; what is cheap to find out first."""
        voice = self._voice
        if record.node == voice.identity.node:
            if record.key != self._own_key():
                return Refusal.OTHER_KEY
        else:
            member = voice.table.get(record.node)
            if member is None or record.epoch > member.claim.identity.epoch:
                return Refusal.UNKNOWN_HOST
            if not self.takes(record.topic, record.node, record.epoch):
                return Refusal.GONE
            untrusted = self._trust.refusal(record)
            if untrusted is not None:
                return untrusted
        ttl_ms = voice.settings.evidence_ttl_s * 1000
        if record.topic is Topic.EVIDENCE and record.age_ms >= ttl_ms:
            return Refusal.TOO_OLD
        if not self._verifications.spend(now_s):
            return Refusal.FLOOD
        return None if verify(record, self._mesh_id) else Refusal.SIGNATURE

    def _hear_ourselves(self, record: Record, now_s: float) -> bool:
        """Our own words of an earlier life, or of this one when its memory was lost; surely ours: we signed them."""
        voice = self._voice
        if record.epoch > voice.identity.epoch:
            self._membership.outlive(record.epoch)
            return False
        if record.epoch == voice.identity.epoch:
            held = voice.holdings.get(record.topic, record.node, record.page)
            body = held.record.body if held is not None else b""
            voice.holdings.put(record, now_s)
            self._say(record.topic, record.page, body, now_s)
            return False
        if record.topic is not Topic.OVERRIDES or not self._hold(record, now_s, quietly=True):
            return False
        voice.effects.append(RecordHeard(record))
        return True

    def _own_key(self) -> bytes:
        return b"" if self._signer is None else self._signer.public

    def _refuse(self, node: str, refusal: Refusal, now_s: float) -> None:
        self.refused[refusal] += 1
        if refusal not in _SUSPICIOUS:
            return
        told_s = self._told.get((node, refusal), float("-inf"))
        if now_s - told_s < _TOLD_AGAIN_S or not self._tells.spend(now_s):
            return
        self._told.pop((node, refusal), None)
        if len(self._told) >= _TOLD_MAX:
            del self._told[next(iter(self._told))]
        self._told[node, refusal] = now_s
        self._voice.effects.append(RecordRefused(node, refusal))

    def _drop(self, record: Record) -> None:
        if self._voice.holdings.drop(record.node, record.topic, record.page) is not None:
            self._dropped(record)

    def _dropped(self, record: Record) -> None:
        """It is held no longer: tell nothing of it, and say so where it meant something."""
        voice = self._voice
        voice.lanes.queue(_lane(record.topic)).drop(_subject(record))
        if record.body and record.node != voice.identity.node:
            voice.effects.append(RecordDropped(record.topic, record.node, record.page))


def _is_gone(topic: Topic, epoch: int, identity: Identity, status: Status) -> bool:
    """Whether words of this life are void, the member being held so.

    What an operator asked outlives the life of the sidecar that it was said through, but not its goodbye.
    """
    if status is Status.LEFT and epoch <= identity.epoch:
        return True
    return topic is not Topic.OVERRIDES and epoch < identity.epoch


def _lane(topic: Topic) -> Lane:
    return Lane.EVIDENCE if topic is Topic.EVIDENCE else Lane.WORDS


def _subject(record: Record) -> str:
    return f"{record.topic}/{record.page}/{record.node}"
