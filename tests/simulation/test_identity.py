"""Requirements 14 to 24 of the gossip: refutation, restarts, leaving, conflicts of names, zombies."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from sidecar.gossip import LAN, GossipSettings, Identity, Status, frames
from sidecar.gossip import events as on
from sidecar.gossip.claims import INCARNATION_MAX, Claim
from tests.simulation.checkers import NobodyDies, OnlySubjectsRaise
from tests.simulation.world import World, settled


def _rumour(world: World, claim: Claim, at: str, by: str = "n9") -> None:
    """Let a host hear a claim as news from another one."""
    view = world.hosts[by].core.snapshot()
    sender = frames.Sender(view.identity, view.incarnation)
    world.inject(at, frames.encode(sender, [frames.encode_message(claim)]))


def _claim(world: World, name: str, status: Status, incarnation: int = 0) -> Claim:
    accusers = ("n8",) if status is Status.SUSPECT else ()
    return Claim(world.hosts[name].core.snapshot().identity, status, incarnation, accusers)


@pytest.mark.parametrize("status", [Status.SUSPECT, Status.DEAD])
def test_14_accused_member_refutes_once_and_is_alive_everywhere(seed: int, status: Status) -> None:
    checker = OnlySubjectsRaise()
    world = settled(10, seed, checkers=[checker])
    world.net.loss = 0.1
    accused_s = world.now_s
    _rumour(world, _claim(world, "n1", status), at="n5")
    world.run(8.0)
    assert world.is_whole()
    assert world.hosts["n1"].core.snapshot().incarnation == 1
    per_host = [host for _, host, c in world.changes(status, accused_s) if c.identity.node == "n1"]
    assert len(per_host) == len(set(per_host)), "it flaps"
    assert not checker.violations


def test_15_accusations_at_the_highest_incarnation_make_a_new_life_not_an_overflow(
    seed: int,
) -> None:
    world = settled(10, seed)
    before = world.hosts["n1"].core.snapshot().identity
    _rumour(world, _claim(world, "n1", Status.SUSPECT, INCARNATION_MAX), at="n5")
    assert world.converges(10.0)
    after = world.hosts["n1"].core.snapshot()
    assert after.identity == Identity(before.node, before.address, before.epoch + 1)
    assert after.incarnation == 0


def test_15_accusation_far_above_is_overruled_by_one(seed: int) -> None:
    world = settled(10, seed)
    _rumour(world, _claim(world, "n1", Status.SUSPECT, 4711), at="n5")
    assert world.converges(10.0)
    assert world.hosts["n1"].core.snapshot().incarnation == 4712


def test_16_replayed_frames_of_earlier_change_nothing(seed: int) -> None:
    world = settled(10, seed)
    world.datagrams = []
    _rumour(world, _claim(world, "n1", Status.SUSPECT), at="n5")
    world.give(world.hosts["n2"], on.LeaveAsked())
    world.run(5.0)
    world.kill("n2")
    world.start("n2")
    assert world.converges(10.0)
    recorded, world.datagrams = world.datagrams, None
    for later_s in (10.0, 300.0):
        world.run(later_s)
        views = {name: world.hosts[name].core.snapshot() for name in world.running()}
        for _, _, address, sealed in recorded:
            target = next(h.name for h in world.hosts.values() if h.address == address)
            world.deliver(target, sealed)
        world.run(2.0)
        for name, view in views.items():
            after = world.hosts[name].core.snapshot()
            assert after.digest == view.digest
            assert after.names(Status.ALIVE) == view.names(Status.ALIVE)


@pytest.mark.parametrize("clock", ["forwards", "backwards"])
def test_17_restart_faster_than_detection_is_a_new_life_in_two_seconds(
    seed: int, clock: str
) -> None:
    world = settled(10, seed)
    old = world.hosts["n4"].core.snapshot().identity
    world.kill("n4")
    world.run(0.5)
    epoch = old.epoch + 1000 if clock == "forwards" else 7
    world.start("n4", epoch=epoch)
    assert world.converges(2.0)
    life = world.hosts["n4"].core.snapshot().identity
    assert life.epoch == (epoch if clock == "forwards" else old.epoch + 1)
    _rumour(world, Claim(old, Status.DEAD, 99), at="n3")
    world.run(2.0)
    assert world.is_whole()
    assert not world.changes(Status.DEAD)


def test_18_all_restart_at_once_again_and_again(seed: int, deep: bool) -> None:
    n = 30 if deep else 12
    world = settled(n, seed)
    for _ in range(5):
        for number in range(n):
            world.kill(f"n{number}")
        for number in range(n):
            world.start(f"n{number}")
        assert world.converges(10.0)
        world.run(1.0)
    assert not world.changes(Status.DEAD)


def test_19_who_leaves_has_left_and_did_not_fail(seed: int) -> None:
    world = settled(10, seed)
    world.net.loss = 0.1
    left_s = world.now_s
    world.give(world.hosts["n6"], on.LeaveAsked())
    spread = world.run(6.0, lambda: any(isinstance(e, on.LeaveSpread) for _, _, e in world.events))
    assert spread
    world.kill("n6")
    world.run(1.0)
    others = world.running()
    assert all("n6" in world.held(name, Status.LEFT) for name in others)
    world.run(30.0)
    told = [c.after for _, _, c in world.changes(since_s=left_s) if c.identity.node == "n6"]
    assert told == [Status.LEFT] * len(others)
    world.start("n6")
    assert world.converges(3.0)


def test_19_goodbye_that_overtakes_the_greeting_holds() -> None:
    world = settled(5, 1)
    gone = Identity("guest", "10.9.9.9:7946", 5)
    _rumour(world, Claim(gone, Status.LEFT, 0), at="n1", by="n2")
    _rumour(world, Claim(gone, Status.ALIVE, 3), at="n1", by="n3")
    assert "guest" in world.held("n1", Status.LEFT)


def test_19_goodbye_that_nobody_hears_is_found_out_by_probes(seed: int) -> None:
    world = settled(10, seed)
    world.net.split([f"n{i}" for i in range(9)], ["n9"])
    world.give(world.hosts["n9"], on.LeaveAsked())
    world.run(6.0)
    world.kill("n9")
    world.run(40.0)
    assert all("n9" in world.held(name, Status.DEAD) for name in world.running())


def test_20_quiet_after_any_sequence_of_events(seed: int) -> None:
    world = settled(10, seed)
    rng = random.Random(seed)
    for _ in range(12):
        name = f"n{rng.randrange(1, 10)}"
        match rng.randrange(3):
            case 0:
                world.give(world.hosts[name], on.LeaveAsked())
            case 1:
                world.kill(name)
            case _:
                world.start(name)
        world.run(rng.uniform(0, 4))
    world.run(60.0)
    assert all(world.hosts[name].core.snapshot().queued == 0 for name in world.running())


def test_21_death_in_a_table_is_hearsay_that_can_be_refuted(seed: int) -> None:
    checker = NobodyDies()
    world = settled(5, seed, checkers=[checker])
    liar = world.hosts["n1"].core.snapshot()
    dead = Claim(world.hosts["n2"].core.snapshot().identity, Status.DEAD, 0)
    messages = [frames.encode_message(m) for m in (frames.Exchange(0), dead)]
    body = frames.encode(frames.Sender(liar.identity, 0), messages)
    effects = world.hosts["n3"].core.handle(on.PeerCalled(1, body), world.now_s)
    assert any(isinstance(e, on.AnswerPeer) for e in effects)
    assert "n2" in world.held("n3", Status.SUSPECT)
    assert world.converges(6.0)
    assert not checker.deaths


def test_22_of_two_processes_under_one_name_the_later_epoch_keeps_it(seed: int) -> None:
    world = settled(10, seed)
    winner = world.hosts["n3"].core.snapshot().identity
    world.start_beside("impostor", "n3", "10.7.7.7:7946", winner.epoch - 500)
    world.run(60.0)
    for name in world.running():
        if name not in ("n3", "impostor"):
            member = next(
                m for m in world.hosts[name].core.snapshot().members if m.identity.node == "n3"
            )
            assert member.identity == winner
            assert member.status is Status.ALIVE
    conflicts = [(h, e) for _, h, e in world.events if isinstance(e, on.NameConflict)]
    assert [e.lost for h, e in conflicts if h == "impostor"] == [True]
    assert all(h == "impostor" or not e.lost for h, e in conflicts)
    assert not [c for _, _, c in world.changes(Status.DEAD)]
    world.kill("n3")  # the loser takes over when the other is gone
    world.run(120.0)
    renewed = world.hosts["impostor"].core.snapshot()
    assert renewed.rival is None
    assert renewed.identity.epoch == winner.epoch + 1
    assert all("n3" in world.held(f"n{i}", Status.ALIVE) for i in range(10) if i != 3)


def test_22_address_may_be_used_by_another_name(seed: int) -> None:
    world = settled(10, seed)
    world.kill("n5")
    world.run(30.0)
    world.start("fresh", address=world.hosts["n5"].address)
    assert world.converges(10.0)


def _zombie(away_s: float, settings: GossipSettings) -> tuple[World, float]:
    """n3 stands still; n1 leaves meanwhile; n3 returns. The world, and when it returned."""
    world = settled(4, 1, settings)
    world.hosts["n3"].buffer = 0
    world.pause("n3", away_s)
    world.run(0.5)
    world.give(world.hosts["n1"], on.LeaveAsked())
    world.run(0.4)
    world.kill("n1")
    world.run(away_s - 1.0)
    since_s = world.now_s
    world.run(30 * settings.probe_interval_s)
    return world, since_s


SLOW = replace(LAN, probe_interval_s=60.0, announce_interval_s=120.0)
"""So that a day takes a second."""


@pytest.mark.parametrize("away_s", [1.5, 60.0, 3600.0, 25 * 3600.0])
def test_23_zombie_returns_and_brings_nothing_back(away_s: float) -> None:
    world, since_s = _zombie(away_s, LAN if away_s < 3600.0 else SLOW)
    assert world.is_whole(["n0", "n2", "n3"])
    others = [c for _, host, c in world.changes(Status.ALIVE, since_s) if host != "n3"]
    assert not [c for c in others if c.identity.node == "n1"]


def test_23_ablation_a_zombie_that_forgets_nothing_brings_back_who_left() -> None:
    world, since_s = _zombie(25 * 3600.0, replace(SLOW, forget_after_s=float("inf")))
    assert [c for _, _, c in world.changes(Status.ALIVE, since_s) if c.identity.node == "n1"]


def test_23_zombie_is_answered_but_not_flooded(seed: int) -> None:
    world = settled(10, seed)
    world.pause("n3", 60.0)
    world.run(59.0)
    world.datagrams = []
    world.run(3.0)
    told = [t for t, _, address, _ in world.datagrams if address == world.hosts["n3"].address]
    assert len(told) <= 3 * 9
    assert world.converges(10.0)


def test_24_rows_older_than_a_tombstone_are_refused() -> None:
    world = settled(3, 1)
    old = Claim(Identity("ghost", "10.9.9.9:7946", 5), Status.DEAD, 0, age_ms=86_400_001)
    young = Claim(Identity("spirit", "10.9.9.8:7946", 5), Status.DEAD, 0, age_ms=3_600_000)
    _rumour(world, old, at="n1", by="n2")
    _rumour(world, young, at="n1", by="n2")
    assert world.held("n1", Status.DEAD) == {"spirit"}
    assert LAN.forget_after_s < LAN.tombstone_s
    core = world.hosts["n1"].core
    core.handle(on.TimePassed(), core.deadline() or world.now_s)
    spirit = next(m for m in core.snapshot().members if m.identity.node == "spirit")
    assert spirit.since_s == pytest.approx(world.now_s - 3600.0, abs=1.0)
