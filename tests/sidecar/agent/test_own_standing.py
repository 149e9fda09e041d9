"""What a host says of its own configuration: never more than what its Envoy has of the epoch that it follows."""

from __future__ import annotations

import json
from dataclasses import replace

from sidecar.agent.own_standing import own_standing
from sidecar.node.events import EnvoyInForce, SnapshotArrived, Source
from sidecar.node.node import Node
from sidecar.standing.codec import WITHHELD_MAX
from sidecar.standing.model import Standing, Sync, mark_of
from sidecar.xds.events import ResourceRejected
from sidecar.xds.resource import TypeUrl
from store.snapshot import Entry, Epoch, Snapshot
from tests.harness.nodes import EPOCH, VS_KEY, make_node, virtual_service

OTHER = Epoch(2, 0xDEF)


def said(
    node: Node,
    sync: Sync = Sync.STORE,
    rejected: tuple[ResourceRejected, ...] = (),
    *,
    is_current: bool = True,
) -> Standing:
    return own_standing(node, sync, rejected, is_current=is_current, version="1.0")


def arrive(node: Node, snapshot: Snapshot, *, is_in_force: bool = True) -> None:
    node.handle(SnapshotArrived(snapshot, Source.ETCD), 1.0)
    if is_in_force:
        node.handle(EnvoyInForce(f"{snapshot.epoch}@{snapshot.revision}"), 1.0)


def at(revision: int, epoch: Epoch = EPOCH) -> Snapshot:
    return Snapshot.of(epoch, revision, [virtual_service(revision, 1)])


def test_before_the_first_snapshot_there_is_nothing_to_say() -> None:
    assert said(make_node()) == Standing(None, 0, "", 0, Sync.STORE, version="1.0")


def test_what_is_received_and_what_is_in_force_are_told_apart() -> None:
    node, snapshot = make_node(), at(6)
    arrive(node, at(5))
    arrive(node, snapshot, is_in_force=False)
    standing = said(node)
    assert (standing.received, standing.in_force) == (6, 5)
    assert standing.received_hash == snapshot.hash[:32]
    assert standing.epoch == EPOCH


def test_while_envoy_is_away_nothing_is_in_force() -> None:
    node = make_node()
    arrive(node, at(5))
    assert said(node, is_current=False).in_force == 0


def test_what_is_in_force_of_another_epoch_is_not_said_beside_this_one() -> None:
    node = make_node()
    arrive(node, at(1_000))
    arrive(node, at(4, OTHER), is_in_force=False)
    standing = said(node)
    assert (standing.epoch, standing.received, standing.in_force) == (OTHER, 4, 0)


def test_where_it_comes_from_is_said_as_it_was_found() -> None:
    assert said(make_node(), Sync.HELD).sync is Sync.HELD


def test_quarantined_objects_are_counted_and_marked() -> None:
    node = make_node()
    bad = replace(virtual_service(5, 1), value=json.dumps({"spec": 1}).encode())
    arrive(node, Snapshot.of(EPOCH, 5, [bad]))
    standing = said(node)
    assert standing.quarantined == 1
    assert standing.withheld == (mark_of(VS_KEY),)


def test_objects_behind_what_envoy_refuses_are_marked() -> None:
    node = make_node()
    arrive(node, at(5))
    resources = node.builder.resources[TypeUrl.VIRTUAL_HOST]
    sources = next(one.sources for one in resources.values() if one.sources)
    refused = ResourceRejected(TypeUrl.VIRTUAL_HOST, "x", "1", "port taken", sources, False)
    standing = said(node, rejected=(refused,))
    assert standing.rejected == 1
    assert mark_of(VS_KEY) in standing.withheld


def test_marks_are_bounded() -> None:
    node = make_node()
    keys = [f"ns/default/virtualservices/v{number}" for number in range(WITHHELD_MAX + 10)]
    arrive(node, Snapshot.of(EPOCH, 5, [Entry(key, b"{", 1, 2, 1) for key in keys]))
    standing = said(node)
    assert standing.quarantined == WITHHELD_MAX + 10
    assert len(standing.withheld) == WITHHELD_MAX
