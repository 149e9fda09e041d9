"""A node in a large mesh: judges what is asked for, the rest when there is time, and serves nothing that is bad."""

from __future__ import annotations

import json
from dataclasses import replace

from sidecar.node.events import (
    Desire,
    Effect,
    EnvoyAsked,
    EnvoyInForce,
    JudgeSome,
    KeepLastGood,
    LookUp,
    Transition,
)
from sidecar.node.node import Node
from sidecar.xds.resource import TypeUrl
from store.keys import object_key
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from store.snapshot import Entry, Snapshot
from tests.harness.nodes import EPOCH, arrive, make_node, virtual_service

ROUTES = "outbound"


def large_mesh() -> Node:
    return make_node(budget_services=0, put_off_from=0)


def named(name: str, revision: int, *, good: bool = True, version: int = 1) -> Entry:
    """A VirtualService that answers by itself."""
    document = json.loads(virtual_service(revision, version).value)
    document["metadata"]["name"] = name
    document["spec"]["hosts"] = [f"{name}.example.com"]
    if not good:
        document["spec"]["http"][0]["noSuchField"] = 1
    key = object_key(ObjectRef(Kind.VIRTUAL_SERVICE, "default", name))
    return Entry(key, json.dumps(document).encode(), 2, revision, version)


def asked(node: Node, host: str) -> list[Effect]:
    (config,) = node.builder.resources[TypeUrl.ROUTES]
    return node.handle(EnvoyAsked((f"{config}/{host}",)), 2.0)


def bodies(effects: list[Effect], host: str) -> list[bytes]:
    """What the last word on a host is made of."""
    changes = [effect.change for effect in effects if isinstance(effect, Desire)]
    told = [change.upserts.get(TypeUrl.VIRTUAL_HOST, {}) for change in changes]
    return [one.body for hosts in told for name, one in hosts.items() if name.endswith(f"/{host}")]


def said(effects: list[Effect]) -> list[str]:
    return [effect.event for effect in effects if isinstance(effect, Transition)]


def test_what_is_bad_is_never_told_to_envoy_and_quarantined_when_it_is_asked_for() -> None:
    node = large_mesh()
    loading = arrive(
        node, Snapshot.of(EPOCH, 9, [named("good", 5), named("bad", 6, good=False, version=3)])
    )
    assert "object_quarantined" not in said(loading)
    good = bodies(asked(node, "good.example.com"), "good.example.com")
    assert b"v1" in good[-1]
    effects = asked(node, "bad.example.com")
    assert all(b"v1" not in body for body in bodies(effects, "bad.example.com"))
    assert "object_quarantined" in said(effects)
    assert [effect.recall.revision for effect in effects if isinstance(effect, LookUp)] == [5]
    assert [str(row.ref) for row in node.catalog.quarantined] == ["VirtualService/default/bad"]


def test_the_rest_is_judged_in_slices_and_what_is_bad_in_it_is_quarantined() -> None:
    node = large_mesh()
    entries = [named(f"s{number}", number + 2, good=number != 3) for number in range(6)]
    arrive(node, Snapshot.of(EPOCH, 9, entries))
    events: list[str] = []
    slices = 0
    while node.catalog.unjudged:
        events += said(node.handle(JudgeSome(2), 3.0))
        slices += 1
    assert slices == 3
    assert events == ["object_quarantined"]
    assert [str(row.ref) for row in node.catalog.quarantined] == ["VirtualService/default/s3"]
    assert node.handle(JudgeSome(2), 4.0) == []


def test_only_what_is_judged_as_a_whole_is_kept_as_judged() -> None:
    node = large_mesh()
    arrive(node, Snapshot.of(EPOCH, 9, [named("a", 5), named("b", 6)]))
    (kept,) = in_force(node, 9)
    assert not kept.is_judged
    node.handle(JudgeSome(1), 2.0)
    last = node.handle(JudgeSome(1), 2.0)
    assert [effect.change.label for effect in last if isinstance(effect, Desire)] == [f"{EPOCH}@9"]
    (kept,) = in_force(node, 9)
    assert kept.is_judged


def test_a_small_mesh_is_judged_when_it_is_loaded() -> None:
    node = make_node(budget_services=0)
    effects = arrive(node, Snapshot.of(EPOCH, 9, [named("a", 5), named("bad", 6, good=False)]))
    assert "object_quarantined" in said(effects)
    assert node.catalog.unjudged == 0


def test_a_change_of_what_was_never_asked_for_is_judged_at_once() -> None:
    node = large_mesh()
    first = Snapshot.of(EPOCH, 9, [named("a", 5), named("b", 6)])
    arrive(node, first)
    spoilt = replace(named("a", 10, good=False, version=2), create_revision=2)
    effects = arrive(node, first.apply([spoilt], (), 10))
    assert "object_quarantined" in said(effects)
    assert b"v1" in bodies(asked(node, "a.example.com"), "a.example.com")[-1]


def in_force(node: Node, revision: int) -> list[KeepLastGood]:
    effects = node.handle(EnvoyInForce(f"{EPOCH}@{revision}"), 2.0)
    return [effect for effect in effects if isinstance(effect, KeepLastGood)]


def test_what_was_asked_for_to_the_last_is_kept_as_judged_too() -> None:
    node = large_mesh()
    arrive(node, Snapshot.of(EPOCH, 9, [named("a", 5), named("b", 6)]))
    asked(node, "a.example.com")
    (kept,) = in_force(node, 9)
    assert not kept.is_judged
    asked(node, "b.example.com")
    (kept,) = in_force(node, 9)
    assert kept.is_judged
