"""Exchanges of records over TCP: what news have missed, what a joiner lacks, what the sides of a partition lack.

Pings and answers carry a digest of the settled records. Where two differ, one asks the other: it sends the versions
that it has, and is answered with all records that are newer there, and with a row for the first that had no room. Who
is asked and finds that the asker has newer ones asks back. One exchange in `record_exchange_gap_s` (longer in large
meshes). Peers whose records we do not take (another key was bound there) would differ for ever: what taught us nothing
is not asked again for a minute, unless a digest changes. Members that tell no digest know no records and are not asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from sidecar.gossip import frames
from sidecar.gossip.claims import Identity
from sidecar.gossip.events import AnswerPeer, CallPeer
from sidecar.gossip.holdings import Held
from sidecar.gossip.record_frames import ROWS_MAX, RecordTable, VersionRow, with_age
from sidecar.gossip.recording import Recorder
from sidecar.gossip.records import Record, Topic
from sidecar.gossip.settings import scaled_gap_s
from sidecar.gossip.voice import Voice

__all__ = ["ANSWER_BYTES_MAX", "BUSY_ANSWER_BYTES_MAX", "RecordExchanger"]

ANSWER_BYTES_MAX = 256 * 1024
"""Of records in one answer: some 700 of them, a tenth of a second of verifying; the rest comes with the next one."""
BUSY_ANSWER_BYTES_MAX = 3 * 1024
"""Of records in one answer while there is news to be told."""
_CALL_TIMEOUT_S = 5.0
_CALLS_MAX = 8
_ASK_BACK_GAP_S = 1.0
_FRUITLESS_S = 60.0
_FRUITLESS_MAX = 256
_ADVANCE_S = 0.2
"""So much of the debt that news have made does not keep us from answering."""


class _Question(NamedTuple):
    """What was asked: the same question has the same answer."""

    node: str
    ours: int
    """Our digest then."""
    theirs: int | None
    """The digest that made us ask; None: its own question showed what we lack."""
    joins: bool
    """Whether we have just joined: what we learn is no news to others."""


class RecordExchanger:
    """Who is asked for records, and when.

    Args:
        voice: What the parts share.
        recorder: Where records go.
    """

    def __init__(self, voice: Voice, recorder: Recorder) -> None:
        self._voice = voice
        self._recorder = recorder
        self._calls: dict[int, _Question] = {}
        """Calls under way."""
        self._exchanged_at_s = -math.inf
        self._fruitless: dict[_Question, float] = {}
        """What was asked and taught us nothing, and when to ask it again all the same."""

    def digest_seen(
        self, peer: Identity, digest: int | None, now_s: float, *, joins: bool = False
    ) -> None:
        """A member told the digest of its records.

        Args:
            peer: The member.
            digest: Its digest; None: it knows no records.
            now_s: The time.
            joins: Whether we have just joined through it: ask at once.
        """
        voice = self._voice
        if digest is None or digest == voice.holdings.digest:
            return
        gap_s = scaled_gap_s(voice.settings.record_exchange_gap_s, voice.size)
        if math.isinf(gap_s) or (now_s - self._exchanged_at_s < gap_s and not joins):
            return
        self._ask(peer, _Question(peer.node, voice.holdings.digest, digest, joins), now_s)

    def asked(self, call: int, frame: frames.Frame, table: RecordTable, now_s: float) -> None:
        """Answer with what the asker lacks; ask back for what we lack."""
        voice, peer = self._voice, frame.sender.identity
        body = frames.encode(voice.sender, self._answer(table, now_s))
        if voice.lanes:
            voice.pace.pay(len(body), now_s)
        voice.effects.append(AnswerPeer(call, body))
        waited_s = now_s - self._exchanged_at_s
        gap_s = min(_ASK_BACK_GAP_S, voice.settings.record_exchange_gap_s)
        if waited_s >= gap_s and any(self._lacks(row) for row in table.rows):
            self._ask(peer, _Question(peer.node, voice.holdings.digest, None, False), now_s)

    def answered(self, call: int, frame: frames.Frame, now_s: float) -> bool:
        """Take in what we lacked; False when the call is none of ours."""
        question = self._calls.pop(call, None)
        if question is None:
            return False
        learned, is_all = 0, True
        for message in frame.messages:
            match message:
                case Record():
                    learned += self._recorder.hear(message, now_s, quietly=question.joins)
                case RecordTable(rows):
                    is_all = not rows
                case _:
                    pass
        self._fruitless.pop(question, None)
        if is_all and not learned:
            if len(self._fruitless) >= _FRUITLESS_MAX:
                del self._fruitless[next(iter(self._fruitless))]
            self._fruitless[question] = now_s + _FRUITLESS_S
        return True

    def failed(self, call: int) -> bool:
        """Nobody answered; False when the call is none of ours."""
        return self._calls.pop(call, None) is not None

    def stop(self) -> None:
        """Ask nobody any more."""
        self._calls.clear()

    def _answer(self, table: RecordTable, now_s: float) -> list[bytes]:
        """What the asker lacks, as far as there is room."""
        voice = self._voice
        theirs = {(r.topic, r.node, r.page): (r.epoch, r.version) for r in table.rows}
        room = ANSWER_BYTES_MAX
        if voice.lanes:
            # In a storm of news, answers share what news may cost: they carry nothing twice, so they are worth it.
            is_paid = voice.pace.is_paid(now_s + _ADVANCE_S)
            room = BUSY_ANSWER_BYTES_MAX if is_paid else 0
        parts: list[bytes] = []
        left_out: tuple[VersionRow, ...] = ()
        for held in self._all():
            r = held.record
            if (r.epoch, r.version) <= theirs.get((r.topic, r.node, r.page), (0, 0)):
                continue
            encoded = with_age(held.encoded, held.age_s(now_s))
            room -= len(encoded)
            if room < 0:
                voice.counters["records_cut"] += 1
                left_out = (VersionRow(r.topic, r.node, r.page, r.epoch, r.version),)
                break
            parts.append(encoded)
        return [frames.encode_message(RecordTable(left_out)), *parts]

    def _ask(self, peer: Identity, question: _Question, now_s: float) -> None:
        voice = self._voice
        if now_s < self._fruitless.get(question, -math.inf):
            return
        if len(self._calls) >= _CALLS_MAX:
            self._calls.pop(next(iter(self._calls)))
        call = voice.next_call()
        self._calls[call] = question
        self._exchanged_at_s = now_s
        rows = tuple(islice(voice.holdings.versions(), ROWS_MAX))
        body = frames.encode(voice.sender, [frames.encode_message(RecordTable(rows))])
        if voice.lanes:
            voice.pace.pay(len(body), now_s)
        voice.effects.append(CallPeer(call, peer.address, body, _CALL_TIMEOUT_S))

    def _all(self) -> Iterator[Held]:
        holdings = self._voice.holdings
        for node in holdings.nodes():
            yield from holdings.of(node)

    def _lacks(self, row: VersionRow) -> bool:
        """Whether they have something that we would take; evidence may have died meanwhile, so it is not asked for."""
        known = self._voice.holdings.known(row.topic, row.node, row.page)
        return (
            row.topic is not Topic.EVIDENCE
            and (row.epoch, row.version) > known
            and self._recorder.takes(row.topic, row.node, row.epoch)
        )
