"""Requirements of the gossip at their full size: large meshes, long partitions, many seeds; and what may not grow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import pytest

from sidecar.gossip import LAN, Gossip, GossipSettings, Identity, Keyring, Status, Topic, frames
from sidecar.gossip import events as on
from sidecar.gossip.claims import Claim
from tests.simulation.checkers import NobodyDies
from tests.simulation.scale import agree_within, joined, rates, traffic
from tests.simulation.test_detection import BARE, _slow_few
from tests.simulation.world import KEY, MESH, World, settled


def test_01_death_in_a_large_mesh_is_known_to_all_within_a_second_of_the_first(
    seed: int, deep: bool
) -> None:
    world = joined(500 if deep else 150, seed)
    world.run(10.0)
    world.events.clear()
    killed_s = world.now_s
    world.kill("n77")
    world.run(25.0)
    died_s = sorted(when_s - killed_s for when_s, _, _ in world.changes(Status.DEAD))
    assert len(died_s) == len(world.running())
    assert died_s[-1] - died_s[0] <= 1.0
    assert died_s[-1] <= 20.0


def test_28_newcomer_of_a_large_mesh_is_known_to_all_in_two_seconds(seed: int, deep: bool) -> None:
    world = joined(500 if deep else 150, seed)
    world.run(5.0)
    world.net.loss = 0.1
    world.start("newcomer")
    assert agree_within(world, len(world.running()), 2.0) is not None


def test_23_the_dead_of_a_large_mesh_are_told_but_not_flooded(seed: int) -> None:
    world = joined(80, seed)
    world.run(10.0)
    world.kill("n77")
    world.run(25.0, lambda: len(world.changes(Status.DEAD)) == 79)
    dead = world.hosts["n77"].address
    world.datagrams = []
    for number in range(10):  # so that there is something to tell all the time
        guest = Identity(f"guest{number}", "10.9.9.9:7946", 5)
        view = world.hosts["n2"].core.snapshot()
        sender = frames.Sender(view.identity, view.incarnation)
        news = frames.encode_message(Claim(guest, Status.LEFT, 0))
        world.inject("n1", frames.encode(sender, [news]))
        world.run(1.0)
    told = sum(address == dead for _, _, address, _ in world.datagrams)
    assert 10 <= told <= 300, "fifteen a second by all others together while there are news"


@pytest.mark.parametrize("kills", [1, 5])
def test_25_news_in_the_wake_of_deaths_reach_everybody_as_fast_as_ever(
    seed: int, kills: int
) -> None:
    world = joined(100, seed)
    world.run(10.0)
    for number in range(kills):
        world.kill(f"n{10 * number + 5}")
    living = 100 - kills
    assert world.run(30.0, lambda: len(world.changes(Status.DEAD)) == kills * living)
    world.say("n0", Topic.EVIDENCE, b"sick")
    world.run(1.5)
    heard = [e for _, _, e in world.events if isinstance(e, on.RecordHeard)]
    assert len(heard) >= 0.99 * (living - 1)


def _calls(act: Callable[[], object]) -> int:
    """How many functions are called, those of C included: a measure of work that is the same on any machine."""
    count = 0

    def count_call(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count_call)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count


def _idle_work(n: int) -> float:
    """Calls, a second and member, in a mesh in which nothing happens."""
    world = joined(n, 1)
    world.run(40.0)
    return _calls(lambda: world.run(35.0)) / 35.0 / n


def test_39_idle_work_does_not_grow_with_the_mesh() -> None:
    small, large = _idle_work(20), _idle_work(120)
    assert small > 100, "nothing was counted"
    assert large <= 1.1 * small


def test_39_idle_traffic_does_not_grow_with_the_mesh(deep: bool) -> None:
    sent: list[float] = []
    for n in (30, 1000 if deep else 120):
        world = joined(n, 1)
        world.run(20.0)
        counted = traffic(world)
        world.run(40.0)
        sent.append(rates(counted, world, 40.0)[0].bytes)
    assert sent[1] <= 1.1 * sent[0]


def _core_of(n: int, settings: GossipSettings = LAN) -> Gossip:
    """A core that has news of n members: half of them alive, a quarter suspect, a quarter dead."""
    world = World(1, settings)
    core = world.start("n0").core
    sender = frames.Sender(Identity("n1", "10.0.0.3:7946", 1), 0)
    states = (Status.ALIVE, Status.SUSPECT, Status.ALIVE, Status.DEAD)
    for begin in range(0, n, 8):
        claims = [
            Claim(Identity(f"m{i}", f"10.1.{i // 250}.{i % 250}:7946", 1), states[i % 4], 0)
            for i in range(begin, begin + 8)
        ]
        body = frames.encode(sender, [frames.encode_message(claim) for claim in claims])
        core.handle(on.DatagramReceived(body), world.now_s)
    return core


def _message_work(n: int) -> int:
    core = _core_of(n)
    sender = frames.Sender(Identity("n1", "10.0.0.3:7946", 1), 0)
    total = 0
    for number in range(40):
        claim = Claim(Identity(f"m{number}", f"10.1.0.{number}:7946", 2), Status.DEAD, 0)
        messages = (claim, frames.Ping(number, "n0", 0))
        body = frames.encode(sender, [frames.encode_message(one) for one in messages])
        total += _calls(
            lambda: core.handle(on.DatagramReceived(body), 1000.0 + number * 0.01)  # noqa: B023 (called at once)
        )
    return total


def test_39_work_of_a_message_does_not_grow_with_the_mesh_its_suspects_or_its_news() -> None:
    small, large = _message_work(200), _message_work(4000)
    assert large <= 1.25 * small


@pytest.mark.parametrize("kind", ["stalls", "deaf"])
def test_09_one_sick_observer_of_a_hundred_kills_nobody(seed: int, kind: str, deep: bool) -> None:
    checker = NobodyDies(excused=frozenset({"n1"}))
    world = joined(100, seed, checkers=[checker])
    world.run(5.0)
    world.events.clear()
    for_s = 600.0 if deep else 20.0
    if kind == "stalls":
        world.stall_often(["n1"], (0.5, 5.0), world.now_s + for_s)
    else:
        world.net.deaf.add("n1")
    world.run(for_s)
    assert not checker.deaths
    by_n1 = [c for _, host, c in world.changes(Status.SUSPECT) if host == "n1"]
    assert sum("n1" in change.accusers for change in by_n1) <= 300


def test_10_slow_few_of_many_do_a_twentieth_of_the_harm_that_they_do_to_bare_swim(
    seed: int, deep: bool
) -> None:
    n = 100 if deep else 30
    accusations, deaths = _slow_few(seed, LAN, (1.0, 3.0), n)
    bare_accusations, bare_deaths = _slow_few(seed, BARE, (1.0, 3.0), n)
    assert bare_accusations + bare_deaths >= 15, "nothing is tested"
    assert accusations + deaths <= 0.05 * (bare_accusations + bare_deaths)


FORGETFUL = replace(LAN, probe_interval_s=20.0, tombstone_s=3600.0, forget_after_s=7200.0)
"""The dead are forgotten after an hour; rare probes, so that two hours take little time."""


def _parted(seed: int, parts: int, settings: GossipSettings) -> World:
    """Two hours in parts that cannot hear each other, and have forgotten each other; then healed."""
    world = settled(12, seed, settings)
    sides = [[f"n{i}" for i in range(side, 12, parts)] for side in range(parts)]
    world.net.split(*sides)
    world.run(7200.0)
    for side in sides:
        for name in side:
            known = {m.identity.node for m in world.hosts[name].core.snapshot().members}
            assert known == set(side) - {name}, "it still knows of the other side"
    world.net.heal()
    return world


@pytest.mark.parametrize("parts", [2, 3])
def test_26_sides_that_forgot_each_other_in_two_hours_are_one_after_two_announcements(
    seed: int, parts: int
) -> None:
    world = _parted(seed, parts, FORGETFUL)
    assert world.converges(2 * LAN.announce_interval_s + 2 * FORGETFUL.probe_interval_s)


def test_26_ablation_without_seeds_who_forgot_each_other_stay_apart() -> None:
    world = _parted(1, 2, FORGETFUL)
    world.seeds = lambda host: ()
    assert not world.converges(600.0)


def test_26_two_hours_with_the_settings_as_they_are(deep: bool) -> None:
    if not deep:
        pytest.skip("MESHD_TEST_DEEP only: a minute of computing")
    world = settled(30, 1, replace(LAN, tombstone_s=3600.0))
    sides = [[f"n{i}" for i in range(side, 30, 3)] for side in range(3)]
    world.net.split(*sides)
    world.run(7200.0)
    world.net.heal()
    assert world.converges(2 * LAN.announce_interval_s)


def test_36_keys_rotate_while_one_is_down_and_one_cut_off_and_both_come_back(seed: int) -> None:
    checker = NobodyDies(excused=frozenset({"n8", "n9"}))
    world = settled(10, seed, checkers=[checker])
    rest = [f"n{i}" for i in range(8)]
    world.net.split(rest, ["n9"])
    world.kill("n8")
    world.run(30.0)
    assert all({"n8", "n9"} <= world.held(name, Status.DEAD) for name in rest)
    world.events.clear()
    new = bytes(reversed(range(32)))
    steps: tuple[Callable[[Keyring], Keyring], ...] = (
        lambda ring: ring.install(new),
        lambda ring: ring.use(new),
        lambda ring: ring.remove(KEY),
    )
    for step in steps:
        for name in rest:
            world.hosts[name].keyring = step(world.hosts[name].keyring)
            world.run(1.0)
    assert world.is_whole(rest)
    assert not checker.deaths
    assert not [c for _, host, c in world.changes() if host in rest], "the rotation changed members"

    world.net.heal()
    world.start("n8")  # with the old key, as it was when it went down
    before = sum(world.hosts[name].unopened for name in rest)
    world.run(40.0)
    assert all({"n8", "n9"} <= world.held(name, Status.DEAD) for name in rest)
    assert sum(world.hosts[name].unopened for name in rest) > before, "strangers are not counted"
    assert world.is_whole(rest), "who has no key of ours does harm"

    for name in ("n8", "n9"):  # installed by hand, beside the old one
        world.hosts[name].keyring = world.hosts[name].keyring.install(new).use(new)
    assert world.converges(2 * LAN.announce_interval_s)


def test_36_ablation_who_drops_the_old_key_before_all_use_the_new_one_is_lost() -> None:
    world = settled(10, 1)
    world.hosts["n9"].keyring = Keyring(MESH, [bytes(reversed(range(32)))])
    world.run(30.0)
    assert all("n9" in world.held(f"n{i}", Status.DEAD) for i in range(9))
