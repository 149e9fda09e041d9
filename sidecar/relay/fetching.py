"""Getting: one pull at a time, chunk by chunk, from one peer or from several.

A pull is for one content, named by its hash. It asks a peer, takes chunks while they verify, and goes on with
another peer at the next chunk when the first one dies, refuses, moves on or is slow: parcels of one content are the
same everywhere. What is finished is counted anew as a snapshot, and counts only when it has the hash it is for.
Whoever alone sent something wrong is left alone for long; where several took part, the next pull has one source.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.relay.backoffs import Backoffs
from sidecar.relay.book import Book, Target
from sidecar.relay.parcel import chained, read, short_hash, started
from sidecar.relay.voice import Voice
from sidecar.relay.wire import Chunk, ChunkRequest, Offer, Reason, Refusal, Want, Word
from store.errors import PeerError
from store.mirror.events import Severity
from store.snapshot import Epoch, Snapshot

__all__ = ["Fetched", "Fetcher"]

SLOW_IN_A_ROW = 2
"""Slow chunks until another peer is tried."""
_RETRY_S = 0.5
_SLOW_PAUSE_S = 5.0
_GONE_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Fetched:
    """Content that has the hash it was wanted for."""

    target: Target
    snapshot: Snapshot
    is_whole: bool
    """It does not build on what we had."""
    sources: tuple[str, ...]
    """Who sent it; the last one last."""


@dataclass(slots=True)
class _Pull:
    """The pull under way."""

    target: Target
    base: Snapshot | None
    """What the changes are asked for; None: everything is."""
    source: str = ""
    """Who is asked; empty: nobody, for want of peers."""
    call: int | None = None
    asked_s: float = 0.0
    offer: Offer | None = None
    body: bytearray = field(default_factory=bytearray)
    digest: bytes = b""
    index: int = 0
    senders: dict[str, None] = field(default_factory=dict)
    """Whose chunks are in `body`."""
    slow: int = 0
    moved_s: float = 0.0
    """When it began, or the last chunk came."""
    look_s: float = 0.0
    """When to look for somebody again."""


class Fetcher:
    """The getting side."""

    def __init__(self, voice: Voice, book: Book, backoffs: Backoffs) -> None:
        self._voice = voice
        self._book = book
        self._backoffs = backoffs
        self._pull: _Pull | None = None
        self._wants_whole = False
        self._wants_one_source = False

    @property
    def target(self) -> Target | None:
        """What is pulled now."""
        return self._pull.target if self._pull is not None else None

    @property
    def source(self) -> str:
        """Who is asked now; empty: nobody."""
        return self._pull.source if self._pull is not None else ""

    @property
    def progress(self) -> tuple[int, int]:
        """Chunks that are here, and chunks of the whole; zeros while that is not known."""
        if self._pull is None or self._pull.offer is None:
            return 0, 0
        return self._pull.index, self._pull.offer.chunks

    def deadline(self) -> float | None:
        """When something is to be done though nothing is heard."""
        pull = self._pull
        if pull is None:
            return None
        if pull.call is not None:
            return pull.asked_s + 2 * self._voice.settings.answer_timeout_s
        return pull.look_s

    def has_source(self, target: Target, now_s: float) -> bool:
        """Whether a peer that has this may be asked now."""
        return bool(self._candidates(target, now_s))

    def free_s(self, target: Target) -> float | None:
        """When the first peer that has this may be asked; None when nobody has it."""
        return self._backoffs.first_free_s(self._known(target))

    def begin(self, target: Target, base: Snapshot | None, now_s: float) -> None:
        """Pull this, on top of what we have where that helps."""
        assert self._pull is None
        if self._wants_whole:
            base = None
        self._pull = _Pull(target, base, moved_s=now_s)
        self._voice.counters["pulls_begun"] += 1
        self._turn_to_another(now_s)

    def drop(self, why: str) -> None:
        """Give the pull up."""
        if self._pull is not None:
            self._voice.counters[f"pulls_dropped_{why}"] += 1
        self._pull = None

    def owns(self, call: int) -> bool:
        """Whether this call is ours."""
        return self._pull is not None and self._pull.call == call

    def tick(self, now_s: float) -> None:
        """Look for somebody to go on with; give up an answer that a shell never told."""
        pull = self._pull
        if pull is None:
            return
        if pull.call is not None:
            if now_s >= pull.asked_s + 2 * self._voice.settings.answer_timeout_s:
                self.failed(now_s)
        elif now_s >= pull.look_s or self._candidates(pull.target, now_s):
            self._turn_to_another(now_s)

    def failed(self, now_s: float) -> None:
        """Our request got no answer."""
        pull = self._pull
        assert pull is not None
        self._voice.counters["peers_silent"] += 1
        self._backoffs.fail(pull.source, now_s, self._voice.settings.backoff_min_s)
        self._turn_to_another(now_s)

    def answered(self, word: Word | None, now_s: float) -> Fetched | None:
        """Our request was answered; returns what was fetched when that was the last of it."""
        pull = self._pull
        assert pull is not None
        pull.call = None
        match word:
            case Offer() if pull.index == 0:
                return self._offered(pull, word, now_s)
            case Offer():
                return self._offered_again(pull, word, now_s)
            case Chunk() if pull.offer is not None:
                return self._chunk(pull, pull.offer, word, now_s)
            case Refusal():
                self._refused(pull, word, now_s)
            case _:
                self._blame("it sent something else than was asked for", now_s)
                self._turn_to_another(now_s)
        return None

    def _offered(self, pull: _Pull, offer: Offer, now_s: float) -> Fetched | None:
        asked = pull.base.revision if pull.base is not None else 0
        if offer.since not in (0, asked):
            self._blame("it offered changes since another revision", now_s)
            self._turn_to_another(now_s)
            return None
        if offer.length > self._voice.settings.parcel_bytes_max:
            self._voice.report(
                "relay_content_too_large",
                Severity.ERROR,
                peer=pull.source,
                bytes=offer.length,
                allowed=self._voice.settings.parcel_bytes_max,
            )
            self._backoffs.fail(pull.source, now_s, self._voice.settings.backoff_bad_s)
            self._turn_to_another(now_s)
            return None
        pull.offer, pull.index, pull.body = offer, 0, bytearray()
        pull.senders.clear()
        pull.digest = started(pull.target.hash, offer.since, offer.length, offer.chunk_bytes)
        return self._go_on(pull, offer, now_s)

    def _offered_again(self, pull: _Pull, offer: Offer, now_s: float) -> Fetched | None:
        """By another peer, with chunks here already: they count when the parcel is the same."""
        if pull.offer is not None and offer == pull.offer and not self._wants_one_source:
            self._voice.counters["pulls_resumed"] += 1
            return self._go_on(pull, offer, now_s)
        return self._offered(pull, offer, now_s)

    def _go_on(self, pull: _Pull, offer: Offer, now_s: float) -> Fetched | None:
        if pull.index < offer.chunks:
            self._ask(pull, ChunkRequest(offer.digest, pull.index), now_s)
            return None
        if pull.digest != offer.digest:
            self._blame("its chunks do not add up to its offer", now_s)
            self._turn_to_another(now_s)
            return None
        return self._finished(pull, offer, now_s)

    def _chunk(self, pull: _Pull, offer: Offer, chunk: Chunk, now_s: float) -> Fetched | None:
        start = pull.index * offer.chunk_bytes
        expected = min(offer.chunk_bytes, offer.length - start)
        digest = chained(pull.digest, chunk.body)
        if chunk.index != pull.index or len(chunk.body) != expected or digest != chunk.digest:
            self._blame("a chunk is damaged or not the one asked for", now_s)
            self._turn_to_another(now_s)
            return None
        took_s = now_s - pull.asked_s
        pull.slow = pull.slow + 1 if took_s > self._voice.settings.slow_s else 0
        pull.body += chunk.body
        pull.digest, pull.index, pull.moved_s = digest, pull.index + 1, now_s
        pull.senders[pull.source] = pull.senders.pop(pull.source, None)
        self._voice.counters["bytes_taken"] += len(chunk.body)
        if pull.slow >= SLOW_IN_A_ROW and pull.index < offer.chunks:
            others = [n for n in self._candidates(pull.target, now_s) if n != pull.source]
            if others:
                self._voice.counters["peers_slow"] += 1
                self._backoffs.pause(pull.source, now_s, _SLOW_PAUSE_S)
                self._turn_to_another(now_s)
                return None
        return self._go_on(pull, offer, now_s)

    def _refused(self, pull: _Pull, refusal: Refusal, now_s: float) -> None:
        self._voice.counters[f"peers_{refusal.reason}"] += 1
        if (
            refusal.reason is Reason.GONE
        ):  # our place was lost: with a new one we go on where we are
            self._backoffs.fail(pull.source, now_s, _GONE_PAUSE_S)
        else:
            after_s = min(max(refusal.after_ms / 1000, _GONE_PAUSE_S), 60.0)
            self._backoffs.pause(pull.source, now_s, after_s * self._voice.rng.uniform(0.8, 1.6))
        self._turn_to_another(now_s)

    def _finished(self, pull: _Pull, offer: Offer, now_s: float) -> Fetched | None:
        snapshot = self._assembled(pull, offer)
        if snapshot is None or short_hash(snapshot) != pull.target.hash:
            if offer.since:
                self._wants_whole = True
            self._blame("its content does not have the attested hash", now_s)
            self.drop("wrong")
            return None
        self._pull, self._wants_one_source, self._wants_whole = None, False, False
        for node in pull.senders:
            self._backoffs.succeeded(node)
        self._voice.counters["pulls_finished"] += 1
        sources = tuple(pull.senders) or (pull.source,)
        return Fetched(pull.target, snapshot, is_whole=not offer.since, sources=sources)

    def _assembled(self, pull: _Pull, offer: Offer) -> Snapshot | None:
        try:
            rows = read(bytes(pull.body))
        except PeerError:
            return None
        target = pull.target
        if offer.since:
            assert pull.base is not None, "changes were offered, so they were asked for"
            return pull.base.apply(rows.upserts, rows.deletes, target.revision)
        if rows.deletes:
            return None
        return Snapshot.of(Epoch(1, target.cluster_id), target.revision, rows.upserts)

    def _blame(self, why: str, now_s: float) -> None:
        """Something is wrong that no honest peer sends. What is here is thrown away."""
        pull = self._pull
        assert pull is not None
        suspects = tuple(pull.senders) or (pull.source,)
        pull.offer, pull.index, pull.digest, pull.body = None, 0, b"", bytearray()
        pull.senders.clear()
        self._voice.counters["peers_wrong"] += 1
        if suspects == (pull.source,):
            pause_s = self._backoffs.fail(pull.source, now_s, self._voice.settings.backoff_bad_s)
            self._voice.report(
                "relay_peer_sent_wrong",
                Severity.WARNING,
                peer=pull.source,
                reason=why,
                left_alone_s=round(pause_s, 1),
            )
        else:
            self._wants_one_source = True

    def _turn_to_another(self, now_s: float) -> None:
        """Ask another peer, or wait until one may be asked."""
        pull = self._pull
        assert pull is not None
        pull.call = None
        candidates = self._candidates(pull.target, now_s)
        near = [node for node in candidates if self._voice.near(node)]
        if candidates:
            pull.source = self._voice.rng.choice(near or candidates)
            pull.slow = 0
            since = pull.base.revision if pull.base is not None else 0
            self._ask(pull, Want(pull.target.cluster_id, pull.target.hash, since), now_s)
            return
        pull.source = ""
        free_s = self.free_s(pull.target)
        pull.look_s = max(now_s + 0.01, now_s + _RETRY_S if free_s is None else free_s)
        if now_s - pull.moved_s >= self._voice.settings.give_up_s or free_s is None:
            self.drop("alone")

    def _ask(self, pull: _Pull, word: Word, now_s: float) -> None:
        pull.call = self._voice.ask(pull.source, word)
        pull.asked_s = now_s

    def _known(self, target: Target) -> list[str]:
        """Who may have it, and can be asked at some time."""
        nodes = self._book.holders(target) + self._book.beyond(target)
        return [node for node in nodes if node in self._voice.peers]

    def _candidates(self, target: Target, now_s: float) -> list[str]:
        """Who may be asked now: those who have exactly this; where there is none, those who are beyond it."""
        for nodes in (self._book.holders(target), self._book.beyond(target)):
            found = [
                n for n in nodes if n in self._voice.peers and self._backoffs.is_free(n, now_s)
            ]
            if found:
                return found
        return []
