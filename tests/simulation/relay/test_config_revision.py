"""Requirements 42 and 43: configuration from peers is monotonic and attested, and comes in time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from sidecar.relay.parcel import short_hash
from sidecar.relay.wire import Offer, Reason, Refusal, Want, decode, encode
from sidecar.standing.model import Sync
from store.snapshot import Epoch, Snapshot
from tests.simulation.relay.world import DEFAULTS, Host, World, entry_of

N = 30
PROBE_S = 1.0
FOREVER = (1 << 63) - 1


def names(first: int, last: int = N) -> list[str]:
    return [f"n{number}" for number in range(first, last)]


def settled(seed: int, hosts: int = N, **settings: object) -> World:
    """Hosts that follow one etcd and know each other's standings."""
    world = World(seed, hosts, replace(DEFAULTS, **settings))  # type: ignore[arg-type]  # any field
    world.run(5.0)
    return world


def lie(world: World, name: str, revision: int) -> Snapshot:
    """Let a host claim, and serve to whoever asks, configuration that etcd never held."""
    liar = world.hosts[name]
    newest = world.store.newest
    forged = newest.apply(
        [entry_of("forged", revision)], ["ns/default/virtualservices/o1"], revision
    )
    liar.core._history.find = lambda *_: forged  # type: ignore[method-assign]  # it serves this only
    world.claim(name, received=revision, received_hash=forged.hash[:32], sync=Sync.STORE)
    return forged


def behind(world: World, revision: int) -> list[tuple[str, int]]:
    return [(host.name, host.revision) for host in world.running() if host.revision != revision]


def _restart(world: World, host: Host) -> None:
    world.start(host.name, disk=host.snapshot)


# ------------------------------------------------------------------ 42


def test_42_whatever_happens_no_host_goes_back_and_all_converge(seed: int, deep: bool) -> None:
    world = settled(seed, 12, history=8)
    world.loss = 0.1
    rng = world.rng
    for _ in range(400 if deep else 100):
        name = rng.choice(list(world.hosts))
        host = world.hosts[name]
        match rng.randrange(8):
            case 0 | 1 | 2:
                world.write(f"o{rng.randrange(300)}", deletes=[f"o{rng.randrange(300)}"])
            case 3:
                world.cut_off(name)
            case 4 if host.runs:
                world.connect(name)
            case 5:
                world.partition(*([f"n{i}" for i in range(k, 12, 2)] for k in (0, 1)))
            case 6:
                world.partition()
            case 7 if host.runs and len(world.running()) > 6:
                world.kill(name, noticed_after_s=1.0)
                world.at(world.now_s + 5.0, partial(_restart, world, host))
            case _:
                pass
        world.run(rng.uniform(0.01, 1.0))  # the world's checks hold revisions against each other
    world.partition()
    world.run(6.0)
    world.connect("n0", "n1")
    revision = world.write("last")
    assert world.run(20.0, lambda: world.have(revision)), behind(world, revision)
    assert not any(
        r.name == "same_revision_other_content" for h in world.running() for r in h.reports
    )


def test_42_one_revision_with_two_contents_is_flagged_and_changes_nothing(seed: int) -> None:
    world = settled(seed, 6)
    host = world.hosts["n5"]
    world.cut_off("n5")
    for liar in ("n1", "n2"):
        world.claim(liar, received_hash="ab" * 16, sync=Sync.STORE)
    world.run(30.0)
    flagged = [r for r in host.reports if r.name == "same_revision_other_content"]
    assert {r.facts["peer"] for r in flagged} == {"n1", "n2"}
    assert len(flagged) == 2, "once each"
    assert not host.adopted


def test_42_a_newer_revision_with_two_attested_contents_is_not_taken(seed: int) -> None:
    world = settled(seed, 6)
    host = world.hosts["n5"]
    world.cut_off("n5")
    for liar in ("n1", "n2"):
        world.claim(liar, received=101, received_hash="ab" * 16, sync=Sync.STORE)
    world.run(3.0)
    world.write("o1")  # revision 101 of the others
    world.run(20.0)
    assert not host.adopted
    world.write("o2")
    assert world.run(5.0, lambda: world.have(102, ["n5"])), "the next revision has one content"


