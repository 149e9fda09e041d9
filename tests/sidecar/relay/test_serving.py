"""Giving: a few at once, each at one revision, within the bandwidth; and the truth about what cannot be given."""

from __future__ import annotations

from sidecar.relay import RelaySettings
from sidecar.relay.history import History
from sidecar.relay.parcel import read, short_hash
from sidecar.relay.serving import Server
from sidecar.relay.voice import Voice
from sidecar.relay.wire import HASH_BYTES, Chunk, ChunkRequest, Offer, Reason, Refusal, Want
from store.snapshot import Snapshot
from tests.sidecar.relay.words import CLUSTER, answers, entry, line, voice_of

SETTINGS = RelaySettings(chunk_bytes=1024, bandwidth_bytes_per_s=100_000)


class Giving:
    """A server, and what it answers."""

    def __init__(self, snapshots: list[Snapshot], settings: RelaySettings = SETTINGS) -> None:
        self.voice: Voice = voice_of(settings=settings)
        self.history = History(settings.history)
        for snapshot in snapshots:
            self.history.remember(snapshot, is_first_hand=True)
        self.server = Server(self.voice, self.history)
        self.now_s = 100.0
        self.call = 0
        self.server.tick(self.now_s)

    def want(self, client: str, target: Snapshot, since: int = 0) -> Offer | Refusal:
        self.call += 1
        self.voice.effects = []
        want = Want(CLUSTER, short_hash(target), since)
        self.server.wanted(self.call, client, want, self.now_s)
        self.server.tick(self.now_s)
        answer = answers(self.voice.effects)[self.call]
        assert isinstance(answer, Offer | Refusal)
        return answer

    def ask(self, client: str, offer: Offer, index: int) -> Chunk | Refusal | None:
        self.call += 1
        self.voice.effects = []
        self.server.asked(self.call, client, ChunkRequest(offer.digest, index), self.now_s)
        self.server.tick(self.now_s)
        answer = answers(self.voice.effects).get(self.call)
        assert answer is None or isinstance(answer, Chunk | Refusal)
        return answer

    def offered(self, client: str, target: Snapshot, since: int = 0) -> Offer:
        answer = self.want(client, target, since)
        assert isinstance(answer, Offer)
        return answer

    def refused(self, client: str, target: Snapshot) -> Reason:
        answer = self.want(client, target)
        assert isinstance(answer, Refusal)
        return answer.reason

    def wait(self) -> dict[int, object]:
        """Let the bandwidth recover; what is answered then."""
        due_s = self.server.deadline()
        assert due_s is not None
        self.now_s = due_s
        self.voice.effects = []
        self.server.tick(self.now_s)
        return dict(answers(self.voice.effects))


def test_changes_are_given_where_they_are_known_and_everything_where_not() -> None:
    snapshots = line(10, 4)
    one = Giving(snapshots)
    offer = one.offered("a", snapshots[3], since=11)
    assert offer.since == 11
    chunk = one.ask("a", offer, 0)
    assert isinstance(chunk, Chunk)
    assert [e.mod_revision for e in read(chunk.body).upserts] == [12, 13]
    assert one.offered("b", snapshots[3], since=9).since == 0
    assert one.offered("c", snapshots[3]).since == 0


def test_a_pull_stays_at_its_revision_and_hears_that_there_is_a_newer_one() -> None:
    snapshots = line(10, 2, objects=200)
    one = Giving(snapshots[:1])
    offer = one.offered("a", snapshots[0])
    first = one.ask("a", offer, 0)
    one.history.remember(snapshots[1], is_first_hand=True)
    second = one.ask("a", offer, 1)
    assert isinstance(first, Chunk)
    assert isinstance(second, Chunk)
    assert (first.newest, second.newest) == (10, 11)
    body = first.body + second.body
    for index in range(2, offer.chunks):
        chunk = one.ask("a", offer, index)
        if chunk is None:
            (waited,) = one.wait().values()
            chunk = waited  # type: ignore[assignment]  # narrowed in the next line
        assert isinstance(chunk, Chunk)
        body += chunk.body
    assert Snapshot.of(snapshots[0].epoch, 10, read(body).upserts).is_same(snapshots[0])


