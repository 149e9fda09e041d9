"""A node whose Envoy crashes: what changed is taken back, named, kept over restarts, and tried anew when put again."""

from __future__ import annotations

import signal
from dataclasses import replace

from sidecar.node.events import (
    Desire,
    Effect,
    EnvoyEnded,
    EnvoyInForce,
    KeepLastGood,
    SnapshotArrived,
    Source,
    Transition,
)
from sidecar.node.node import Node
from sidecar.node.status import quarantined
from sidecar.xds.events import SendResponse, StreamOpened
from sidecar.xds.resource import Resource, TypeUrl
from store.snapshot import Entry, Snapshot
from tests.harness.nodes import EPOCH, VS_KEY, arrive, make_node, registration, virtual_service

SEGV, KILL = -signal.SIGSEGV, -signal.SIGKILL
FIRST = Snapshot.of(EPOCH, 5, [virtual_service(5, 1)])
SECOND = FIRST.apply([virtual_service(6, 2, "crash")], (), 6)
SENT = SendResponse(1, TypeUrl.CLUSTER, "n", (Resource(TypeUrl.CLUSTER, "c", "v", b""),), (), "e@1")


def told(effects: list[Effect]) -> str:
    """What Envoy is to answer for the probe."""
    (change,) = [effect.change for effect in effects if isinstance(effect, Desire)]
    (resource,) = change.upserts[TypeUrl.VIRTUAL_HOST].values()
    return resource.body.decode(errors="replace")


def serve(node: Node, now_s: float, revision: int) -> list[Effect]:
    """An Envoy connects, is sent everything, and takes it."""
    node.suspects.observe(StreamOpened(1), now_s)
    node.suspects.observe(SENT, now_s)
    return node.handle(EnvoyInForce(f"{EPOCH}@{revision}"), now_s)


def crashing(status: int = SEGV) -> tuple[Node, list[Effect]]:
    """A node whose Envoy had revision 5 for long, and ended twice so after revision 6."""
    node = make_node()
    arrive(node, FIRST, 0.0)
    serve(node, 1.0, 5)
    arrive(node, SECOND, 50.0)
    serve(node, 50.1, 6)
    assert node.handle(EnvoyEnded(status), 51.0) == []
    serve(node, 51.5, 6)
    return node, node.handle(EnvoyEnded(status), 52.0)


def test_what_envoy_crashes_on_goes_back_to_the_generation_before() -> None:
    node, effects = crashing()
    assert "v1" in told(effects)
    said = {effect.event: effect for effect in effects if isinstance(effect, Transition)}
    assert said["envoy_crashes_with_changes"].level == "error"
    assert "SIGSEGV" in str(said["object_quarantined"].facts["reason"])
    (row,) = quarantined(node)
    assert (row["key"], row["revision"], row["serving_revision"]) == (VS_KEY, 6, 5)
    assert row["by"] == "envoy"
    (problem,) = row["diagnostics"]
    assert problem["code"] == "MESH0404"
    assert "SIGSEGV, 2 times, each within 5 s" in problem["message"]
    assert "put it again" in problem["hint"]


def test_the_generation_before_is_no_suspect_of_later_crashes() -> None:
    node, _ = crashing()
    for at_s in (60.0, 61.0, 62.0):
        serve(node, at_s, 6)
        assert node.handle(EnvoyEnded(SEGV), at_s + 0.5) == []
    assert len(quarantined(node)) == 1


def test_an_envoy_that_was_killed_twice_changes_nothing() -> None:
    node, effects = crashing(KILL)
    assert effects == []
    assert quarantined(node) == []


def test_a_new_generation_lifts_it() -> None:
    node, _ = crashing()
    effects = arrive(node, SECOND.apply([virtual_service(7, 3, "well")], (), 7), 60.0)
    assert "well" in told(effects)
    assert quarantined(node) == []


def test_a_restart_of_the_sidecar_remembers_it() -> None:
    node, _ = crashing()
    (kept,) = serve(node, 53.0, 6)
    assert isinstance(kept, KeepLastGood)
    again = make_node(memory=kept.memory)
    effects = again.handle(SnapshotArrived(kept.snapshot, Source.DISK), 0.0)
    assert "v1" in told(effects)
    (row,) = quarantined(again)
    assert row["diagnostics"][0]["code"] == "MESH0404"


def test_what_a_sidecar_begins_with_is_nobodys_change() -> None:
    node = make_node()
    arrive(node, SECOND, 0.0)
    for at_s in (1.0, 2.0, 3.0):
        serve(node, at_s, 6)
        assert node.handle(EnvoyEnded(SEGV), at_s + 0.5) == []
    assert quarantined(node) == []


def test_a_host_that_comes_is_no_suspect() -> None:
    node = make_node()
    arrive(node, FIRST, 0.0)
    serve(node, 1.0, 5)
    arrive(node, FIRST.apply([registration("h1", 6)], (), 6), 50.0)
    for at_s in (50.1, 51.0, 52.0):
        serve(node, at_s, 6)
        assert len(node.suspects) == 0
        assert node.handle(EnvoyEnded(SEGV), at_s + 0.5) == []


def test_a_change_that_gives_envoy_nothing_is_no_suspect() -> None:
    node = make_node(budget_services=0)  # nobody has asked for the probe
    arrive(node, FIRST, 0.0)
    serve(node, 1.0, 5)
    arrive(node, SECOND, 50.0)
    assert len(node.suspects) == 0


def test_a_generation_of_the_same_value_is_no_change_and_tries_a_suspect_anew() -> None:
    node = make_node()
    arrive(node, FIRST, 0.0)
    serve(node, 1.0, 5)
    value = virtual_service(6, 1).value.replace(b"probe", b"other")
    other = Entry("ns/default/virtualservices/other", value, 6, 6, 1)
    arrive(node, FIRST.apply([virtual_service(6, 2), other], (), 6), 50.0)
    assert len(node.suspects) == 1, "the other one alone"
    serve(node, 50.1, 6)
    assert node.handle(EnvoyEnded(SEGV), 50.5) == []
    again = replace(other, mod_revision=7, version=2)
    changed = FIRST.apply([virtual_service(7, 3, "new"), again], (), 7)
    arrive(node, changed, 51.0)
    serve(node, 51.1, 7)
    assert node.handle(EnvoyEnded(SEGV), 51.5) == [], "the first crash of this generation"
