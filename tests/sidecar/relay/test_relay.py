"""The core of the relay: which event leads to which step."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st

from sidecar.mesh.model import Locality
from sidecar.relay import Relay, RelaySettings, StoreLink
from sidecar.relay import events as on
from sidecar.relay.parcel import short_hash
from sidecar.relay.wire import (
    Offer,
    Statement,
    Vouches,
    VouchRequest,
    Want,
    encode,
)
from sidecar.standing.model import Standing, Sync
from store.snapshot import Epoch, Snapshot
from tests.sidecar.relay.words import CLUSTER, Key, answers, asks, line, said, standing

SNAPSHOTS = line(10, 5)
PEERS = {name: on.Peer(f"{name}:7946") for name in "abc"}


class Driven:
    """A relay, driven by hand."""

    def __init__(self, settings: RelaySettings | None = None, link: StoreLink = StoreLink.AWAY):
        self.core = Relay("me", random.Random(1), settings, mesh_id="mesh", signer=Key(9))
        self.now_s = 100.0
        self.effects: list[on.Effect] = []
        self.tell(on.StoreSeen(link))
        self.tell(on.MembersSeen(PEERS))

    def tell(self, event: on.Event, after_s: float = 0.01) -> list[on.Effect]:
        self.now_s += after_s
        self.effects = self.core.handle(event, self.now_s)
        return self.effects

    def wake(self) -> list[on.Effect]:
        due_s = self.core.deadline()
        assert due_s is not None, "it waits for nothing"
        self.now_s = max(self.now_s, due_s)
        self.effects = self.core.handle(on.TimePassed(), self.now_s)
        return self.effects

    def hear(self, snapshot: Snapshot, *nodes: str, sync: Sync = Sync.STORE) -> list[on.Effect]:
        found: list[on.Effect] = []
        for number, node in enumerate(nodes):
            found += self.tell(
                on.StandingHeard(node, standing(snapshot, sync), Key(number + 1).public)
            )
        return found


def serving(*snapshots: Snapshot) -> Driven:
    one = Driven(link=StoreLink.FOLLOWED)
    for snapshot in snapshots:
        one.tell(on.SnapshotSeen(snapshot))
    return one


def pull(client: Driven, server: Driven) -> on.Adopt | None:
    """Carry requests and answers between two relays until nothing more is asked."""
    effects = list(client.effects)
    while effects:
        effect = effects.pop(0)
        if isinstance(effect, on.Adopt):
            return effect
        if isinstance(effect, on.AskPeer):
            for answer in server.tell(on.PeerAsked(1, "me", effect.body)):
                assert isinstance(answer, on.AnswerPeer)
                effects += client.tell(on.PeerAnswered(effect.call, answer.body))
    return None


def test_a_host_that_is_behind_pulls_what_two_attest_and_adopts_it() -> None:
    client = Driven()
    client.tell(on.SnapshotSeen(SNAPSHOTS[0]))
    assert not client.hear(SNAPSHOTS[4], "a")
    assert not client.hear(SNAPSHOTS[4], "b"), "the pull begins within the jitter, not at once"
    client.wake()
    adopted = pull(client, serving(*SNAPSHOTS))
    assert adopted is not None
    assert adopted.snapshot.is_same(SNAPSHOTS[4])
    assert adopted.attested_by == ("a", "b")
    assert adopted.source in ("a", "b")
    view = client.core.snapshot()
    assert (view.revision, view.sync, view.target) == (14, Sync.PEERS, None)


def test_a_host_that_follows_etcd_pulls_nothing() -> None:
    one = serving(SNAPSHOTS[0])
    one.hear(SNAPSHOTS[4], "a", "b")
    assert one.core.deadline() is None
    assert one.core.sync is Sync.STORE


def test_a_pull_ends_when_etcd_is_back() -> None:
    one = Driven()
    one.hear(SNAPSHOTS[4], "a", "b")
    one.wake()
    assert one.core.snapshot().target is not None
    one.tell(on.StoreSeen(StoreLink.FOLLOWED))
    assert one.core.snapshot().target is None


def test_a_host_that_waits_for_a_person_follows_its_own_epoch_and_no_other() -> None:
    one = Driven(link=StoreLink.HELD)
    one.tell(on.SnapshotSeen(SNAPSHOTS[0]))
    foreign = Snapshot.of(Epoch(1, 7), 10, SNAPSHOTS[0].entries())
    one.hear(foreign, "a", "b")
    for _ in range(5):
        if one.core.deadline() is None:
            break
        one.wake()
        one.now_s += 60.0
    assert one.core.snapshot().target is None
    assert one.core.sync is Sync.HELD
    one.hear(SNAPSHOTS[1], "a", "b")
    one.wake()
    assert one.core.snapshot().target is not None


def test_nothing_is_pulled_from_a_member_that_gossip_does_not_hold() -> None:
    one = Driven()
    one.tell(on.SnapshotSeen(SNAPSHOTS[0]))
    one.tell(on.MembersSeen({"c": PEERS["c"]}))
    one.hear(SNAPSHOTS[4], "a", "b")
    assert one.core.deadline() is None
    one.tell(on.MembersSeen(PEERS))
    assert asks(one.wake())


def test_a_source_that_leaves_is_not_waited_for() -> None:
    one = Driven()
    one.hear(SNAPSHOTS[4], "a", "b")
    ((_, source, _),) = asks(one.wake())
    other = {name: peer for name, peer in PEERS.items() if name != source}
    ((_, second, _),) = asks(one.tell(on.MembersSeen(other)))
    assert second != source


def test_a_newer_target_takes_the_place_of_one_that_nobody_has_any_more() -> None:
    one = Driven()
    one.tell(on.SnapshotSeen(SNAPSHOTS[0]))
    one.hear(SNAPSHOTS[1], "a", "b")
    ((call, _, _),) = asks(one.wake())
    one.hear(SNAPSHOTS[4], "a", "b")
    one.tell(on.PeerFailed(call))
    calls = asks(one.effects)
    while calls:
        ((call, _, word),) = calls
        if isinstance(word, Want) and word.hash == short_hash(SNAPSHOTS[4]):
            return
        calls = asks(one.tell(on.PeerFailed(call)))
    one.wake()
    assert one.core.snapshot().target is not None
    assert one.core.snapshot().target.revision == 14  # type: ignore[union-attr]  # asserted above


def test_a_peer_that_has_other_content_at_our_revision_is_named_once() -> None:
    one = serving(*SNAPSHOTS)
    for _ in range(3):
        one.tell(on.StandingHeard("a", said(13, "f")))
    reports = one.tell(on.StandingHeard("b", said(14, "f")))
    assert [r.name for r in reports if isinstance(r, on.Report)] == ["same_revision_other_content"]
    assert dict(one.core.snapshot().counters)["hash_differs"] == 2
    one.tell(on.StandingHeard("a", said(13, "f", cluster=5)))
    assert dict(one.core.snapshot().counters)["hash_differs"] == 2, "another etcd is another matter"


def test_an_earlier_snapshot_of_our_epoch_changes_nothing() -> None:
    one = serving(*SNAPSHOTS)
    one.tell(on.SnapshotSeen(SNAPSHOTS[1]))
    assert one.core.snapshot().revision == 14


def test_a_snapshot_of_another_epoch_is_followed_and_the_old_one_left() -> None:
    one = serving(*SNAPSHOTS)
    other = Snapshot.of(Epoch(2, 7), 3, SNAPSHOTS[0].entries())
    one.tell(on.SnapshotSeen(other))
    assert one.core.snapshot().epoch == Epoch(2, 7)
    one.tell(on.StoreSeen(StoreLink.AWAY))
    one.hear(SNAPSHOTS[4], "a", "b")
    for _ in range(3):
        if one.core.deadline() is None:
            break
        one.wake()
        one.now_s += 100.0
    assert one.core.snapshot().target is None


def test_a_host_vouches_for_what_it_had_from_etcd() -> None:
    one = serving(*SNAPSHOTS)
    one.tell(on.PeerAsked(5, "x", encode(VouchRequest(CLUSTER, 0))))
    word = answers(one.effects)[5]
    assert isinstance(word, Vouches)
    assert [pair.revision for pair in word.statements[0].pairs] == [10, 11, 12, 13, 14]


def test_a_host_vouches_for_its_disk_once_the_watch_goes_on_from_it() -> None:
    one = Driven()
    one.tell(on.SnapshotSeen(SNAPSHOTS[0], is_first_hand=False))
    question = encode(VouchRequest(CLUSTER, 0))
    one.tell(on.PeerAsked(1, "x", question))
    assert answers(one.effects)[1] == Vouches(())
    one.tell(on.StoreSeen(StoreLink.FOLLOWED))
    one.tell(on.PeerAsked(2, "x", question))
    word = answers(one.effects)[2]
    assert isinstance(word, Vouches)
    assert [pair.revision for pair in word.statements[0].pairs] == [10]


def test_what_is_stated_when_asked_is_pulled() -> None:
    one = Driven()
    one.tell(on.SnapshotSeen(SNAPSHOTS[0]))
    assert not one.hear(SNAPSHOTS[4], "a") + one.hear(SNAPSHOTS[3], "b")
    asked = asks(one.wake())
    assert {type(word) for _, _, word in asked} == {VouchRequest}
    server = serving(*SNAPSHOTS)
    server.core = Relay("b", random.Random(1), mesh_id="mesh", signer=Key(1))
    for snapshot in SNAPSHOTS:
        server.tell(on.SnapshotSeen(snapshot))
    (answer,) = answers(
        server.tell(on.PeerAsked(1, "me", encode(VouchRequest(CLUSTER, 10))))
    ).values()
    assert isinstance(answer, Vouches)
    for call, _, _ in asked:
        one.tell(on.PeerAnswered(call, encode(answer)))
    assert one.core.deadline() is not None
    one.wake()
    target = one.core.snapshot().target
    assert target is not None
    assert target.revision == 14


def in_time(one: Driven, server: Driven, for_s: float) -> on.Adopt | None:
    """Let time pass, and carry requests and answers, until something is adopted."""
    end_s = one.now_s + for_s
    while (due_s := one.core.deadline()) is not None and due_s < end_s:
        one.wake()
        adopted = pull(one, server)
        if adopted is not None:
            return adopted
    one.now_s = end_s
    return None


def elsewhere(*gone: str) -> Snapshot:
    """What another etcd holds, restored from a backup of ours."""
    keys = [f"ns/default/virtualservices/{name}" for name in gone]
    return Snapshot.of(Epoch(1, 7), 4, SNAPSHOTS[0].apply([], keys, 10).entries())


def test_another_epoch_that_lacks_little_is_followed_after_a_while() -> None:
    other = elsewhere("o1")
    one = Driven()
    one.tell(on.SnapshotSeen(SNAPSHOTS[0]))
    one.hear(other, "a", "b")
    assert in_time(one, serving(other), 25.0) is None
    adopted = in_time(one, serving(other), 10.0)
    assert adopted is not None
    assert adopted.snapshot.epoch == Epoch(2, 7)
    assert adopted.snapshot.hash == other.hash
    assert one.core.snapshot().epoch == Epoch(2, 7)


def test_another_epoch_that_lacks_much_waits_for_a_person() -> None:
    other = elsewhere("o1", "o2", "o3")
    one, server = Driven(), serving(other)
    one.tell(on.SnapshotSeen(SNAPSHOTS[0]))
    one.hear(other, "a", "b")
    assert in_time(one, server, 200.0) is None
    assert one.core.sync is Sync.HELD
    assert one.core.snapshot().held is not None
    one.tell(on.EpochAccepted())
    adopted = in_time(one, server, 5.0)
    assert adopted is not None
    assert adopted.snapshot.epoch == Epoch(2, 7)
    assert one.core.snapshot().sync is Sync.PEERS


def test_a_held_life_of_our_own_cluster_makes_strangers_of_those_who_attest_it() -> None:
    back = Snapshot.of(Epoch(1, CLUSTER), 4, list(elsewhere("o1", "o2", "o3").entries()))
    one = Driven()
    one.tell(on.SnapshotSeen(SNAPSHOTS[0]))
    one.hear(back, "a", "b")
    assert in_time(one, serving(back), 1000.0) is None
    pulls = dict(one.core.snapshot().counters)["pulls_begun"]
    assert pulls == 1, "what they say is not looked at again"
    one.tell(on.EpochAccepted())
    adopted = in_time(one, serving(back), 5.0)
    assert adopted is not None
    assert adopted.snapshot.revision == 4


def test_who_has_nothing_and_hears_one_word_asks_for_more() -> None:
    one = Driven()
    one.hear(SNAPSHOTS[4], "a")
    ((call, node, word),) = asks(one.wake())
    assert (node, word) == ("a", VouchRequest(CLUSTER, 0))
    one.tell(on.PeerFailed(call))
    assert one.core.deadline() is not None, "and again later"


@pytest.mark.parametrize("body", [b"", b"\x81", encode(Offer(bytes(32), 0, 0, 1024)), bytes(9)])
def test_nonsense_is_counted_and_not_answered(body: bytes) -> None:
    one = serving(*SNAPSHOTS)
    assert not one.tell(on.PeerAsked(1, "x", body))
    assert dict(one.core.snapshot().counters)["no_request"] == 1


def test_answers_to_questions_that_were_given_up_are_counted_and_change_nothing() -> None:
    one = serving(*SNAPSHOTS)
    assert not one.tell(on.PeerAnswered(77, b"late"))
    assert not one.tell(on.PeerFailed(78))
    assert dict(one.core.snapshot().counters)["late_answers"] == 1


def test_nothing_held_is_nothing_to_accept() -> None:
    one = serving(*SNAPSHOTS)
    (report,) = one.tell(on.EpochAccepted())
    assert isinstance(report, on.Report)
    assert report.name == "nothing_to_accept"


def test_who_is_to_hold_a_watch_is_told() -> None:
    settings = RelaySettings(watch_share=0.01, watchers_min=1)
    cores = {
        name: Relay(name, random.Random(1), settings, locality=Locality("r", "z"))
        for name in "abcd"
    }
    told: dict[str, list[on.Effect]] = {}
    for name, core in cores.items():
        assert not core.holds_watch
        peers = {other: on.Peer(other, Locality("r", "z")) for other in cores if other != name}
        core.handle(on.StoreSeen(StoreLink.UNWATCHED), 1.0)
        told[name] = core.handle(on.MembersSeen(peers), 1.0)
    wanted = [name for name, effects in told.items() if effects == [on.WatchStore(True)]]
    assert len(wanted) == 1
    assert all(not effects for name, effects in told.items() if name not in wanted)


def test_our_own_words_coming_back_say_nothing() -> None:
    one = Driven()
    one.tell(on.SnapshotSeen(SNAPSHOTS[0]))
    one.tell(on.MembersSeen({**PEERS, "me": on.Peer("me:1")}))
    one.hear(SNAPSHOTS[4], "me", "a")
    assert one.core.snapshot().target is None
    assert not [call for call in asks(one.effects) if call[1] == "me"]


events = st.one_of(
    st.builds(on.StoreSeen, st.sampled_from(StoreLink)),
    st.builds(on.SnapshotSeen, st.sampled_from(SNAPSHOTS), st.booleans()),
    st.builds(
        on.StandingHeard,
        st.sampled_from("abcd"),
        st.one_of(
            st.builds(standing, st.sampled_from(SNAPSHOTS), st.sampled_from(Sync)),
            st.builds(
                said, st.integers(0, 2**63 - 1), st.sampled_from("0f"), st.sampled_from(Sync)
            ),
            st.just(Standing(None, 0, "", 0, Sync.STALE)),
        ),
        st.sampled_from([b"", Key(1).public, b"short"]),
    ),
    st.builds(
        on.MembersSeen, st.sets(st.sampled_from("abc")).map(lambda s: {n: PEERS[n] for n in s})
    ),
    st.builds(on.PeerAsked, st.integers(1, 9), st.sampled_from("xyz"), st.binary(max_size=30)),
    st.builds(
        on.PeerAsked,
        st.integers(1, 9),
        st.sampled_from("xyz"),
        st.builds(
            Want,
            st.just(CLUSTER),
            st.sampled_from(SNAPSHOTS).map(short_hash),
            st.integers(0, 20),
        ).map(encode),
    ),
    st.builds(on.PeerAnswered, st.integers(1, 12), st.binary(max_size=30)),
    st.builds(
        on.PeerAnswered,
        st.integers(1, 12),
        st.sampled_from(
            [
                encode(Offer(bytes(32), 0, 4000, 1024)),
                encode(Vouches((Statement("a", CLUSTER, (), bytes(64)),))),
            ]
        ),
    ),
    st.builds(on.PeerFailed, st.integers(1, 12)),
    st.just(on.EpochAccepted()),
    st.just(on.TimePassed()),
)


@run(max_examples=60)
@given(st.lists(st.tuples(events, st.floats(0, 20)), max_size=40), st.booleans())
def test_whatever_comes_in_whatever_order_nothing_breaks_and_nothing_goes_back(
    steps: list[tuple[on.Event, float]], shares: bool
) -> None:
    settings = replace(RelaySettings(), watch_share=0.1 if shares else 1.0, watchers_min=1)
    one = Driven(settings)
    for event, after_s in steps:
        before = one.core.snapshot()
        one.tell(event, after_s)
        after = one.core.snapshot()
        if before.epoch == after.epoch:
            assert after.revision >= before.revision
        due_s = one.core.deadline()
        assert due_s is None or due_s >= one.now_s
        assert not any(isinstance(e, on.Adopt) for e in one.effects), "nothing attested was sent"


def test_time_alone_never_makes_it_spin() -> None:
    one = Driven(replace(RelaySettings(), watch_share=0.1))
    one.tell(on.SnapshotSeen(SNAPSHOTS[0]))
    one.hear(SNAPSHOTS[4], "a", "b")
    one.tell(on.StandingHeard("c", said(2**62, "f"), Key(3).public))
    wakes = 0
    while one.now_s < 1000.0 and one.core.deadline() is not None:
        for call, _, _ in asks(one.wake()):
            one.tell(on.PeerFailed(call), 3.0)
        wakes += 1
    assert wakes < 1500, "nobody answers for fifteen minutes"
