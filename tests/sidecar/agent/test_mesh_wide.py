"""Standing at work: what is said to gossip and when, waits for the whole mesh, answers with gossip off."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sidecar.agent.bell import Bell
from sidecar.agent.mesh_wide import LOOK_AGAIN_S, MeshWide
from sidecar.gossip import Status
from sidecar.gossip import events as heard
from sidecar.gossip.records import Topic
from sidecar.standing.codec import decode
from sidecar.standing.model import Standing, Sync
from sidecar.standing.progress import Progress
from store.errors import ConflictError
from store.snapshot import Epoch
from tests.harness.fake_gossip import FakeGossip

CLUSTER = 0xABC


def having(revision: int) -> Standing:
    epoch = Epoch(1, CLUSTER)
    return Standing(epoch, revision, f"{revision:032x}", revision, Sync.STORE, version="1.0")


@dataclass
class Host:
    """One host whose own standing a test sets."""

    wide: MeshWide
    gossip: FakeGossip
    bell: Bell
    own: Standing

    def become(self, standing: Standing) -> None:
        self.own = standing
        self.bell.ring()

    def said(self) -> list[int]:
        """Revisions in force that were said, in order."""
        found = [decode(body) for _, _, body in self.gossip.said]
        return [standing.in_force for standing in found if standing is not None]


@pytest.fixture
async def host(nursery: trio.Nursery) -> Host:
    bell, gossip = Bell(), FakeGossip(now=trio.current_time)
    made = Host(MeshWide("me", lambda: made.own, bell), gossip, bell, having(5))
    made.wide.join(gossip)
    for node in ("a", "b"):
        gossip.member(node)
        gossip.hear(node, having(5))
    nursery.start_soon(made.wide.run)
    await wait_all_tasks_blocked()
    return made


async def test_own_standing_is_said_at_once_and_at_each_change(
    host: Host, autojump_clock: MockClock
) -> None:
    assert host.said() == [5]
    host.become(having(6))
    await wait_all_tasks_blocked()
    host.bell.ring()
    await wait_all_tasks_blocked()
    assert host.said() == [5, 6]
    assert {(topic, page) for topic, page, _ in host.gossip.said} == {(Topic.STANDING, 0)}


async def test_a_store_that_falls_silent_is_said_though_nothing_rings(
    host: Host, autojump_clock: MockClock
) -> None:
    host.own = replace(having(5), sync=Sync.STALE)
    await trio.sleep(LOOK_AGAIN_S * 1.5)
    assert decode(host.gossip.said[-1][2]) == host.own


async def test_a_wait_ends_with_the_last_member(
    host: Host, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    host.become(having(6))
    host.gossip.hear("a", having(6))

    async def late() -> None:
        await trio.sleep(3)
        host.gossip.hear("b", having(6))

    nursery.start_soon(late)
    began_s = trio.current_time()
    is_met, view = await host.wide.wait(6, CLUSTER, 30)
    assert is_met
    assert trio.current_time() - began_s == pytest.approx(3)
    assert view.met == ("a", "b", "me")


async def test_a_wait_in_vain_ends_in_time_and_names_who_lags(
    host: Host, autojump_clock: MockClock
) -> None:
    host.become(having(6))
    host.gossip.hear("a", having(6))
    began_s = trio.current_time()
    is_met, view = await host.wide.wait(6, CLUSTER, 4)
    assert not is_met
    assert trio.current_time() - began_s == pytest.approx(4)
    assert dict(view.pending) == {"b": Progress.BEHIND}


async def test_while_somebody_waits_those_that_lag_are_asked(
    host: Host, autojump_clock: MockClock
) -> None:
    host.become(having(6))
    await host.wide.wait(6, CLUSTER, 1)
    assert {nodes for _, nodes in host.gossip.asked} == {("a", "b")}
    count = len(host.gossip.asked)
    assert count >= 3
    await trio.sleep(30)
    assert len(host.gossip.asked) == count, "nobody waits any more"


async def test_a_wait_looks_at_own_state_itself_and_needs_no_bell(
    host: Host, autojump_clock: MockClock
) -> None:
    host.own = having(6)
    host.gossip.hear("a", having(6))
    host.gossip.hear("b", having(6))
    is_met, _ = await host.wide.wait(6, CLUSTER, 30)
    assert is_met


async def test_one_that_dies_meanwhile_is_named_and_not_waited_for(
    host: Host, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    host.become(having(6))
    host.gossip.hear("a", having(6))

    async def die() -> None:
        await trio.sleep(1)
        host.gossip.member("b", Status.DEAD)

    nursery.start_soon(die)
    is_met, view = await host.wide.wait(6, CLUSTER, 30)
    assert (is_met, view.gone) == (True, ("b",))


async def test_words_of_other_topics_are_none_of_its_business(
    host: Host, autojump_clock: MockClock
) -> None:
    host.gossip.hear("a", having(9))
    before = host.wide.standings()
    host.gossip.tell(heard.RecordDropped(Topic.EVIDENCE, "a", 0))
    assert host.wide.standings() == before
    host.gossip.tell(heard.RecordDropped(Topic.STANDING, "a", 0))
    assert host.wide.standings() != before


async def test_different_content_at_one_revision_is_an_error_in_the_log_once(
    host: Host, autojump_clock: MockClock
) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            host.gossip.hear("a", replace(having(5), received_hash="f" * 32))
        host.gossip.hear("a", having(5))
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("mesh_content_differs", "error"),
        ("mesh_content_agrees", "info"),
    ]


async def test_without_gossip_it_knows_of_this_host_and_says_why(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    wide = MeshWide("me", lambda: having(5), Bell(), off="there is no key")
    nursery.start_soon(wide.run)
    await wait_all_tasks_blocked()
    assert wide.standings().own == having(5)
    with pytest.raises(ConflictError, match="gossip is off on me: there is no key"):
        wide.joined()


async def test_what_was_known_before_gossip_joined_is_said_when_it_does(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    wide, gossip = MeshWide("me", lambda: having(5), Bell()), FakeGossip()
    nursery.start_soon(wide.run)
    await wait_all_tasks_blocked()
    wide.join(gossip)
    assert len(gossip.said) == 1
