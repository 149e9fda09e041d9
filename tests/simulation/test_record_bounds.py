"""Requirements 31, 33, 35, 37, 38 and 39 with records: sizes, shares, oversize, repetition, bounds and cost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from sidecar.gossip import LAN, Identity, Purpose, Record, Signer, Status, Topic, frames
from sidecar.gossip import events as on
from sidecar.gossip.claims import Claim
from sidecar.gossip.lanes import Lanes, _Share
from sidecar.gossip.records import PAGES_MAX, RECORD_BODY_BYTES_MAX
from sidecar.gossip.settings import standing_gap_s
from sidecar.gossip.signing import verify
from store.errors import InputError
from tests.simulation.checkers import SmallDatagrams
from tests.simulation.test_records import words
from tests.simulation.world import MESH, World, settled, signer_of


def _tell(world: World, by: str, at: str, *messages: frames.Message) -> None:
    view = world.hosts[by].core.snapshot()
    sender = frames.Sender(view.identity, view.incarnation)
    world.inject(at, frames.encode(sender, [frames.encode_message(m) for m in messages]))


def test_31_longest_records_of_hosts_with_the_longest_names_fit(seed: int) -> None:
    checker = SmallDatagrams()
    world = World(seed, checkers=[checker])
    names = [f"host-{number:02}-".ljust(frames.NODE_CHARS_MAX, "x") for number in range(8)]
    addresses = [f"[{number:04}:1111:2222:3333:4444:5555:6666:7777]:65535" for number in range(8)]
    world.seeds = lambda host: addresses[:2]
    for name, address in zip(names, addresses, strict=True):
        world.start(name, address=address, epoch=1 << 50)
    assert world.converges(20.0)
    for name in names:
        for topic in Topic:
            world.say(name, topic, b"x" * RECORD_BODY_BYTES_MAX)
    assert world.run(14.0, lambda: all(len(words(world, name)) == 24 for name in names))
    assert checker.longest > 1100, "nothing came near the limit"
    assert not any("oversize" in dict(h.core.snapshot().counters) for h in world.hosts.values())


CLASSES: Mapping[type | Topic, str] = {
    Topic.EVIDENCE: "evidence",
    Topic.STANDING: "words",
    Topic.OVERRIDES: "words",
}


def _longest_waits(seed: int) -> Counter[str]:
    """Of each class of news, the most rounds in a row that told none of it while all three had much to tell."""
    world = settled(10, seed)
    epochs = {f"n{i}": world.hosts[f"n{i}"].core.snapshot().identity.epoch for i in range(10)}
    guests = [Identity(f"guest-{i:03}", f"10.9.0.{i}:7946", 5) for i in range(200)]
    for start in range(0, 200, 10):
        claims = [Claim(guest, Status.LEFT, 0) for guest in guests[start : start + 10]]
        _tell(world, "n1", "n0", *claims)
    for number in range(1, 10):
        for page in range(PAGES_MAX):
            for topic in (Topic.EVIDENCE, Topic.OVERRIDES):
                bare = Record(
                    topic, f"n{number}", page, epochs[f"n{number}"], 1, b"x" * 300, b"", b""
                )
                _tell(world, "n1", "n0", signer_of(f"n{number}").sign(bare, MESH))
    world.datagrams = []
    world.run(6.0)
    rounds: dict[float, set[str]] = {}
    for when_s, host, _, sealed in world.datagrams:
        body = world.hosts[host].keyring.open(sealed, Purpose.DATAGRAM)
        frame = frames.decode(body or b"")
        if host != "n0" or frame is None or len(sealed) < 500:
            continue  # a probe, or an answer
        told = rounds.setdefault(when_s, set())
        for message in frame.messages:
            told.add(CLASSES[message.topic] if isinstance(message, Record) else "members")
    assert len(rounds) > 15
    longest: Counter[str] = Counter()
    for lane in ("members", "evidence", "words"):
        waited = 0
        for told in rounds.values():
            waited = 0 if lane in told else waited + 1
            longest[lane] = max(longest[lane], waited)
    return longest


def test_31_no_class_of_news_waits_for_more_than_three_rounds(seed: int) -> None:
    assert max(_longest_waits(seed).values()) <= 3


def test_31_ablation_with_a_strict_order_of_classes_one_starves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def first(_: Lanes, waiting: Mapping[str, _Share]) -> _Share:
        return next(iter(waiting.values()))

    monkeypatch.setattr(Lanes, "_next", first)
    assert max(_longest_waits(1).values()) > 3


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (on.SayRecord(Topic.EVIDENCE, 0, b"x" * 701), "Page 0 of evidence has 701 bytes; 700 are"),
        (on.SayRecord(Topic.STANDING, 8, b"x"), "There is no page 8 of standing; 0 to 7 are"),
    ],
)
def test_33_what_cannot_be_said_is_an_error_and_changes_nothing(
    event: on.SayRecord, message: str
) -> None:
    world = settled(3, 1)
    core = world.hosts["n1"].core
    before = core.snapshot()
    with pytest.raises(InputError, match=message):
        core.handle(event, world.now_s)
    after = core.snapshot()
    assert replace(after, counters=before.counters) == before
    oversize = dict(after.counters).get("record_oversize", 0)
    assert oversize == (1 if len(event.body) > RECORD_BODY_BYTES_MAX else 0)
    world.run(2.0)
    assert not words(world, "n0")


def test_33_more_than_a_datagram_holds_comes_over_tcp(seed: int) -> None:
    world = settled(6, seed)
    world.net.split(["n0", "n1", "n2"], ["n3", "n4", "n5"])
    for page in range(PAGES_MAX):
        world.say("n0", Topic.OVERRIDES, b"x" * RECORD_BODY_BYTES_MAX, page)
    world.run(30.0)
    world.net.udp_cuts |= {(f"n{i}", f"n{j}") for i in range(3) for j in range(3, 6)}
    world.net.groups = {}
    assert world.run(90.0, lambda: len(words(world, "n5")) == PAGES_MAX)


def _final(seed: int, copies: int) -> set[tuple[str, Topic, str, int, int, bytes]]:
    world = settled(8, seed)
    if copies:
        world.net.duplication, world.net.copies, world.net.reordering = 1.0, copies, 0.5
    for turn in range(5):
        for number in range(8):
            topic = (Topic.OVERRIDES, Topic.STANDING)[number % 2]
            world.say(f"n{number}", topic, b"%d" % turn if (turn + number) % 4 else b"")
        world.run(1.1)
    world.net.duplication = world.net.reordering = 0.0
    world.run(12.0)
    return {
        (name, *key, version, body)
        for name in world.running()
        for key, (_, version, body) in words(world, name).items()
    }


def test_35_repeated_and_reordered_frames_lead_to_the_same_records(seed: int) -> None:
    clean = _final(seed, 0)
    assert len(clean) == 8 * 8
    assert _final(seed, 5) == clean


def test_37_unknown_topics_and_keys_beside_records_are_passed_over_and_counted() -> None:
    world = settled(4, 1)
    epoch = world.hosts["n2"].core.snapshot().identity.epoch
    bare = Record(Topic.EVIDENCE, "n2", 0, epoch, 1, b"known", b"", b"")
    good = frames.encode_message(signer_of("n2").sign(bare, MESH))
    assert b"\xa1s\x00" in good
    future = good.replace(b"\xa1s\x00", b"\xa1s\x09")  # a topic of tomorrow
    longer = b"\x8b" + good[1:] + b"\xa3new\x01"  # one key more
    view = world.hosts["n1"].core.snapshot()
    sender = frames.Sender(view.identity, view.incarnation)
    unknown = b"\x82\xa1t\xa1?\xa1q\x01"
    world.datagrams = []
    world.inject("n0", frames.encode(sender, [unknown, future, longer]))
    counters = dict(world.hosts["n0"].core.snapshot().counters)
    assert counters["unknown_message"] == 2
    assert words(world, "n0")[Topic.EVIDENCE, "n2", 0][2] == b"known"
    world.run(1.0)
    assert world.datagrams
    for _, host, _, sealed in world.datagrams:
        body = world.hosts[host].keyring.open(sealed, Purpose.DATAGRAM) or b""
        assert future[:60] not in body, "what is not known is not passed on"


def _phantom(number: int) -> tuple[Claim, Record]:
    """A host that is none, and its word, properly signed with a key of its own."""
    signer = Signer.from_seed(number.to_bytes(32, "big"))
    identity = Identity(f"p{number}", "10.9.9.9:7946", 5)
    bare = Record(Topic.EVIDENCE, identity.node, number % 8, 5, 1, b"bad", b"", b"")
    return Claim(identity, Status.ALIVE, 0), signer.sign(bare, MESH)


def test_38_phantoms_and_forgeries_fill_nothing_and_cost_little(
    deep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = Counter[str]()

    def counted(record: Record, mesh_id: str) -> bool:
        verified["all"] += 1
        return verify(record, mesh_id)

    monkeypatch.setattr("sidecar.gossip.recording.verify", counted)
    monkeypatch.setattr("sidecar.gossip.recording._VERIFICATIONS_STOCK", 500)
    limit = replace(LAN, members_max=60, records_max=100, verifications_per_s=50.0)
    world = settled(5, 1, limit)
    world.say("n2", Topic.STANDING, b"honest")
    world.run(1.0)
    rng, core = random.Random(1), world.hosts["n1"].core
    for number in range(100_000 if deep else 1500):
        claim, record = _phantom(number % 70)
        forged = replace(record, version=number + 2, signature=rng.randbytes(64))
        _tell(world, "n3", "n1", claim, record, forged)
    view = core.snapshot()
    assert view.records_held <= 100
    assert view.queued <= 60 + 2 * 100
    assert verified["all"] <= 500 + 50 + 10
    assert dict(view.refused)["flood"] > 500
    assert len(core._recorder._told) <= 256
    world.run(60.0)
    assert words(world, "n1")[Topic.STANDING, "n2", 0][2] == b"honest"
    assert core.snapshot().records_held <= 10, "evidence of phantoms has died"
    for _ in range(8):  # renewed as evidence is, in a mesh of which most are phantoms
        world.say("n4", Topic.EVIDENCE, b"a true word")
        world.run(5.0)
    assert any(r.node == "n4" for r in world.heard("n1"))


def test_38_who_asks_for_words_again_and_again_is_answered_within_bounds() -> None:
    world = settled(3, 1)
    for page in range(PAGES_MAX):
        world.say("n1", Topic.OVERRIDES, b"x" * RECORD_BODY_BYTES_MAX, page)
    world.run(5.0)
    before = world.hosts["n1"].datagrams_out
    for _ in range(500):
        _tell(world, "n2", "n1", frames.RecordWanted(Topic.OVERRIDES))
    assert world.hosts["n1"].datagrams_out - before <= 100
    assert dict(world.hosts["n1"].core.snapshot().counters)["unanswered"] > 0


def _sent(world: World, for_s: float) -> float:
    """Bytes a second of the host that sends most, with all headers."""
    before = {h.name: h.bytes_out + h.bytes_streamed for h in world.hosts.values()}
    world.run(for_s)
    return max(
        (h.bytes_out + h.bytes_streamed - before[h.name]) / for_s for h in world.hosts.values()
    )


def test_39_idle_costs_little_with_words_of_everybody_in_place(seed: int) -> None:
    world = settled(30, seed)
    for number in range(30):
        world.say(f"n{number}", Topic.STANDING, b"x" * 110)
        world.say(f"n{number}", Topic.OVERRIDES, b"")
    world.run(15.0)
    assert all(h.core.snapshot().records_held == 30 for h in world.hosts.values())
    wakes = {h.name: h.wakes for h in world.hosts.values()}
    assert _sent(world, 40.0) <= 302.0, "no more than serf"
    assert all(h.wakes - wakes[h.name] <= 40 * 1.2 for h in world.hosts.values())


def test_39_burst_of_a_hundred_records_stays_within_20_kilobytes_a_second(seed: int) -> None:
    world = settled(30, seed)
    for number in range(100):
        world.say(f"n{number % 30}", Topic.EVIDENCE, bytes([number]) * 200, page=number // 30)
    peaks = [_sent(world, 1.0) for _ in range(11)]
    assert max(peaks) <= 20_000
    held = [h.core.snapshot().records_held for h in world.hosts.values()]
    assert sum(held) >= 0.97 * 100 * 30


def test_39_standing_that_changes_all_the_time_is_said_once_in_a_gap(seed: int) -> None:
    world = settled(10, seed)
    start_s = world.now_s
    for number in range(100):
        world.say("n3", Topic.STANDING, b"revision %d" % number)
        world.run(0.05)
    world.run(3.0)
    heard = [r for r in world.heard("n5", start_s) if r.node == "n3"]
    assert heard[0].body == b"revision 0", "the first leaves at once"
    assert heard[-1].body == b"revision 99", "the last is not lost"
    assert len(heard) <= 7
    world.say("n3", Topic.STANDING, b"revision 99")
    world.run(2.0)
    assert len([r for r in world.heard("n5", start_s) if r.node == "n3"]) == len(heard)
    assert [standing_gap_s(LAN, n) for n in (1, 32, 1000)] == [1.0, 1.0, 31.25]
