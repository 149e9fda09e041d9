"""Requirements 1 to 12 of the gossip: who is silent is found out, and nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.gossip import LAN, GossipSettings, Status
from sidecar.gossip import events as on
from sidecar.gossip.settings import suspicion_min_s
from tests.simulation.checkers import NobodyDies
from tests.simulation.world import World, settled


def _deaths_under_loss(
    seed: int, loss: float, for_s: float, settings: GossipSettings
) -> NobodyDies:
    checker = NobodyDies()
    world = settled(30, seed, settings, [checker])
    world.net.loss = loss
    world.run(for_s)
    world.net.loss = 0.0
    assert world.converges(60.0) or checker.deaths
    return checker


def _detection(world: World, name: str, since_s: float) -> tuple[float, float]:
    others = set(world.running()) - {name}
    dead = {
        host: when_s - since_s
        for when_s, host, change in world.changes(Status.DEAD, since_s)
        if change.identity.node == name
    }
    assert set(dead) == others, f"{others - set(dead)} do not hold {name} dead"
    return min(dead.values()), max(dead.values())


def test_01_killed_member_is_held_dead_everywhere_in_time(seed: int, deep: bool) -> None:
    world = settled(30, seed)
    last: list[float] = []
    for name in ("n5", "n6", "n7", "n8", "n9") if deep else ("n5", "n6"):
        killed_s = world.now_s
        world.kill(name)
        world.run(20.0)
        first, everywhere = _detection(world, name, killed_s)
        assert everywhere - first <= 1.0
        last.append(everywhere)
    assert sorted(last)[len(last) // 2] <= 9.0
    assert max(last) <= 2 * 29 + 1 + 6 * suspicion_min_s(LAN, 30)


def test_02_paused_member_is_held_dead_as_a_killed_one(seed: int) -> None:
    world = settled(15, seed)
    paused_s = world.now_s
    world.pause("n3", 60.0)
    world.run(20.0)
    assert _detection(world, "n3", paused_s)[1] <= 20.0
    world.run(41.0)
    assert world.converges(10.0), "it does not come back"


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_03_nobody_dies_of_loss(seed: int, loss: float, deep: bool) -> None:
    long_s = 3600.0 if loss == 0.1 else 1200.0  # of twenty seeds nearly seven hours at 30 %
    checker = _deaths_under_loss(seed, loss, long_s if deep else 20.0, LAN)
    assert not checker.deaths
    assert loss == 0.1 or checker.suspicions > 0, (
        "so much loss must make suspects, or nothing is tested"
    )


def test_03_ablation_without_time_to_refute_loss_kills() -> None:
    hasty = replace(LAN, suspicion_mult=0)
    assert _deaths_under_loss(1, 0.3, 10.0, hasty).deaths


@pytest.mark.parametrize("blocked", ["there", "back", "both"])
def test_05_broken_link_between_two_kills_neither(seed: int, blocked: str, deep: bool) -> None:
    checker = NobodyDies()
    world = settled(10, seed, checkers=[checker])
    if blocked in ("there", "both"):
        world.net.cuts.add(("n1", "n2"))
    if blocked in ("back", "both"):
        world.net.cuts.add(("n2", "n1"))
    world.run(3600.0 if deep else 60.0)
    assert not checker.deaths
    assert world.is_whole()


def test_05_ablation_without_relays_and_tcp_a_broken_link_kills() -> None:
    checker = NobodyDies()
    alone = replace(LAN, relays=0, tcp_fallback=False, suspicion_mult=0)
    world = settled(10, 1, alone, [checker])
    world.net.cuts |= {("n1", "n2"), ("n2", "n1")}
    world.run(60.0)
    assert checker.deaths


def test_06_deaf_member_dies_and_kills_nobody(seed: int) -> None:
    checker = NobodyDies(excused=frozenset({"n4"}))
    world = settled(30, seed, checkers=[checker])
    world.net.deaf.add("n4")
    deaf_s = world.now_s
    world.run(60.0)
    _detection(world, "n4", deaf_s)
    assert not checker.deaths
    assert world.hosts["n4"].core.snapshot().health == LAN.health_max - 1


def test_07_blocked_udp_is_told_and_kills_nobody(seed: int, deep: bool) -> None:
    checker = NobodyDies()
    world = settled(10, seed, checkers=[checker])
    others = [f"n{i}" for i in range(10) if i != 2]
    world.net.udp_cuts |= {(o, "n2") for o in others} | {("n2", o) for o in others}
    world.run(3600.0 if deep else 60.0)
    assert not checker.deaths
    degraded = {
        host
        for _, host, effect in world.events
        if isinstance(effect, on.UdpDegraded) and effect == on.UdpDegraded("n2", True)
    }
    assert degraded == set(others)
    world.net.heal()
    world.run(40.0)
    assert not any(m.udp_degraded for h in others for m in world.hosts[h].core.snapshot().members)


def _sick_observer(n: int, seed: int, settings: GossipSettings, for_s: float, kind: str) -> World:
    checker = NobodyDies(excused=frozenset({"n1"}))
    world = settled(n, seed, settings, [checker])
    world.events.clear()
    if kind == "stalls":
        world.stall_often(["n1"], (0.5, 5.0), world.now_s + for_s)
    else:
        world.net.deaf.add("n1")
    world.run(for_s)
    return world


def _accusations(world: World, by: str) -> int:
    return sum(
        by in change.accusers and host == by for _, host, change in world.changes(Status.SUSPECT)
    )


@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize("kind", ["stalls", "deaf"])
def test_09_one_sick_observer_kills_nobody(seed: int, n: int, kind: str, deep: bool) -> None:
    for_s = 3600.0 if deep else 40.0
    world = _sick_observer(n, seed, LAN, for_s, kind)
    checker = world.checkers[0]
    assert isinstance(checker, NobodyDies)
    assert not checker.deaths
    assert _accusations(world, "n1") <= 3 * n, "it accuses without end"


@pytest.mark.parametrize("kind", ["stalls", "deaf"])
def test_09_sick_observer_soon_distrusts_itself(seed: int, kind: str) -> None:
    world = _sick_observer(30, seed, LAN, 25.0, kind)
    assert world.hosts["n1"].core.snapshot().health >= 4


def test_09_ablation_without_local_health_the_sick_accuse_many_times_more() -> None:
    trusting = replace(LAN, health_max=1, stall_s=float("inf"))
    with_it, without = (
        sum(_accusations(_sick_observer(30, s, settings, 60.0, "stalls"), "n1") for s in (1, 2, 3))
        for settings in (LAN, trusting)
    )
    assert without >= 5 * max(1, with_it)


def _slow_few(
    seed: int, settings: GossipSettings, stalls_s: tuple[float, float], n: int
) -> tuple[int, int]:
    """Accusations of healthy members by slow ones, and false deaths of healthy members that anybody believes in."""
    slow = [f"n{i}" for i in range(3, 7)]
    world = settled(n, seed, settings)
    start_s = world.now_s
    world.stall_often(slow, stalls_s, start_s + 40.0)
    world.run(40.0)
    accusations = [
        host
        for _, host, change in world.changes(Status.SUSPECT, start_s)
        if host in slow and host in change.accusers and change.identity.node not in slow
    ]
    deaths = [c for _, _, c in world.changes(Status.DEAD, start_s) if c.identity.node not in slow]
    return len(accusations), len(deaths)


BARE = replace(
    LAN,
    health_max=1,
    stall_s=float("inf"),
    suspicion_max_mult=1,
    confirmations=0,
    tells_accused=False,
)
"""SWIM without Lifeguard."""


def test_10_slow_few_cause_a_twentieth_of_the_false_positives_of_bare_swim(deep: bool) -> None:
    n = 100 if deep else 30
    accusations, deaths = _slow_few(1, LAN, (1.0, 3.0), n)
    bare_accusations, bare_deaths = _slow_few(1, BARE, (1.0, 3.0), n)
    assert bare_accusations >= 15, (
        "the slow must do harm without the protection, or nothing is tested"
    )
    assert bare_deaths >= 15
    assert accusations <= 0.05 * bare_accusations
    assert deaths <= 0.05 * bare_deaths
