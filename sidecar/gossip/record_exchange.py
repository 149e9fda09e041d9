"""Exchanges of records over TCP: what news have missed, what a joiner lacks, what the sides of a partition lack.

Pings and answers carry a digest of the settled records. Where two differ, one asks the other: it sends the versions
that it has, and is answered with all records that are newer there. Who is asked and finds that the asker has newer
ones asks back. One exchange in `record_exchange_gap_s` (longer in large meshes). A peer whose records we do not take
(another key was bound there) would differ for ever: an exchange that taught us nothing is not repeated with the same
peer for a minute, while our digest stays as it is. Members that tell no digest know no records and are not asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

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


class RecordExchanger:
    """Who is asked for records, and when.

    Args:
        voice: What the parts share.
        recorder: Where records go.
    """

    def __init__(self, voice: Voice, recorder: Recorder) -> None:
        self._voice = voice
        self._recorder = recorder
        self._calls: dict[int, tuple[str, int, bool]] = {}
        """Calls under way: whom, our digest then, and whether we have just joined."""
        self._exchanged_at_s = -math.inf
        self._fruitless: dict[str, tuple[int, float]] = {}
        """Of peers that taught us nothing: our digest then, and when to try again all the same."""

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
        ours, until_s = self._fruitless.get(peer.node, (0, -math.inf))
        if joins or now_s >= until_s or ours != voice.holdings.digest:
            self._ask(peer, now_s, joins=joins)

    def asked(self, call: int, frame: frames.Frame, table: RecordTable, now_s: float) -> None:
        """Answer with what the asker lacks; ask back for what we lack."""
        voice, peer = self._voice, frame.sender.identity
        theirs = {(r.topic, r.node, r.page): (r.epoch, r.version) for r in table.rows}
        parts = [frames.encode_message(RecordTable(()))]
        # In a storm of news, answers share what news may cost: they carry nothing twice, so they are worth it.
        is_busy = bool(voice.lanes)
        room = ANSWER_BYTES_MAX
        if is_busy:
            room = BUSY_ANSWER_BYTES_MAX if voice.pace.is_paid(now_s + 0.2) else 0
        for held in self._all():
            record = held.record
            if (record.epoch, record.version) <= theirs.get(
                (record.topic, record.node, record.page), (0, 0)
            ):
                continue
            encoded = with_age(held.encoded, held.age_s(now_s))
            room -= len(encoded)
            if room < 0:
                voice.counters["records_cut"] += 1
                break
            parts.append(encoded)
        body = frames.encode(voice.sender, parts)
        if is_busy:
            voice.pace.pay(len(body), now_s)
        voice.effects.append(AnswerPeer(call, body))
        waited_s = now_s - self._exchanged_at_s
        if waited_s >= min(_ASK_BACK_GAP_S, voice.settings.record_exchange_gap_s) and any(
            self._lacks(row) for row in table.rows
        ):
            until_s = self._fruitless.get(peer.node, (0, -math.inf))[1]
            if now_s >= until_s:
                self._ask(peer, now_s)

    def answered(self, call: int, frame: frames.Frame, now_s: float) -> bool:
        """Take in what we lacked; False when the call is none of ours."""
        asked = self._calls.pop(call, None)
        if asked is None:
            return False
        node, ours, joins = asked
        records = [message for message in frame.messages if isinstance(message, Record)]
        learned = sum(self._recorder.hear(record, now_s, quietly=joins) for record in records)
        self._fruitless.pop(node, None)
        if not learned:
            if len(self._fruitless) >= _FRUITLESS_MAX:
                del self._fruitless[next(iter(self._fruitless))]
            self._fruitless[node] = (ours, now_s + _FRUITLESS_S)
        return True

    def failed(self, call: int) -> bool:
        """Nobody answered; False when the call is none of ours."""
        return self._calls.pop(call, None) is not None

    def stop(self) -> None:
        """Ask nobody any more."""
        self._calls.clear()

    def _ask(self, peer: Identity, now_s: float, *, joins: bool = False) -> None:
        voice = self._voice
        if len(self._calls) >= _CALLS_MAX:
            self._calls.pop(next(iter(self._calls)))
        call = voice.next_call()
        self._calls[call] = (peer.node, voice.holdings.digest, joins)
        self._exchanged_at_s = now_s
        rows = tuple(voice.holdings.versions())
        if len(rows) > ROWS_MAX:
            rows = rows[:ROWS_MAX]
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
