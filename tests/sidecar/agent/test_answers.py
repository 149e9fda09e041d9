"""What the sidecar answers: when it is ready, when a revision is in force, how old what it serves is."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sidecar.agent.ads_driver import AdsDriver
from sidecar.agent.answers import NodeAnswers
from sidecar.agent.bell import Bell
from sidecar.agent.envoy_watch import EnvoyWatch
from sidecar.agent.gossip_side import GossipSide
from sidecar.agent.last_good import LastGood
from sidecar.agent.metrics import Metrics
from sidecar.agent.registrar import Registrar
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.sources import Sources
from sidecar.agent.store_side import StoreSide, Taking
from sidecar.agent.wanted import Wanted
from sidecar.certificates.keeping import Keeper
from sidecar.node.events import EnvoyInForce, SnapshotArrived, Source
from sidecar.node.node import Node
from sidecar.registration.record import OwnRecord
from sidecar.xds.events import SessionState, SessionView, TypeView
from sidecar.xds.resource import TypeUrl
from store.errors import ConflictError
from store.etcd.settings import EtcdSettings
from store.mirror import Mirror
from store.mirror.status import HeldEpoch, MirrorState, MirrorStatus
from store.snapshot import Epoch, Snapshot
from tests.harness.leased_store import LeasedStore
from tests.harness.nodes import EPOCH, VS_KEY, arrive, make_node, virtual_service

OTHER = Epoch(2, 0xDEF)


class Store(StoreSide):
    """A Mirror whose status is set by the test."""

    def __init__(self) -> None:
        taking = Taking(publish=_pass_over, each=_pass_over, changed=lambda: None)
        super().__init__(EtcdSettings(), taking)
        self.now = replace(Mirror(random.Random(1)).status, state=MirrorState.WATCHING)
        self.accepted = 0

    @property
    def status(self) -> MirrorStatus:
        return self.now

    def accept_epoch(self) -> None:
        self.accepted += 1


def _pass_over(_: Snapshot) -> None:
    """Nobody takes it."""


class Driver(AdsDriver):
    """A session whose view may be set by the test."""

    now: SessionView | None = None

    def view(self) -> SessionView:
        return self.now or super().view()


@dataclass
class Parts:
    """One sidecar without its processes."""

    node: Node
    store: Store
    envoy: EnvoyWatch
    changed: Bell
    last_good: LastGood
    driver: Driver
    answers: NodeAnswers

    def in_force(self, snapshot: Snapshot, source: Source = Source.ETCD) -> None:
        """The snapshot arrives, and Envoy has it in force."""
        self.node.handle(SnapshotArrived(snapshot, source), 1.0)
        self.node.handle(EnvoyInForce(f"{snapshot.epoch}@{snapshot.revision}"), 1.0)
        self.envoy.is_current = True
        self.changed.ring()


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    settings = SidecarSettings(node="h1", run_dir=tmp_path, data_dir=tmp_path)
    node, store, envoy, changed = make_node("h1"), Store(), EnvoyWatch(), Bell()
    gossip = GossipSide(settings, "10.0.0.1", node.registrations)
    sources = Sources(
        settings, gossip, node.registrations, lambda *_: None, changed.ring, seed=None
    )
    sources.store = store
    last_good = LastGood(tmp_path, "/meshd/v1")
    driver = Driver(tmp_path / "ads.sock", lambda _: None)
    answers = NodeAnswers(
        settings=settings,
        node=node,
        sources=sources,
        driver=driver,
        envoy=envoy,
        registrar=Registrar(LeasedStore(), OwnRecord("h1", "10.0.0.1", ()), 15.0),
        secrets=Keeper(),
        last_good=last_good,
        measured=Metrics(),
        changed=changed,
        started_at_s=0.0,
    )
    envoy.opened(1)
    return Parts(node, store, envoy, changed, last_good, driver, answers)


def snapshot(revision: int, epoch: Epoch = EPOCH) -> Snapshot:
    return Snapshot.of(epoch, revision, [virtual_service(revision, 1)])


async def is_told(parts: Parts, revision: int, cluster_id: int | None = None) -> bool:
    """Whether a wait for `revision` is answered as things are."""
    with trio.move_on_after(1.0):
        await parts.answers.wait_in_force(Wanted(revision, cluster_id))
        return True
    return False


async def test_a_wait_is_answered_when_the_revision_or_a_later_one_is_in_force(
    parts: Parts, autojump_clock: MockClock
) -> None:
    found: list[int] = []

    async def wait(revision: int) -> None:
        answer = await parts.answers.wait_in_force(Wanted(revision))
        found.append(answer["revision_in_force"])

    async with trio.open_nursery() as nursery:
        for revision in (5, 6, 7):
            nursery.start_soon(wait, revision)
        await wait_all_tasks_blocked()
        assert found == []
        parts.in_force(snapshot(6))
        await wait_all_tasks_blocked()
        assert found == [6, 6]
        arrive(parts.node, snapshot(8))
        parts.changed.ring()
        await wait_all_tasks_blocked()
        assert found == [6, 6], "it arrived, but Envoy has not said that it has it"
        parts.in_force(snapshot(8))
    assert found == [6, 6, 8]


async def test_nothing_is_in_force_while_envoy_is_away_or_new(
    parts: Parts, autojump_clock: MockClock
) -> None:
    parts.in_force(snapshot(6))
    assert await is_told(parts, 6)
    assert parts.answers.is_ready()
    parts.envoy.closed(1)
    assert not await is_told(parts, 6)
    parts.envoy.opened(2)
    assert not await is_told(parts, 6), "another Envoy, which has nothing yet"
    assert not parts.answers.is_ready()
    parts.in_force(snapshot(6))
    assert await is_told(parts, 6)


async def test_revisions_of_another_epoch_are_not_compared(
    parts: Parts, autojump_clock: MockClock
) -> None:
    parts.in_force(snapshot(1_000))
    arrive(parts.node, snapshot(40, OTHER))
    assert not await is_told(parts, 41)
    assert not await is_told(parts, 40), "revision 1000 of the other epoch is in force"
    parts.in_force(snapshot(40, OTHER))
    assert await is_told(parts, 40)
    assert not await is_told(parts, 41)


async def test_a_revision_of_a_new_etcd_is_not_in_force_where_nobody_noticed_yet(
    parts: Parts, autojump_clock: MockClock
) -> None:
    parts.in_force(snapshot(1_000))
    assert await is_told(parts, 5, EPOCH.cluster_id)
    assert not await is_told(parts, 5, OTHER.cluster_id)
    parts.in_force(snapshot(5, OTHER))
    assert await is_told(parts, 5, OTHER.cluster_id)
    assert not await is_told(parts, 5, EPOCH.cluster_id)


async def test_a_store_that_lives_anew_under_its_old_id_is_told_by_what_was_written(
    parts: Parts, autojump_clock: MockClock
) -> None:
    """Revision 1000 is in force, in which the key is of revision 8; the store begins anew and writes it at 5 or 9."""
    parts.in_force(Snapshot.of(EPOCH, 1_000, [virtual_service(8, 1)]))

    async def answered_after(wanted: Wanted) -> float | None:
        began_s = trio.current_time()
        with trio.move_on_after(20.0):
            await parts.answers.wait_in_force(wanted)
            return trio.current_time() - began_s
        return None

    assert await answered_after(Wanted(8, None, VS_KEY)) == 0.0
    assert await answered_after(Wanted(9, None, VS_KEY)) is None
    assert await answered_after(Wanted(5, None, VS_KEY)) is None, "the store said nothing since"


async def test_a_key_that_was_written_again_counts_once_the_store_was_heard(
    parts: Parts, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    parts.in_force(Snapshot.of(EPOCH, 1_000, [virtual_service(8, 1)]))

    async def heartbeat() -> None:
        await trio.sleep(4)
        parts.store.now = replace(parts.store.now, heard_s=trio.current_time())

    nursery.start_soon(heartbeat)
    began_s = trio.current_time()
    with trio.fail_after(20):
        await parts.answers.wait_in_force(Wanted(5, None, VS_KEY))
    assert 5.0 <= trio.current_time() - began_s < 6.0


async def test_a_store_that_turns_out_to_live_anew_is_waited_for(
    parts: Parts, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    parts.in_force(Snapshot.of(EPOCH, 1_000, [virtual_service(8, 1)]))
    anew = Epoch(2, EPOCH.cluster_id)

    async def live_anew() -> None:
        await trio.sleep(4)
        parts.store.now = replace(parts.store.now, heard_s=trio.current_time())
        arrive(parts.node, Snapshot.of(anew, 5, [virtual_service(5, 1)]))
        parts.changed.ring()
        await trio.sleep(3)
        parts.in_force(Snapshot.of(anew, 5, [virtual_service(5, 1)]))

    nursery.start_soon(live_anew)
    with trio.fail_after(20):
        answer = await parts.answers.wait_in_force(Wanted(5, None, VS_KEY))
    assert answer["epoch"] == str(anew)


async def test_while_another_epoch_is_held_nothing_that_was_put_is_in_force(
    parts: Parts, autojump_clock: MockClock
) -> None:
    parts.in_force(snapshot(1_000))
    held = HeldEpoch(0xDEF, 40, "all VirtualServices are gone")
    parts.store.now = replace(parts.store.now, state=MirrorState.HELD, held=held)
    assert not await is_told(parts, 41)
    status = parts.answers.status()
    assert status["config"]["state"] == "held"
    assert status["config"]["held"] == {"cluster_id": "def", "reason": held.reason, "by": "etcd"}
    assert parts.answers.accept_epoch() == {"accepted": "def", "revision": 40}
    assert parts.store.accepted == 1


async def test_an_epoch_that_is_not_held_cannot_be_accepted(parts: Parts) -> None:
    with pytest.raises(ConflictError):
        parts.answers.accept_epoch()
    assert parts.store.accepted == 0


async def test_a_status_before_anything_happened_is_whole_json_and_metrics_can_be_read(
    parts: Parts,
) -> None:
    status = json.loads(json.dumps(parts.answers.status()))
    assert status["config"]["state"] == "none"
    assert status["config"]["revision_in_force"] == 0
    assert status["registration"]["state"] == "off"
    assert b"meshd_config_revision" in await parts.answers.metrics()
    assert parts.answers.summary() == "revision 0 in force, none"


async def test_what_is_served_has_no_age_while_the_store_is_followed(parts: Parts) -> None:
    parts.in_force(snapshot(6), Source.DISK)
    config = parts.answers.status()["config"]
    assert config["age_s"] is None
    assert config["source"] == "etcd", "the store said that nothing changed since"


async def test_away_from_the_store_the_age_counts_from_its_last_word(
    parts: Parts, autojump_clock: MockClock
) -> None:
    parts.in_force(snapshot(6))
    heard_s = trio.current_time()
    parts.store.now = replace(parts.store.now, state=MirrorState.BACKOFF, heard_s=heard_s)
    await trio.sleep(240)
    assert parts.answers.status()["config"]["age_s"] == pytest.approx(240)


async def test_started_without_the_store_the_age_is_that_of_the_disk(parts: Parts) -> None:
    parts.last_good.keep(snapshot(6), ())
    await parts.last_good.flush()
    parts.in_force(snapshot(6), Source.DISK)
    parts.store.now = replace(parts.store.now, state=MirrorState.BACKOFF, heard_s=None)
    config = parts.answers.status()["config"]
    assert config["source"] == "disk"
    assert 0.0 <= config["age_s"] < 60.0


async def test_a_cluster_that_never_warms_holds_up_revisions_but_not_readiness(
    parts: Parts, autojump_clock: MockClock
) -> None:
    arrive(parts.node, snapshot(6))
    view = parts.driver.view()
    idle = TypeView(desired=1, held=1, pending=0, in_flight=0, acks=1, nacks=0, resources_sent=1)
    warming = {
        **dict.fromkeys(TypeUrl, idle),
        TypeUrl.CLUSTER: replace(idle, in_flight=1),
    }
    parts.driver.now = replace(view, state=SessionState.WARMING, types=warming)
    assert parts.answers.is_ready()
    assert not await is_told(parts, 6)
    for type_url, row in (
        (TypeUrl.LISTENER, replace(idle, held=0)),
        (TypeUrl.ROUTES, replace(idle, in_flight=1)),
        (TypeUrl.VIRTUAL_HOST, replace(idle, pending=1)),
    ):
        parts.driver.now = replace(parts.driver.now, types={**warming, type_url: row})
        assert not parts.answers.is_ready()
    parts.driver.now = replace(view, state=SessionState.WARMING, types=warming)
    parts.envoy.closed(1)
    assert not parts.answers.is_ready()
