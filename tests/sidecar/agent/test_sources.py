"""Where configuration comes from, and how old it may be: with and without peers, and whatever the store does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.gossip_side import GossipSide
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.sources import PEERS_HEARD_S, STALE_AFTER_S, Sources
from sidecar.agent.store_side import StoreSide, Taking
from sidecar.node.events import Source
from sidecar.relay import events as on
from sidecar.standing.model import Standing, Sync
from store.errors import ConflictError
from store.etcd.settings import EtcdSettings
from store.mirror import Mirror
from store.mirror.status import HeldEpoch, MirrorState, MirrorStatus
from store.snapshot import Epoch, Snapshot
from tests.harness.gossip_settings import KEY, key_file
from tests.harness.nodes import EPOCH, make_node, virtual_service

HELD = HeldEpoch(0xDEF, 40, "all VirtualServices are gone")


def at(revision: int, epoch: Epoch = EPOCH) -> Snapshot:
    return Snapshot.of(epoch, revision, [virtual_service(revision, 1)])


class Store(StoreSide):
    """A Mirror whose status is set by the test."""

    def __init__(self) -> None:
        super().__init__(
            EtcdSettings(),
            Taking(publish=lambda _: None, each=lambda _: None, changed=lambda: None),
        )
        self.now = replace(Mirror(random.Random(1)).status, state=MirrorState.BACKOFF)
        self.accepted = 0
        self.relayed_to: list[int] = []

    @property
    def status(self) -> MirrorStatus:
        return self.now

    def accept_epoch(self) -> None:
        self.accepted += 1

    def relayed(self, snapshot: Snapshot) -> None:
        self.relayed_to.append(snapshot.revision)


class Made:
    """Sources of one host, with or without gossip."""

    def __init__(self, folder: Path, *, seed: Snapshot | None = None, **told: object) -> None:
        settings = SidecarSettings.model_validate(
            {"node": "h1", "run_dir": folder, "data_dir": folder, **told}
        )
        (folder / "h1").mkdir(exist_ok=True)
        registered = make_node("h1").registrations
        self.gossip = GossipSide(settings, "127.0.0.1", registered)
        self.taken: list[tuple[int, Source]] = []
        self.sources = Sources(
            settings,
            self.gossip,
            registered,
            lambda snapshot, source: self.taken.append((snapshot.revision, source)),
            lambda: None,
            seed=seed,
        )
        self.store = self.sources.store = Store()

    def set(self, state: MirrorState, **fields: object) -> None:
        """The store is so now."""
        self.store.now = replace(self.store.now, state=state, **fields)  # type: ignore[arg-type]
        self.sources._store_changed()

    def hear(self, snapshot: Snapshot, *nodes: str, sync: Sync = Sync.STORE) -> None:
        """These peers say that they have this."""
        assert self.sources.relay is not None
        self.sources.relay.handle(on.MembersSeen({node: on.Peer("10.0.0.1:1") for node in nodes}))
        for node in nodes:
            told = Standing(snapshot.epoch, snapshot.revision, snapshot.hash[:32], 0, sync)
            self.sources.relay.handle(on.StandingHeard(node, told))


@contextmanager
def with_peers(folder: Path, seed: Snapshot | None = None) -> Iterator[Made]:
    file = key_file(folder, "gossip.keys", KEY)
    made = Made(folder, seed=seed, gossip={"port": 0, "key_file": file, "bind": "127.0.0.1"})
    made.sources.begin()
    try:
        yield made
    finally:
        assert made.gossip.shell is not None
        made.gossip.shell.close()


@pytest.mark.parametrize(
    ("state", "heard_s", "sync"),
    [
        (MirrorState.WATCHING, 0.0, Sync.STORE),
        (MirrorState.BACKOFF, 99.0, Sync.STORE),
        (MirrorState.LISTING, 99.0, Sync.STORE),
        (MirrorState.BACKOFF, 100.0 - STALE_AFTER_S, Sync.STALE),
        (MirrorState.LISTING, None, Sync.STALE),
    ],
)
async def test_a_store_that_is_silent_for_long_makes_us_stale(
    tmp_path: Path, state: MirrorState, heard_s: float | None, sync: Sync
) -> None:
    made = Made(tmp_path)
    made.set(state, heard_s=heard_s)
    assert made.sources.relay is None
    assert made.sources.describe(0.0) == {
        "state": "off",
        "reason": f"gossip is off: {made.gossip.off}",
    }
    assert made.sources.sync(100.0) is sync


async def test_alone_the_age_counts_from_the_last_word_else_from_the_disk(tmp_path: Path) -> None:
    made = Made(tmp_path)
    assert made.sources.stale_s(100.0, 7.5) == 7.5
    made.set(MirrorState.BACKOFF, heard_s=40.0)
    assert made.sources.stale_s(100.0, 7.5) == 60.0
    made.set(MirrorState.WATCHING)
    assert made.sources.stale_s(100.0, 7.5) is None
    made.set(MirrorState.HELD, held=HELD, since_s=90.0)
    assert made.sources.stale_s(100.0, None) == 10.0
    assert made.sources.source(Source.DISK) is Source.DISK


async def test_an_epoch_that_is_held_is_accepted_once(tmp_path: Path) -> None:
    made = Made(tmp_path)
    with pytest.raises(ConflictError):
        made.sources.accept_epoch()
    made.set(MirrorState.HELD, held=HELD)
    assert made.sources.is_held()
    assert made.sources.sync(0.0) is Sync.HELD
    assert made.sources.accept_epoch().by == "etcd"
    assert made.store.accepted == 1


async def test_peers_that_have_the_same_make_the_disk_current(tmp_path: Path) -> None:
    with with_peers(tmp_path, seed=at(5)) as made:
        assert made.sources.sync(0.0) is Sync.STALE
        assert made.sources.stale_s(0.0, 7.5) == 7.5
        made.hear(at(5), "a")
        assert made.sources.sync(0.0) is Sync.PEERS
        assert made.sources.stale_s(0.0, 7.5) is None
        assert made.sources.source(Source.DISK) is Source.PEERS


async def test_a_peers_word_of_etcd_may_be_as_old_as_it_takes_to_notice_that_etcd_is_gone(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    with with_peers(tmp_path, seed=at(5)) as made:
        made.set(MirrorState.WATCHING, heard_s=3.0)
        assert made.sources.heard_s() == 3.0
        made.set(MirrorState.BACKOFF, heard_s=3.0)
        assert made.sources.heard_s() is None, "a watch that was lost says nothing of what is there"
        made.hear(at(5), "a")
        assert made.sources.heard_s() == trio.current_time() - PEERS_HEARD_S
        made.hear(at(9), "a")
        assert made.sources.heard_s() is None, "there is something that we lack"


async def test_what_is_told_and_not_taken_makes_us_older(tmp_path: Path) -> None:
    with with_peers(tmp_path, seed=at(5)) as made:
        made.hear(at(5), "a", "b")
        relay = made.sources.relay
        assert relay is not None
        current_s = relay.current_s
        assert current_s is not None
        made.hear(at(9), "a", "b")
        assert made.sources.sync(current_s + 1) is Sync.PEERS
        assert made.sources.stale_s(current_s + 30, None) == pytest.approx(30, abs=0.5)
        assert made.sources.describe(current_s)["newer_told"] == 9


async def test_one_liar_among_others_makes_nobody_older(tmp_path: Path) -> None:
    with with_peers(tmp_path, seed=at(5)) as made:
        made.hear(at(5), "a", "b", "c")
        assert made.sources.relay is not None
        lie = Standing(EPOCH, 10_000, "ab" * 16, 0, Sync.STORE)
        made.sources.relay.handle(on.StandingHeard("c", lie))
        assert made.sources.stale_s(100.0, None) is None


async def test_what_peers_brought_is_never_said_to_be_etcds(tmp_path: Path) -> None:
    with with_peers(tmp_path, seed=at(5)) as made:
        made.set(MirrorState.BACKOFF, heard_s=99.0)
        assert made.sources.sync(100.0) is Sync.STORE, "a moment of silence is nobody's business"
        made.sources._adopt(at(6))
        made.hear(at(6), "a", "b")
        assert made.sources.sync(100.0) is Sync.PEERS
        assert (made.taken, made.store.relayed_to) == ([(6, Source.PEERS)], [6])
        made.sources._publish(at(7))
        made.set(MirrorState.WATCHING)
        assert made.sources.sync(100.0) is Sync.STORE


async def test_with_a_share_of_watches_a_host_waits_until_it_is_chosen(tmp_path: Path) -> None:
    file = key_file(tmp_path, "gossip.keys", KEY)
    told = {"gossip": {"port": 0, "key_file": file, "bind": "127.0.0.1"}}
    made = Made(tmp_path, seed=at(5), relay={"watch_share": 0.1}, **told)
    assert made.sources.relay is not None
    assert not made.sources.relay.is_watching
    assert made.gossip.shell is not None
    made.gossip.shell.close()
    off = Made(tmp_path, seed=at(5), relay={"enabled": False}, **told)
    assert off.sources.off == "relay.enabled is false"
    assert off.gossip.shell is not None
    off.gossip.shell.close()