def test_no_more_than_three_pull_at_once_and_a_place_is_free_after_the_last_chunk() -> None:
    snapshots = line(10, 1, objects=100)
    one = Giving(snapshots)
    offers = [one.offered(client, snapshots[0]) for client in "abc"]
    assert one.refused("d", snapshots[0]) is Reason.BUSY
    assert one.offered("a", snapshots[0]) == offers[0], "who has a place may begin again"
    assert len(one.server) == 3
    one.ask("a", offers[0], offers[0].chunks - 1)
    assert one.offered("d", snapshots[0]) == offers[0], "the same for all"


def test_a_place_is_lost_by_silence() -> None:
    snapshots = line(10, 1, objects=100)
    one = Giving(snapshots)
    offer = one.offered("a", snapshots[0])
    one.now_s += SETTINGS.place_idle_s + 0.1
    one.server.tick(one.now_s)
    assert len(one.server) == 0
    answer = one.ask("a", offer, 0)
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.GONE


def test_what_is_not_at_hand_is_refused_with_what_is() -> None:
    snapshots = line(10, 3)
    one = Giving(snapshots)
    stranger = line(10, 1, objects=3)[0]
    answer = one.want("a", stranger)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.newest) == (Reason.UNKNOWN, 12)
    assert answer.hash == short_hash(snapshots[2])
    empty = Giving([]).want("a", stranger)
    assert isinstance(empty, Refusal)
    assert (empty.newest, empty.hash) == (0, bytes(HASH_BYTES))


def test_content_beyond_the_bound_is_refused() -> None:
    snapshots = line(10, 1, objects=100)
    one = Giving(snapshots, RelaySettings(parcel_bytes_max=1000))
    assert one.refused("a", snapshots[0]) is Reason.LARGE
    assert len(one.server) == 0


def test_chunks_that_are_none_and_places_of_others_are_refused() -> None:
    snapshots = line(10, 1, objects=100)
    one = Giving(snapshots)
    offer = one.offered("a", snapshots[0])
    for client, index in (("b", 0), ("a", offer.chunks), ("a", 2**32 - 1)):
        answer = one.ask(client, offer, index)
        assert isinstance(answer, Refusal)
        assert answer.reason is Reason.GONE


def test_bandwidth_holds_over_all_pulls_and_a_second_request_while_one_waits_is_refused() -> None:
    settings = RelaySettings(chunk_bytes=4096, bandwidth_bytes_per_s=10_000)
    target = Snapshot.of(line(10, 1)[0].epoch, 10, [entry("big", 10, bytes(200_000))])
    one = Giving([target], settings)
    offers = {client: one.offered(client, target) for client in "ab"}
    start_s, sent, index = one.now_s, 0, {"a": 0, "b": 0}
    for _ in range(20):
        for client in "ab":
            answer = one.ask(client, offers[client], index[client])
            if isinstance(answer, Chunk):
                sent += len(answer.body)
                index[client] += 1
            elif answer is None:
                second = one.ask(client, offers[client], 0)
                assert isinstance(second, Refusal)
        while one.server.deadline() is not None:
            for chunk in one.wait().values():
                assert isinstance(chunk, Chunk)
                sent += len(chunk.body)
    assert sent > 50_000
    allowed = (one.now_s - start_s) * 10_000 + 1_000 + 4096 + 1  # a burst, a debt of one chunk
    assert sent <= allowed


def test_an_empty_configuration_is_an_offer_without_chunks() -> None:
    empty = Snapshot.empty(line(10, 1)[0].epoch, 10)
    one = Giving([empty])
    assert one.offered("a", empty).chunks == 0
    assert len(one.server) == 0, "which needs no place"
