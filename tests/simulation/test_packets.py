"""Requirements 31 to 41 of the gossip: sizes, hostile and repeated frames, keys, budget, determinism, clocks."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from sidecar.gossip import LAN, Gossip, GossipSettings, Identity, Keyring, Status, frames
from sidecar.gossip import events as on
from sidecar.gossip.claims import Claim
from sidecar.gossip.probing import RELAYED_MAX
from tests.simulation.checkers import NobodyDies, SmallDatagrams
from tests.simulation.world import KEY, MESH, Host, World, settled

LONG = "a-host-with-a-name-as-long-as-names-may-be-"


def _frame(world: World, by: str, *messages: frames.Message) -> bytes:
    view = world.hosts[by].core.snapshot()
    sender = frames.Sender(view.identity, view.incarnation)
    return frames.encode(sender, [frames.encode_message(m) for m in messages])


def test_31_no_datagram_is_too_long_even_with_long_names(seed: int) -> None:
    checker = SmallDatagrams()
    world = World(seed, checkers=[checker])
    world.net.loss = 0.2
    world.seeds = lambda host: ["10.0.0.2:7946"]
    names = [(LONG + str(number)).ljust(frames.NODE_CHARS_MAX, "x") for number in range(20)]
    for name in names:
        world.start(name)
    assert world.converges(20.0)
    for name in names[5:10]:
        world.kill(name)
    world.run(15.0)
    assert checker.longest > 800, "nothing came near the limit"


def test_32_links_that_drop_large_datagrams_neither_kill_nor_divide(seed: int) -> None:
    checker = NobodyDies()
    world = World(seed, checkers=[checker])
    world.net.mtu = 600
    world.seeds = lambda host: ["10.0.0.2:7946"]
    for number in range(30):
        world.start(f"n{number}")
    assert world.converges(20.0)
    world.run(20.0)
    assert not checker.deaths


def test_34_hostile_bodies_change_nothing_and_are_counted(seed: int) -> None:
    world = settled(5, seed)
    core = world.hosts["n1"].core
    rng = random.Random(seed)
    good = _frame(world, "n2", frames.Ack(1, 2))
    before = core.snapshot()
    for _ in range(2000):
        body = bytearray(good if rng.random() < 0.5 else rng.randbytes(rng.randrange(80)))
        if body:
            body = body[: rng.randrange(len(body))]  # no frame ends early
        for event in (on.DatagramReceived(bytes(body)), on.PeerCalled(1, bytes(body))):
            effects = core.handle(event, world.now_s)
            assert not [e for e in effects if not isinstance(e, on.SendDatagram | on.CallPeer)]
    after = core.snapshot()
    assert after.members == before.members
    assert dict(after.counters)["no_frame"] == 4000


def test_35_repeated_and_reordered_frames_lead_to_the_same_state(seed: int) -> None:
    final = []
    for copies in (0, 5):
        world = settled(10, seed)
        if copies:
            world.net.duplication, world.net.copies, world.net.reordering = 1.0, copies, 0.5
        world.kill("n3")
        world.give(world.hosts["n4"], on.LeaveAsked())
        world.run(40.0)
        world.net.duplication = world.net.reordering = 0.0
        world.run(20.0)
        held = {
            (name, m.identity, m.status)
            for name in world.running()
            if name != "n4"
            for m in world.hosts[name].core.snapshot().members
        }
        final.append(held)
    assert final[0] == final[1]


def test_36_keys_rotate_without_a_change_of_members(seed: int) -> None:
    checker = NobodyDies()
    world = settled(10, seed, checkers=[checker])
    new = bytes(reversed(range(32)))
    steps: tuple[Callable[[Keyring], Keyring], ...] = (
        lambda ring: ring.install(new),
        lambda ring: ring.use(new),
        lambda ring: ring.remove(KEY),
    )
    for step in steps:
        for number in range(10):  # one by one, a second apart: old and new talk to each other
            host = world.hosts[f"n{number}"]
            host.keyring = step(host.keyring)
            world.run(1.0)
    assert not checker.deaths
    assert not world.changes(Status.SUSPECT)
    assert world.is_whole()


def test_36_who_missed_the_rotation_is_invisible_until_it_has_the_key(seed: int) -> None:
    world = settled(6, seed)
    new = bytes(reversed(range(32)))
    world.kill("n5")
    for number in range(5):
        world.hosts[f"n{number}"].keyring = Keyring(MESH, [new])
    world.run(30.0)
    world.start("n5")
    world.run(30.0)
    assert all("n5" in world.held(f"n{i}", Status.DEAD) for i in range(5))
    assert world.hosts["n5"].unopened == 0
    assert not world.held("n5", Status.ALIVE)
    world.hosts["n5"].keyring = Keyring(MESH, [new])
    assert world.converges(40.0)


def test_37_other_protocols_are_refused_with_the_reason() -> None:
    world = settled(3, 1)
    core = world.hosts["n1"].core
    stranger = frames.Sender(Identity("future", "10.9.9.9:7946", 5), 0, newest=9, oldest=7)
    body = frames.encode(stranger, [frames.encode_message(frames.Exchange(0))])
    effects = core.handle(on.PeerCalled(1, body), world.now_s)
    answers = [e for e in effects if isinstance(e, on.AnswerPeer)]
    answer = frames.decode(answers[0].body)
    assert answer is not None
    reason = "it speaks protocol versions 7 to 9, 1 to 1 are spoken here"
    assert answer.messages == (frames.Refusal(reason),)
    assert on.PeerRefused(stranger.identity, reason) in effects
    assert "future" not in world.held("n1", *Status)
    spanning = frames.Sender(Identity("next", "10.9.9.8:7946", 5), 0, newest=9, oldest=1)
    world.inject("n1", frames.encode(spanning, []))
    assert "next" in world.held("n1", Status.ALIVE)


def test_38_phantoms_and_failed_probes_fill_nothing(deep: bool) -> None:
    settings = replace(LAN, members_max=50)
    world = settled(5, 1, settings)
    core = world.hosts["n1"].core
    for number in range(100_000 if deep else 3000):
        phantom = Identity(f"p{number}", "10.9.9.9:7946", number)
        core.handle(
            on.DatagramReceived(
                _frame(
                    world,
                    "n2",
                    Claim(phantom, Status.ALIVE, 0),
                    frames.PingRequest(number, "n3", "10.0.0.5:7946"),
                )
            ),
            world.now_s,
        )
    view = core.snapshot()
    assert len(view.members) <= 50
    assert view.queued <= 50
    assert view.relaying <= RELAYED_MAX
    assert dict(view.counters)["table_full"] > 0
    world.run(60.0)
    assert {"n0", "n2", "n3", "n4"} <= world.held("n1", Status.ALIVE)
    assert core.snapshot().relaying == 0


def _idle(world: World, for_s: float) -> tuple[float, float, float]:
    """Datagrams, bytes with all headers, and wakes of the worst host, a second."""
    hosts = list(world.hosts.values())
    before = [(h.datagrams_out, h.bytes_out + h.bytes_streamed, h.wakes) for h in hosts]
    world.run(for_s)
    rates = [
        (
            (h.datagrams_out - d) / for_s,
            (h.bytes_out + h.bytes_streamed - b) / for_s,
            (h.wakes - w) / for_s,
        )
        for h, (d, b, w) in zip(hosts, before, strict=True)
    ]
    return max(r[0] for r in rates), max(r[1] for r in rates), max(r[2] for r in rates)


def test_39_idle_costs_little(seed: int) -> None:
    world = settled(30, seed)
    datagrams, sent, wakes = _idle(world, 40.0)
    assert datagrams <= 3.0
    assert sent <= 302.0, "no more than serf"
    assert wakes <= 1.0 / LAN.probe_interval_s + 0.2, "no timer but for probes and announcements"


class _AlwaysTicking(Gossip):
    """Gossip whose dissemination timer runs with nothing to tell."""

    def deadline(self) -> float | None:
        due_s = super().deadline()
        tick_s = self._rounds._last_s
        while due_s is not None and tick_s <= self._told_s:
            tick_s = self._told_s + LAN.gossip_interval_s
        return due_s if due_s is None else min(due_s, tick_s)

    _told_s = 0.0

    def handle(self, event: on.Event, now_s: float) -> list[on.Effect]:
        self._told_s = now_s
        return super().handle(event, now_s)


def test_39_ablation_a_timer_that_always_runs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulation.world.Gossip", _AlwaysTicking)
    world = settled(10, 1)
    assert _idle(world, 10.0)[2] > 1.0 / LAN.probe_interval_s + 0.2


def test_39_burst_of_a_hundred_changes_stays_within_20_kilobytes_a_second(seed: int) -> None:
    world = settled(30, seed)
    claims = [
        Claim(Identity(f"guest{i}", f"10.9.0.{i}:7946", 5), Status.LEFT, 0) for i in range(100)
    ]
    for start in range(0, 100, 10):
        world.inject("n0", _frame(world, "n1", *claims[start : start + 10]))
    for _ in range(5):
        _, sent, _ = _idle(world, 2.0)
        assert sent <= 20_000
    known = sum(len(world.held(name, Status.LEFT)) for name in world.running())
    assert known >= 0.99 * 100 * 30, (
        "news alone reach nearly all; who was never a member is not repaired"
    )


def _trace(seed: int, loss: float) -> str:
    world = settled(10, seed)
    world.net.loss = loss
    world.kill("n4")
    world.pause("n5", 3.0)
    world.run(15.0)
    return world.trace.hexdigest()


def test_40_same_seed_same_bytes(seed: int) -> None:
    assert _trace(seed, 0.2) == _trace(seed, 0.2)
    assert _trace(seed, 0.2) != _trace(seed + 1, 0.2)


def test_40_calls_and_acks_that_nobody_waits_for_change_nothing() -> None:
    world = settled(5, 1)
    core = world.hosts["n1"].core
    before = core.snapshot()
    table = _frame(
        world, "n2", frames.Exchange(0), Claim(Identity("x", "10.9.9.9:1", 1), Status.ALIVE, 0)
    )
    for event in (on.PeerAnswered(987654, table), on.PeerFailed(987654), on.TimePassed()):
        core.handle(event, world.now_s)
    for message in (frames.Ack(1, before.digest), frames.Nack(1)):
        core.handle(on.DatagramReceived(_frame(world, "n2", message)), world.now_s)
    assert core.snapshot() == before


def _suspended(seed: int, settings: GossipSettings) -> tuple[World, Host]:
    world = settled(10, seed, settings)
    sleeper = world.hosts["n1"]
    sleeper.buffer = 0
    world.net.loss = 0.3  # suspicions are under way when it falls asleep
    world.run(5.0)
    world.net.loss = 0.0
    world.events.clear()
    world.pause("n1", 600.0)
    world.run(599.9)
    world.run(20.0)
    return world, sleeper


def test_41_a_host_that_slept_kills_nobody_and_distrusts_itself(seed: int) -> None:
    world, sleeper = _suspended(seed, LAN)
    assert not [c for _, host, c in world.changes(Status.DEAD) if host == "n1"]
    assert dict(sleeper.core.snapshot().counters)["stood_still"] >= 1
    assert world.converges(30.0)
