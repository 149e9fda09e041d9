from __future__ import annotations

from sidecar.mesh.model import Context
from sidecar.node.events import SnapshotArrived, Source
from sidecar.node.node import Node
from sidecar.node.status import config_state
from sidecar.xds.compile import Bind
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.session import Session
from store.snapshot import Epoch, Snapshot


def make_node() -> Node:
    settings = BuilderSettings(outbound={"": Bind("127.0.0.1", 15001)})
    return Node("me", (Context("", "default"),), lambda _: Builder(settings))


def test_before_the_first_snapshot_nothing_is_told_of_one() -> None:
    state = config_state(make_node(), Session().snapshot(), is_held=False)
    assert (state["state"], state["epoch"], state["revision_received"]) == ("none", "", 0)


def test_a_store_without_objects_is_a_snapshot_like_any_other() -> None:
    node = make_node()
    snapshot = Snapshot.empty(Epoch(1, 0xABC), 7)
    node.handle(SnapshotArrived(snapshot, Source.ETCD), 0.0)
    state = config_state(node, Session().snapshot(), is_held=False)
    assert state["epoch"] == str(snapshot.epoch)
    assert state["revision_received"] == 7
    assert state["hash"] == snapshot.hash