@pytest.mark.parametrize("cluster_id", [0xC1, 0xC2], ids=["same id", "other id"])
def test_42_a_restored_etcd_that_lacks_little_is_followed(seed: int, cluster_id: int) -> None:
    world = settled(seed, 8)
    for number in range(10):
        world.write(f"new{number}")
    world.run(3.0)
    world.cut_off("n6", "n7")
    world.store = world.store.restored(105, cluster_id=cluster_id)
    world.connect(*names(0, 6))
    assert world.run(60.0, lambda: world.have(105, names(0, 8))), behind(world, 105)
    revision = world.write("after")
    assert world.run(5.0, lambda: world.have(revision, names(0, 8)))
    for name in ("n6", "n7"):
        host = world.hosts[name]
        assert [a.snapshot.epoch for _, a in host.adopted] == [Epoch(2, cluster_id)] * 2
        assert host.adopted[0][0] - 1000.0 > 30.0, "only when nobody of the old epoch was left"


def test_42_a_restored_etcd_that_lacks_much_is_held_until_a_person_accepts_it(seed: int) -> None:
    world = settled(seed, 6)
    world.write(*(f"new{number}" for number in range(200)))
    world.run(3.0)
    world.cut_off("n5")
    other = world.store.restored(100, cluster_id=0xC2)
    for name in names(0, 5):
        world.hosts[name].snapshot = None  # whoever runs it has accepted it there
    world.store = other
    world.connect(*names(0, 5))
    host = world.hosts["n5"]
    world.run(120.0)
    assert not host.adopted
    assert [r.name for r in host.reports] == ["epoch_held"], "said once"
    assert host.core.snapshot().sync is Sync.HELD
    world.accept("n5")
    assert world.run(10.0, lambda: world.have(100, ["n5"]))


@pytest.mark.parametrize("cluster_id", [0xC1, 0xC2], ids=["same id", "other id"])
def test_42_two_groups_of_peers_do_not_pull_a_host_to_and_fro(seed: int, cluster_id: int) -> None:
    world = settled(seed, 9)
    for number in range(10):
        world.write(f"new{number}")
    world.run(3.0)
    world.cut_off("n8")
    old, new = world.store, world.store.restored(105, cluster_id=cluster_id)
    host = world.hosts["n8"]
    world.store = new
    world.connect(*names(4, 8))
    world.run(100.0)
    assert not host.adopted, "while anybody has our etcd in reach, no other is followed"

    world.cut_off(*names(0, 4))
    assert world.run(60.0, lambda: world.have(105, ["n8"]))
    for turn in range(6):  # each group writes, loses its etcd, and gets it back
        world.store = old if turn % 2 else new
        world.connect(*(names(0, 4) if turn % 2 else names(4, 8)))
        world.write(f"turn{turn}", "o3")
        world.run(80.0)
        world.cut_off(*names(0, 8))
        world.run(5.0)
    assert {a.snapshot.epoch.life for _, a in host.adopted} == {2}, "followed once, never back"


# ------------------------------------------------------------------ 43


@pytest.mark.parametrize("cut", [1, 10, N - 2])
def test_43_who_is_cut_off_follows_within_two_probe_periods(seed: int, cut: int) -> None:
    world = settled(seed)
    world.cut_off(*names(N - cut))
    world.run(2.0)
    revision = world.write("o1", "new", deletes=["o2"])
    assert world.run(2 * PROBE_S + 0.5, lambda: world.have(revision)), behind(world, revision)


@pytest.mark.parametrize("attestations", [1, 2])
def test_43_one_host_at_etcd_is_followed_only_where_one_word_is_enough(
    seed: int, attestations: int
) -> None:
    world = settled(seed, attestations=attestations)
    world.cut_off(*names(1))
    world.run(2.0)
    revision = world.write("o1")
    followed = world.run(2 * PROBE_S + 0.5, lambda: world.have(revision))
    assert followed == (attestations == 1)
    assert any(host.adopted for host in world.hosts.values()) == followed


def _lags(seed: int, at_store: int, *, states: bool = True) -> tuple[World, float]:
    """Somebody writes ten times a second; how far behind the worst of those without etcd ever is, in seconds."""
    world = settled(seed, 12)
    if not states:
        for host in world.hosts.values():
            host.core._notary._signer = None  # it vouches by its standing alone
    world.cut_off(*names(at_store, 12))
    world.run(2.0)
    written: dict[int, float] = {}
    worst_s = 0.0
    for number, host in enumerate(world.hosts.values()):
        host.said_s = world.now_s - (0.37 * number) % 1.0  # the seconds of hosts begin apart
    for number in range(80):
        written[world.write(f"o{number % 40}")] = world.now_s
        world.run(0.1)
        for name in names(at_store, 12):
            missing = written.get(world.hosts[name].revision + 1, world.now_s)
            worst_s = max(worst_s, world.now_s - missing)
    return world, worst_s


