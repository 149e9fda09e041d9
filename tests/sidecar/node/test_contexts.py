"""Contexts that change while the node lives: what their group says of them, and that identities stay."""

from __future__ import annotations

import json
from dataclasses import replace

from sidecar.mesh.model import Context, Locality
from sidecar.node.contexts import resembling
from sidecar.node.events import LocalPortsChanged
from sidecar.xds import protos as pb
from sidecar.xds.resource import TypeUrl
from store.snapshot import Entry, Snapshot
from tests.harness.nodes import EPOCH, arrive, make_node
from tests.harness.objects import virtual_service

OLD = Context("", "default", {"app": "a"}, service_account="web")
NEW = Context("", "default", {"app": "b"}, locality=Locality("eu"), network="n")


def test_labels_and_place_are_taken_over_and_nothing_else() -> None:
    assert resembling((OLD,), (NEW,)) == (
        replace(OLD, labels={"app": "b"}, locality=Locality("eu"), network="n"),
    )


def test_contexts_of_other_names_are_left_alone() -> None:
    assert resembling((OLD,), (replace(NEW, name="other"),)) == (OLD,)


def test_rules_for_labels_hold_once_the_group_gives_them() -> None:
    rule = virtual_service(
        "a",
        ["a.example.com"],
        http=[{"match": [{"sourceLabels": {"app": "b"}}], "directResponse": {"status": 418}}],
    )
    entry = Entry("ns/default/virtualservices/a", json.dumps(rule).encode(), 5, 5, 1)
    node = make_node()
    arrive(node, Snapshot.of(EPOCH, 5, [entry]))

    def hosts() -> list[str]:
        found = node.builder.resources[TypeUrl.VIRTUAL_HOST].values()
        return [domain for one in found for domain in pb.VirtualHost.FromString(one.body).domains]

    assert hosts() == []
    name = next(iter(node.views))
    node.handle(LocalPortsChanged((), (), (replace(NEW, name=name),)), 1.0)
    assert "a.example.com" in hosts()
