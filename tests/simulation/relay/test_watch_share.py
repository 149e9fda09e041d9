"""Most hosts follow peers instead of etcd: few watches, changes in time, and no gap when watchers go."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from sidecar.mesh.model import Locality
from sidecar.relay import RelaySettings, watchers
from tests.simulation.relay.world import DEFAULTS, Host, World

SHARED = replace(DEFAULTS, watch_share=0.05)


def mesh(seed: int, hosts: int, settings: RelaySettings = SHARED, *, objects: int = 50) -> World:
    """Hosts of which some hold a watch. Standings of those who follow peers reach a few hosts only.

    In the mesh they reach everybody; nobody but those who look for a source needs them.
    """
    world = World(seed, 0, settings, objects=objects)

    def listeners(host: Host) -> list[Host]:
        everybody = list(world.hosts.values())
        return everybody if host.core.holds_watch else world.rng.sample(everybody, 5)

    world.listeners = listeners
    for number in range(hosts):
        world.start(f"n{number}", has_store=False, tell=False)
    world.tell_members()
    assert world.run(10.0, lambda: world.have(100)), "everybody comes up"
    world.run(12.0)
    return world


def watching(world: World) -> set[str]:
    return {host.name for host in world.running() if host.store is not None}


def sizes(deep: bool) -> list[int]:
    return [1000, 5000] if deep else [100]


def test_few_hold_a_watch_and_all_have_the_newest_soon(seed: int, deep: bool) -> None:
    for hosts in sizes(deep and seed == 1):
        watches, last_s = _spread(seed, hosts)
        assert watches == (5 if hosts == 100 else 20)
        assert last_s < 4.0
        print(f"{hosts} hosts, {watches} watches: {last_s:.2f} s to the last")


def _spread(seed: int, hosts: int) -> tuple[int, float]:
    """How many hold a watch, and the seconds until a change has reached everybody."""
    share = 0.05 if hosts == 100 else 20 / hosts
    world = mesh(seed, hosts, replace(SHARED, watch_share=share))
    expected = watchers({name: Locality() for name in world.hosts}, world.settings)
    assert watching(world) == expected
    start_s = world.now_s
    revision = world.write("o1", deletes=["o2"])
    while not world.have(revision) and world.now_s < start_s + 10.0:
        world.run(0.05)  # looked at seldom: it costs as much as the rest
    busiest = max(host.serving_max for host in world.hosts.values())
    assert busiest <= world.settings.pulls_served
    return len(expected), world.now_s - start_s


def test_others_take_over_when_watchers_die(seed: int) -> None:
    world = mesh(seed, 60)
    before = watching(world)
    for name in before:
        world.kill(name)
    world.run(5.5)
    revision = world.write("o1")
    assert world.run(5.0, lambda: world.have(revision))
    assert len(watching(world)) == 3
    assert not watching(world) & before


def test_others_take_over_from_watchers_that_etcd_is_out_of_reach_of(seed: int) -> None:
    world = mesh(seed, 60)
    first = watching(world)
    world.without_etcd |= first
    world.cut_off(*first)
    world.run(1.0)
    revision = world.write("o1")
    assert world.run(20.0, lambda: world.have(revision))
    second = watching(world)
    assert len(second) == 3
    world.run(60.0)
    assert watching(world) == second, "they keep it, as long as the first cannot"
    world.without_etcd.clear()
    world.connect(*first)
    world.run(30.0)
    assert watching(world) == first, "and hand it back then"


def test_a_newcomer_among_the_chosen_has_its_watch_before_the_last_lets_go(seed: int) -> None:
    world = mesh(seed, 40)
    for number in range(40, 60):
        world.start(f"n{number}", has_store=False)
        for _ in range(20):
            world.run(1.0)
            assert len(watching(world)) >= 3
    assert len(watching(world)) == 3


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_each_zone_has_watchers_and_few_change_when_one_member_does(
    seed: int, share: float, deep: bool
) -> None:
    rng = random.Random(seed)
    settings = RelaySettings(watch_share=share, watchers_min=3)
    count = 5000 if deep else 1000
    zones = [Locality("r", zone) for zone in "abc"]
    members = {f"host-{number}": rng.choice(zones) for number in range(count)}
    before = watchers(members, settings)
    for _ in range(20):
        if rng.random() < 0.5:
            del members[rng.choice(list(members))]
        else:
            members[f"late-{rng.random()}"] = rng.choice(zones)
        after = watchers(members, settings)
        assert len(before ^ after) <= 2
        for zone in zones:
            size = sum(place == zone for place in members.values())
            assert sum(members[name] == zone for name in after) in range(
                3, max(4, int(size * share) + 2)
            )
        before = after