@pytest.mark.parametrize("at_store", [3, 8])
def test_43_while_somebody_writes_all_the_time_it_follows_closely(seed: int, at_store: int) -> None:
    world, worst_s = _lags(seed, at_store)
    assert worst_s <= 3 * PROBE_S
    for name in names(at_store, 12):
        counters = dict(world.hosts[name].core.snapshot().counters)
        assert counters.get("vouch_rounds", 0) <= 16, "asked about once a second at most"


def test_43_ablation_without_statements_constant_writes_leave_it_behind(seed: int) -> None:
    """Three hosts say once a second where they are: seldom at the same revision."""
    assert _lags(seed, 3, states=False)[1] > 4 * PROBE_S


@pytest.mark.parametrize("attestations", [1, 2])
def test_43_an_absurd_revision_is_fetched_at_most_once_and_not_applied(
    seed: int, attestations: int
) -> None:
    world = settled(seed, 8, attestations=attestations)
    world.cut_off("n6", "n7")
    lie(world, "n1", FOREVER)
    world.hosts["n1"].tamper = lambda body: body[:-1] + bytes([body[-1] ^ 1])
    world.run(15.0)
    revision = world.write("o1")
    assert world.run(4.0, lambda: world.have(revision, ["n6", "n7"])), "the others are followed"
    for name in ("n6", "n7"):
        host = world.hosts[name]
        assert {a.snapshot.revision for _, a in host.adopted} == {revision}
        wanted = [node for node, word in host.asked if isinstance(word, Want) and node == "n1"]
        assert len(wanted) <= (attestations == 1), "once, where its word alone is enough"
        assert len([node for node, _ in host.asked if node == "n1"]) <= 4, "it is left alone"


def test_43_corrupt_content_is_not_applied_and_its_sender_left_alone(seed: int) -> None:
    world = settled(seed, 8)
    world.cut_off("n7")
    liar = world.hosts["n0"]
    for name in names(1, 7):
        world.hosts[name].tamper = _always_busy
    liar.core._history.find = lambda *_: world.store.newest.apply(  # type: ignore[method-assign]
        [entry_of("forged", 5)], [], world.store.revision
    )
    revision = world.write("o1")
    host = world.hosts["n7"]
    assert world.run(20.0, lambda: len(host.reports) > 0), "the liar's turn comes"
    assert not host.adopted
    assert dict(host.core.snapshot().left_alone)["n0"] > 5.0
    for name in names(1, 7):
        world.hosts[name].tamper = None
    world.run(60.0, lambda: world.have(revision, ["n7"]))
    assert world.have(revision, ["n7"])
    wrong = [r for r in host.reports if r.name == "relay_peer_sent_wrong"]
    assert {r.facts["peer"] for r in wrong} == {"n0"}


def _always_busy(body: bytes) -> bytes:
    busy = Refusal(Reason.BUSY, 200, 0, bytes(16))
    return encode(busy) if isinstance(decode(body), Offer) else body


def _takes_the_lie(seed: int, attestations: int) -> bool:
    world = settled(seed, 6, attestations=attestations)
    world.cut_off("n5")
    forged = lie(world, "n1", 105)
    world.run(20.0)
    own = world.hosts["n5"].snapshot
    assert own is not None
    return short_hash(own) == short_hash(forged)


def test_43_a_lying_peer_is_not_believed(seed: int) -> None:
    assert not _takes_the_lie(seed, attestations=2)


def test_43_ablation_without_attestation_a_lie_is_applied(seed: int) -> None:
    assert _takes_the_lie(seed, attestations=0)


def test_43_hosts_that_follow_peers_attest_nothing(seed: int) -> None:
    world = settled(seed, 6)
    world.cut_off("n5")
    lie(world, "n1", 105)
    for echo in ("n2", "n3", "n4"):
        claims: Host = world.hosts[echo]
        said = world.hosts["n1"].said
        assert said is not None
        hash_ = said.received_hash
        world.claim(claims.name, received=105, received_hash=hash_, sync=Sync.PEERS)
    world.run(20.0)
    assert not world.hosts["n5"].adopted
