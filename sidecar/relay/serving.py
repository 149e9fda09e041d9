"""Giving: a few peers at once, each at one revision from its first chunk to its last, within a bandwidth.

A peer that wants something gets a place and an offer, or is told why not. A parcel is made once for all who are at
the same revision, which is what hosts that follow the same watchers are. Bandwidth is a bucket that may go into
debt for one chunk: an answer leaves when the debt is paid, so that a burst of small changes never waits.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from sidecar.relay.history import History
from sidecar.relay.parcel import Parcel, Rows, pack, short_hash
from sidecar.relay.voice import Voice
from sidecar.relay.wire import HASH_BYTES, Chunk, ChunkRequest, Offer, Reason, Refusal, Want

__all__ = ["Server"]

_PARCELS_KEPT = 4
_BURST_S = 0.1
_BUSY_MS = 250


@dataclass(slots=True)
class _Place:
    """One peer that pulls."""

    parcel: Parcel
    until_s: float
    waiting: tuple[int, int] | None = None
    """Call and index of the chunk that waits for bandwidth."""


class Server:
    """The giving side."""

    def __init__(self, voice: Voice, history: History) -> None:
        self._voice = voice
        self._history = history
        self._places: dict[str, _Place] = {}
        self._parcels: OrderedDict[tuple[int, bytes], Parcel] = OrderedDict()
        self._queue: deque[str] = deque()
        self._tokens = _BURST_S * voice.settings.bandwidth_bytes_per_s
        self._filled_s = 0.0

    def __len__(self) -> int:
        return len(self._places)

    def deadline(self) -> float | None:
        """When the next answer may leave."""
        if not self._queue:
            return None
        return self._filled_s + max(0.0, -self._tokens) / self._voice.settings.bandwidth_bytes_per_s

    def tick(self, now_s: float) -> None:
        """Send what bandwidth allows; give up places of those who went silent."""
        self._fill(now_s)
        while self._queue and self._tokens > -1.0:  # a byte of tolerance, for rounding
            place = self._places.get(self._queue.popleft())
            if place is not None and place.waiting is not None:
                call, index = place.waiting
                place.waiting = None
                self._send(call, place, index, now_s)
        for client in [c for c, place in self._places.items() if now_s >= place.until_s]:
            if self._places[client].waiting is None:
                del self._places[client]

    def wanted(self, call: int, client: str, want: Want, now_s: float) -> None:
        """Somebody wants what leads to a hash."""
        target = self._history.find(want.cluster_id, want.hash)
        if target is None:
            self._refuse(call, Reason.UNKNOWN, 1000)
            return
        if client not in self._places and len(self._places) >= self._voice.settings.pulls_served:
            self._refuse(call, Reason.BUSY, _BUSY_MS)
            return
        parcel = self._parcel(want)
        if len(parcel.body) > self._voice.settings.parcel_bytes_max:
            self._refuse(call, Reason.LARGE, 60_000)
            return
        self._voice.counters["pulls_offered"] += 1
        if parcel.body:
            self._places[client] = _Place(parcel, now_s + self._voice.settings.place_idle_s)
        offer = Offer(parcel.digest, parcel.since, len(parcel.body), parcel.chunk_bytes)
        self._voice.answer(call, offer)

    def asked(self, call: int, client: str, asked: ChunkRequest, now_s: float) -> None:
        """Somebody with a place wants a chunk."""
        place = self._places.get(client)
        if (
            place is None
            or place.parcel.digest != asked.digest
            or place.waiting is not None
            or not place.parcel.chunk(asked.index)
        ):
            self._refuse(call, Reason.GONE, 0)
            return
        place.until_s = now_s + self._voice.settings.place_idle_s
        place.waiting = (call, asked.index)
        self._queue.append(client)

    def _send(self, call: int, place: _Place, index: int, now_s: float) -> None:
        newest = self._history.newest
        body, parcel = place.parcel.chunk(index), place.parcel
        place.until_s = now_s + self._voice.settings.place_idle_s
        self._tokens -= len(body)
        self._voice.counters["bytes_sent"] += len(body)
        revision = newest.revision if newest is not None else 0
        self._voice.answer(call, Chunk(index, body, parcel.digests[index + 1], revision))
        if index + 2 == len(parcel.digests):
            self._places = {c: one for c, one in self._places.items() if one is not place}

    def _parcel(self, want: Want) -> Parcel:
        key = (want.since, want.hash)
        known = self._parcels.pop(key, None)
        if known is None:
            target = self._history.find(want.cluster_id, want.hash)
            assert target is not None, "the caller has found it"
            rows = self._history.changes_since(want.since, target) if want.since else None
            since = want.since if rows is not None else 0
            rows = rows or Rows(tuple(target.entries()), ())
            known = pack(target, rows, since, self._voice.settings.chunk_bytes)
        self._parcels[key] = known
        while len(self._parcels) > _PARCELS_KEPT:
            self._parcels.popitem(last=False)
        return known

    def _refuse(self, call: int, reason: Reason, after_ms: int) -> None:
        self._voice.counters[f"refused_{reason}"] += 1
        newest = self._history.newest
        if newest is None:
            refusal = Refusal(reason, after_ms, 0, bytes(HASH_BYTES))
        else:
            refusal = Refusal(reason, after_ms, newest.revision, short_hash(newest))
        self._voice.answer(call, refusal)

    def _fill(self, now_s: float) -> None:
        rate = self._voice.settings.bandwidth_bytes_per_s
        self._tokens = min(_BURST_S * rate, self._tokens + (now_s - self._filled_s) * rate)
        self._filled_s = now_s
