"""Requirements 44 and 45: pulls survive what befalls them, burden nobody, and bring an empty host to the same hash."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.relay.wire import Chunk as ChunkWord
from sidecar.relay.wire import ChunkRequest, Want, decode
from sidecar.standing.model import Sync
from tests.simulation.relay.world import DEFAULTS, World

N = 30


def settled(seed: int, hosts: int = N, *, objects: int = 200, **settings: float) -> World:
    """Hosts that follow one etcd and know each other's standings."""
    changed = replace(DEFAULTS, **settings)  # type: ignore[arg-type]  # any field
    world = World(seed, hosts, changed, objects=objects)
    world.run(5.0)
    return world


def rewrite(world: World, objects: int) -> int:
    """Change so much that pulling it takes many chunks."""
    return world.write(*(f"o{number}" for number in range(objects)))


# ------------------------------------------------------------------ 44


def test_44_a_pull_survives_heavy_loss(seed: int) -> None:
    world = settled(seed, 8)
    world.cut_off("n6", "n7")
    world.loss = 0.3
    revision = rewrite(world, 200)
    assert world.run(20.0, lambda: world.have(revision))


def test_44_a_pull_goes_on_elsewhere_when_its_source_dies(seed: int) -> None:
    world = settled(seed, 6, bandwidth_bytes_per_s=20_000)
    world.cut_off("n5")
    host = world.hosts["n5"]
    revision = rewrite(world, 200)  # 50 KB: 13 chunks, more than two seconds
    assert world.run(10.0, lambda: host.core.snapshot().chunks >= 5)
    world.kill(host.core.snapshot().source)
    assert world.run(15.0, lambda: world.have(revision, ["n5"]))
    asked = [word.index for _, word in host.asked if isinstance(word, ChunkRequest)]
    assert len(asked) <= len(set(asked)) + 1, "no chunk is fetched twice but the one that was lost"
    assert dict(host.core.snapshot().counters)["pulls_resumed"] == 1


def test_44_a_pull_goes_on_elsewhere_when_its_source_is_slow(seed: int) -> None:
    world = settled(seed, 6)
    world.cut_off("n5")
    host = world.hosts["n5"]
    revision = rewrite(world, 200)
    assert world.run(10.0, lambda: host.core.snapshot().chunks >= 2)
    slow = host.core.snapshot().source
    world.hosts[slow].slow_s = 1.5
    assert world.run(5.0, lambda: world.have(revision, ["n5"]))
    counters = dict(host.core.snapshot().counters)
    assert (counters["peers_slow"], counters["pulls_resumed"]) == (1, 1)
    assert host.adopted[0][1].source != slow


def test_44_a_newer_revision_does_not_disturb_the_pull_under_way(seed: int) -> None:
    world = settled(seed, 6, bandwidth_bytes_per_s=20_000)
    world.cut_off("n5")
    host = world.hosts["n5"]
    first = rewrite(world, 200)
    assert world.run(10.0, lambda: host.core.snapshot().chunks >= 5)
    second = world.write("o7", deletes=["o8"])
    assert world.run(20.0, lambda: world.have(second, ["n5"]))
    assert [a.snapshot.revision for _, a in host.adopted] == [first, second]


def test_44_a_damaged_chunk_costs_its_sender_and_nothing_else(seed: int) -> None:
    world = settled(seed, 6)
    world.cut_off("n5")

    def damage(body: bytes) -> bytes:
        word = decode(body)
        if isinstance(word, ChunkWord) and word.index == 3:
            return body.replace(word.body[:8], b"damaged!")
        return body

    for number in range(3):
        world.hosts[f"n{number}"].tamper = damage
    revision = rewrite(world, 200)
    assert world.run(10.0, lambda: world.have(revision, ["n5"]))


def _stampede(seed: int, **settings: float) -> World:
    world = settled(seed, N, objects=200, **settings)
    followers = [f"n{number}" for number in range(2, N)]
    world.cut_off(*followers)
    world.run(3.0)
    revision = rewrite(world, 200)
    assert world.run(30.0, lambda: world.have(revision))
    return world


