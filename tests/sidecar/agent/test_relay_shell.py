"""Three relays on loopback, with gossip and no etcd: what two hold, the third takes; and it hands on what it has."""

from __future__ import annotations

import random
from pathlib import Path

import trio

from sidecar.agent.relay_answer import describe_relay
from sidecar.agent.relay_shell import RelayShell, Taking
from sidecar.gossip.records import Topic
from sidecar.relay import Relay, StoreLink
from sidecar.relay import events as on
from sidecar.standing.codec import encode
from sidecar.standing.model import Standing, Sync
from store.snapshot import Snapshot
from tests.harness.gossipers import Gossiper
from tests.harness.nodes import EPOCH, virtual_service
from tests.harness.processes import wait_until_async

WITHIN_S = 60.0


def at(revision: int) -> Snapshot:
    return Snapshot.of(EPOCH, revision, [virtual_service(revision, 1)])


class Host(Gossiper):
    """One that gossips and relays."""

    def __init__(self, folder: Path, name: str, *seeds: str) -> None:
        super().__init__(folder, name, seeds)
        self.taken: list[int] = []
        self.watches: list[bool] = []
        self.relay = RelayShell(
            Relay(name, random.Random(1), mesh_id="mesh"),
            self.shell,
            Taking(
                adopt=lambda snapshot: self.taken.append(snapshot.revision),
                watch=self.watches.append,
                localities=dict,
            ),
        )

    def has(self, snapshot: Snapshot) -> None:
        """etcd shows this."""
        self.relay.handle(on.SnapshotSeen(snapshot))
        self.relay.handle(on.StoreSeen(StoreLink.FOLLOWED))
        said = Standing(snapshot.epoch, snapshot.revision, snapshot.hash[:32], 0, Sync.STORE)
        self.shell.say(Topic.STANDING, 0, encode(said))


async def started(nursery: trio.Nursery, folder: Path) -> list[Host]:
    first = Host(folder, "h0")
    hosts = [first, Host(folder, "h1", first.address), Host(folder, "h2", first.address)]
    for host in hosts:
        nursery.start_soon(host.relay.run)
        await host.start(nursery)
    return hosts


async def test_what_two_hosts_attest_the_third_takes_over_tcp(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        *near, far = await started(nursery, tmp_path)
        far.relay.handle(on.StoreSeen(StoreLink.AWAY))
        for host in near:
            host.has(at(5))
        await wait_until_async(lambda: far.taken == [5], WITHIN_S, "revision 5 at the far host")
        for host in near:
            host.has(at(6))
        await wait_until_async(lambda: far.taken == [5, 6], WITHIN_S, "revision 6 there")
        assert far.relay.sync is Sync.PEERS
        assert far.relay.is_current()
        shown = describe_relay(far.relay, trio.current_time())
        assert shown["adopted"]["attested_by"] == ["h0", "h1"]
        assert shown["peers_at_store"] == 2
        assert shown["counters"]["adopted"] == 2
        assert far.shell.traffic.packets["out", "relay"] >= 4
        nursery.cancel_scope.cancel()


async def test_one_host_alone_is_not_believed(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        one, two, far = await started(nursery, tmp_path)
        for host in (one, two):
            host.has(at(5))
        far.relay.handle(on.StoreSeen(StoreLink.AWAY))
        await wait_until_async(lambda: far.taken == [5], WITHIN_S, "revision 5 at the far host")
        one.has(at(7))
        await wait_until_async(lambda: _standing_of(far, "h0") == 7, WITHIN_S, "the word of one")
        two.has(at(6))
        await wait_until_async(lambda: _standing_of(far, "h1") == 6, WITHIN_S, "that of another")
        three = Host(tmp_path, "h3", one.address)
        nursery.start_soon(three.relay.run)
        await three.start(nursery)
        three.has(at(6))  # now 6 has two words: it is taken, and 7 never was
        await wait_until_async(lambda: far.taken[-1] == 6, WITHIN_S, "what two attest")
        assert far.taken == [5, 6]
        nursery.cancel_scope.cancel()


def _standing_of(host: Host, node: str) -> int:
    standing = host.relay._core._book.standing(node)
    return 0 if standing is None else standing.received


async def test_a_peer_that_is_gone_is_a_failed_question(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        one, two, far = await started(nursery, tmp_path)
        for host in (one, two):
            host.has(at(5))
        await wait_until_async(lambda: _standing_of(far, "h1") == 5, WITHIN_S, "both words")
        one.kill()
        two.kill()
        far.relay.handle(on.StoreSeen(StoreLink.AWAY))
        await wait_until_async(
            lambda: dict(far.relay.view().counters).get("peers_silent", 0) >= 2,
            WITHIN_S,
            "both to be asked in vain",
        )
        assert far.taken == []
        assert {node for node, _ in far.relay.view().left_alone} <= {"h0", "h1"}
        nursery.cancel_scope.cancel()
