"""Getting: chunk by chunk, from one peer or several, and only what has the hash that it was asked for by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.relay import RelaySettings
from sidecar.relay.backoffs import Backoffs
from sidecar.relay.book import Book, Target
from sidecar.relay.fetching import Fetched, Fetcher
from sidecar.relay.parcel import Parcel, Rows, pack, short_hash
from sidecar.relay.wire import (
    Chunk,
    ChunkRequest,
    Offer,
    Reason,
    Refusal,
    VouchRequest,
    Want,
    Word,
)
from sidecar.standing.model import Sync
from store.snapshot import Snapshot
from tests.sidecar.relay.words import CLUSTER, asks, entry, line, standing, voice_of

SETTINGS = RelaySettings(chunk_bytes=1024)
BASE, TARGET = line(10, 2, objects=120)
FORGED = TARGET.apply([entry("o1", 7, b"forged")], [], 11)


def whole(snapshot: Snapshot, hash_of: Snapshot = TARGET) -> Parcel:
    """A parcel of everything in `snapshot`, said to lead to another one."""
    return pack(hash_of, Rows(tuple(snapshot.entries()), ()), 0, 1024)


def changes(hash_of: Snapshot = TARGET, value: bytes = b"{}") -> Parcel:
    return pack(hash_of, Rows((entry("new11", 11, value),), ()), 10, 1024)


class Pulling:
    """A fetcher among peers that have the target."""

    def __init__(self, *peers: str, base: Snapshot | None = BASE) -> None:
        self.voice = voice_of(*peers, settings=SETTINGS)
        self.book = Book()
        self.book.seen(set(peers))
        for name in peers:
            self.book.heard(name, standing(TARGET))
        self.backoffs = Backoffs(self.voice)
        self.fetcher = Fetcher(self.voice, self.book, self.backoffs)
        self.now_s = 100.0
        self.base = base
        self.target = Target(CLUSTER, 11, short_hash(TARGET))
        self.call, self.source = 0, ""
        self.asked: Word | None = None
        self.begin()

    def begin(self) -> None:
        self.voice.effects = []
        self.fetcher.begin(self.target, self.base, self.now_s)
        self.look()

    def look(self) -> None:
        """What is asked now."""
        self.asked = None
        for call, source, word in asks(self.voice.effects):
            self.call, self.source, self.asked = call, source, word

    def is_asked(self, word: Word) -> bool:
        return self.asked == word

    def answer(self, word: Word | None, after_s: float = 0.01) -> Fetched | None:
        self.now_s += after_s
        self.voice.effects = []
        assert self.fetcher.owns(self.call)
        fetched = self.fetcher.answered(word, self.now_s)
        self.look()
        return fetched

    def fail(self) -> None:
        self.now_s += 3.0
        self.voice.effects = []
        self.fetcher.failed(self.now_s)
        self.look()

    def give(self, parcel: Parcel, until: int = 10**6) -> Fetched | None:
        """Answer with this parcel, up to a chunk."""
        while True:
            match self.asked:
                case Want():
                    fetched = self.answer(offer_of(parcel))
                case ChunkRequest(_, index) if index < until:
                    fetched = self.answer(chunk_of(parcel, index))
                case _:
                    return None
            if fetched is not None:
                return fetched


def offer_of(parcel: Parcel) -> Offer:
    return Offer(parcel.digest, parcel.since, len(parcel.body), parcel.chunk_bytes)


def chunk_of(parcel: Parcel, index: int) -> Chunk:
    return Chunk(index, parcel.chunk(index), parcel.digests[index + 1], 11)


def test_changes_are_asked_for_and_applied() -> None:
    one = Pulling("a")
    assert one.asked == Want(CLUSTER, short_hash(TARGET), 10)
    fetched = one.give(changes())
    assert fetched is not None
    assert fetched.snapshot.is_same(TARGET)
    assert (fetched.is_whole, fetched.sources) == (False, ("a",))
    assert one.fetcher.target is None


def test_everything_comes_in_chunks_where_nothing_is_known() -> None:
    one = Pulling("a", base=None)
    parcel = whole(TARGET)
    assert offer_of(parcel).chunks > 3
    fetched = one.give(parcel)
    assert fetched is not None
    assert fetched.is_whole
    assert fetched.snapshot.is_same(TARGET)


def test_another_peer_goes_on_at_the_next_chunk() -> None:
    one = Pulling("a", "b", base=None)
    parcel = whole(TARGET)
    one.give(parcel, until=2)
    first = one.source
    one.fail()
    assert one.source != first
    assert isinstance(one.asked, Want)
    one.answer(offer_of(parcel))
    assert one.is_asked(ChunkRequest(parcel.digest, 2))
    fetched = one.give(parcel)
    assert fetched is not None
    assert fetched.sources == (first, one.source)


def test_a_peer_with_another_parcel_begins_from_the_first_chunk() -> None:
    one = Pulling("a", "b", base=None)
    one.give(whole(TARGET), until=2)
    one.fail()
    other = pack(TARGET, Rows(tuple(TARGET.entries()), ()), 0, 2048)
    one.answer(offer_of(other))
    assert one.asked == ChunkRequest(other.digest, 0)
    fetched = one.give(other)
    assert fetched is not None
    assert fetched.sources == (one.source,)


def test_content_with_another_hash_is_thrown_away_and_its_sender_left_alone() -> None:
    one = Pulling("a", base=None)
    assert one.give(whole(FORGED)) is None
    assert one.fetcher.target is None
    assert not one.backoffs.is_free("a", one.now_s + 20.0)
    (report,) = one.voice.effects
    assert getattr(report, "name", "") == "relay_peer_sent_wrong"


def test_after_changes_that_do_not_fit_everything_is_asked_for() -> None:
    one = Pulling("a", "b")
    assert one.give(changes(value=b"forged")) is None
    assert one.fetcher.target is None
    one.begin()
    assert one.asked == Want(CLUSTER, short_hash(TARGET), 0)
    assert one.give(whole(TARGET)) is not None
    one.begin()
    assert one.asked == Want(CLUSTER, short_hash(TARGET), 10), "and changes again afterwards"


def test_where_several_sent_something_wrong_the_next_pull_has_one_source_and_finds_the_liar() -> (
    None
):
    one = Pulling("a", "b", base=None)
    parcel = whole(FORGED)
    one.give(parcel, until=2)
    one.fail()
    assert one.give(parcel) is None, "begun by one, ended by another"
    assert one.voice.counters["peers_wrong"] == 1
    one.now_s += 10.0
    assert one.backoffs.is_free("a", one.now_s), "who lied is not known"
    assert one.backoffs.is_free("b", one.now_s)
    one.begin()
    one.give(parcel, until=2)
    one.fail()
    liar = one.source
    one.answer(offer_of(parcel))
    assert one.asked == ChunkRequest(parcel.digest, 0), "what the other one sent does not count"
    assert one.give(parcel) is None
    assert not one.backoffs.is_free(liar, one.now_s + 20.0)


PARCEL = whole(TARGET)
WRONG_CHUNKS = {
    "another index": replace(chunk_of(PARCEL, 0), index=1),
    "damaged": replace(chunk_of(PARCEL, 0), body=bytes(1024)),
    "short": replace(chunk_of(PARCEL, 0), body=PARCEL.chunk(0)[:-1]),
    "another digest": replace(chunk_of(PARCEL, 0), digest=bytes(32)),
}


@pytest.mark.parametrize("word", WRONG_CHUNKS.values(), ids=WRONG_CHUNKS.keys())
def test_a_chunk_that_does_not_verify_ends_it_with_this_peer(word: Chunk) -> None:
    one = Pulling("a", "b", base=None)
    one.answer(offer_of(PARCEL))
    first = one.source
    one.answer(word)
    assert one.source != first
    assert isinstance(one.asked, Want)
    assert not one.backoffs.is_free(first, one.now_s + 20.0)


def test_chunks_that_do_not_add_up_to_the_offer_are_wrong() -> None:
    one = Pulling("a", base=None)
    lying = replace(offer_of(PARCEL), digest=bytes(32))
    one.answer(lying)
    for index in range(lying.chunks):
        assert one.answer(chunk_of(PARCEL, index)) is None
    assert one.voice.counters["peers_wrong"] == 1


WRONG_ANSWERS: dict[str, Word | None] = {
    "no word": None,
    "a request": VouchRequest(CLUSTER, 1),
    "a chunk without an offer": chunk_of(PARCEL, 0),
    "changes since another revision": replace(offer_of(PARCEL), since=9),
}


@pytest.mark.parametrize("word", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS.keys())
def test_an_answer_to_another_question_is_wrong(word: Word | None) -> None:
    one = Pulling("a", "b")
    first = one.source
    one.answer(word)
    assert one.source != first
    assert not one.backoffs.is_free(first, one.now_s + 20.0)


def test_content_beyond_the_bound_is_not_begun() -> None:
    one = Pulling("a", base=None)
    one.answer(replace(offer_of(PARCEL), length=SETTINGS.parcel_bytes_max + 1))
    assert not isinstance(one.asked, ChunkRequest)
    assert not one.backoffs.is_free("a", one.now_s + 20.0)


@pytest.mark.parametrize("reason", list(Reason))
def test_who_refuses_is_asked_again_later_and_another_one_now(reason: Reason) -> None:
    one = Pulling("a", "b")
    first = one.source
    one.answer(Refusal(reason, 400, 12, bytes(16)))
    assert one.source != first
    assert one.backoffs.is_free(first, one.now_s + 1.0), "it has done nothing wrong"


def test_nobody_to_ask_is_waited_for_and_then_the_pull_is_dropped() -> None:
    one = Pulling("a")
    one.fail()
    assert one.asked is None
    assert one.fetcher.target is not None
    while one.fetcher.target is not None and one.now_s < 300.0:
        due_s = one.fetcher.deadline()
        assert due_s is not None
        assert due_s > one.now_s
        one.now_s = due_s
        one.voice.effects = []
        one.fetcher.tick(one.now_s)
        one.look()
        if one.asked is not None:
            one.answer(Refusal(Reason.BUSY, 60_000, 1, bytes(16)))
    assert one.now_s < 200.0
    assert one.voice.counters["pulls_dropped_alone"] == 1


def test_somebody_who_gets_it_meanwhile_is_asked_at_once() -> None:
    one = Pulling("a", "b")
    one.fetcher.drop("again")
    one.book.heard("b", standing(BASE))
    one.begin()
    one.answer(None)
    assert one.asked is None, "the only one that has it sent nonsense"
    one.book.heard("b", standing(TARGET))
    one.voice.effects = []
    one.fetcher.tick(one.now_s)
    one.look()
    assert one.source == "b"


def test_an_answer_that_the_shell_never_tells_is_given_up() -> None:
    one = Pulling("a", "b")
    first = one.source
    due_s = one.fetcher.deadline()
    assert due_s == 100.0 + 2 * SETTINGS.answer_timeout_s
    one.now_s = due_s
    one.voice.effects = []
    one.fetcher.tick(due_s)
    one.look()
    assert one.source != first


def test_two_slow_chunks_in_a_row_send_us_elsewhere_if_there_is_another() -> None:
    one = Pulling("a", "b", base=None)
    one.answer(offer_of(PARCEL))
    first = one.source
    one.answer(chunk_of(PARCEL, 0), after_s=1.1)
    assert one.source == first
    one.answer(chunk_of(PARCEL, 1), after_s=1.1)
    assert one.source != first

    alone = Pulling("a", base=None)
    alone.answer(offer_of(PARCEL))
    for index in range(3):
        alone.answer(chunk_of(PARCEL, index), after_s=1.1)
    assert alone.asked == ChunkRequest(PARCEL.digest, 3)


def test_members_of_our_zone_are_asked_first() -> None:
    for _ in range(5):
        one = Pulling("a", "b", "c")
        one.fetcher.drop("again")
        far = one.voice.peers["a"].locality._replace(zone="far")
        one.voice.peers = {
            name: replace(peer, locality=far if name != "c" else peer.locality)
            for name, peer in one.voice.peers.items()
        }
        one.begin()
        assert one.source == "c"


def test_who_follows_peers_is_as_good_a_source() -> None:
    one = Pulling("a")
    one.fetcher.drop("again")
    one.book.heard("a", standing(TARGET, Sync.PEERS))
    one.begin()
    assert one.source == "a"