def test_44_many_who_are_behind_do_not_stampede_one_source(seed: int) -> None:
    world = _stampede(seed)
    assert max(host.serving_max for host in world.hosts.values()) <= 3
    refusals = [
        host.name
        for host in world.hosts.values()
        if sum(isinstance(word, Want) for _, word in host.asked) > 40
    ]
    assert not refusals, "nobody knocks all the time"


def test_44_ablation_without_limit_and_jitter_they_do(seed: int) -> None:
    world = _stampede(seed, pulls_served=1000, start_jitter_s=0.0, bandwidth_bytes_per_s=200_000)
    assert max(host.serving_max for host in world.hosts.values()) > 6


def test_44_all_pulls_together_keep_to_the_bandwidth(seed: int) -> None:
    rate = 100_000
    world = settled(seed, 10, bandwidth_bytes_per_s=rate, objects=400)
    world.cut_off(*(f"n{number}" for number in range(2, 10)))
    world.run(3.0)
    before = {name: host.bytes_out for name, host in world.hosts.items()}
    revision = rewrite(world, 400)
    start_s = world.now_s
    assert world.run(30.0, lambda: world.have(revision))
    allowed = rate * (world.now_s - start_s + 0.1) + 20_000  # and words that are no chunks
    assert all(host.bytes_out - before[name] <= allowed for name, host in world.hosts.items())


def test_44_who_is_behind_the_memory_of_all_gets_everything(seed: int) -> None:
    world = settled(seed, 6, history=4)
    world.cut_off("n5")
    world.partition(["n5"], [f"n{number}" for number in range(5)])
    world.kill("n4")
    world.run(6.0)
    world.start("n4")  # remembers nothing from before
    for number in range(20):
        revision = world.write(f"o{number}", deletes=[f"o{100 + number}"])
        world.run(0.3)
    world.partition()
    assert world.run(10.0, lambda: world.have(revision, ["n5"]))


# ------------------------------------------------------------------ 45


@pytest.mark.parametrize("liar", [False, True])
def test_45_a_late_joiner_without_etcd_and_disk_has_what_all_others_have(
    seed: int, liar: bool
) -> None:
    world = settled(seed)
    revision = world.write("o1", deletes=["o2"])
    world.run(3.0)
    if liar:
        world.claim("n3", received=10**6, received_hash="cd" * 16)
    joiner = world.start("late", has_store=False)
    assert world.run(5.0, lambda: world.have(revision, ["late"]))
    assert joiner.snapshot is not None
    assert joiner.snapshot.revision == revision
    assert list(joiner.snapshot.entries()) == list(world.store.newest.entries())


def test_45_a_late_joiner_comes_up_while_nobody_has_etcd(seed: int) -> None:
    world = settled(seed)
    revision = world.write("o1")
    world.run(3.0)
    world.cut_off(*world.hosts)
    world.run(10.0)
    world.start("late", has_store=False)
    assert world.run(5.0, lambda: world.have(revision))
    assert world.hosts["late"].core.snapshot().sync is Sync.STALE


def test_45_a_late_joiner_comes_up_while_somebody_writes_all_the_time(seed: int) -> None:
    world = settled(seed, 10)
    for number in range(30):
        world.write(f"o{number}")
        world.run(0.1)
    joiner = world.start("late", has_store=False)
    for number in range(60):
        world.write(f"o{number}")
        world.run(0.1)
    assert joiner.revision > world.store.revision - 40
    assert world.run(5.0, lambda: world.have(world.store.revision))


def test_45_a_host_that_returns_with_an_old_disk_gets_changes_alone(seed: int) -> None:
    world = settled(seed, 6)
    disk = world.store.newest
    for number in range(5):
        revision = world.write(f"o{number}")
        world.run(0.5)
    world.run(3.0)
    joiner = world.start("late", has_store=False, disk=disk)
    assert world.run(5.0, lambda: world.have(revision, ["late"]))
    taken = dict(joiner.core.snapshot().counters)["bytes_taken"]
    assert taken < 5 * 400, "five objects, not two hundred"


def test_45_an_empty_mesh_is_a_configuration_too(seed: int) -> None:
    world = settled(seed, 4, objects=0)
    world.start("late", has_store=False)
    assert world.run(5.0, lambda: world.have(100, ["late"]))
