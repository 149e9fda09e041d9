"""The node as status shows it."""

from __future__ import annotations

import base64
import json

import pytest

from sidecar.node.events import EnvoyInForce, EnvoyRejected
from sidecar.node.status import (
    config_state,
    kept_hosts,
    mesh_counts,
    quarantined,
    refused_claims,
    rejected,
)
from sidecar.xds.events import ResourceRejected, SessionState, SessionView
from sidecar.xds.resource import TypeUrl
from store.snapshot import Entry, Snapshot
from tests.harness.nodes import EPOCH, VS_KEY, arrive, make_node, registration, virtual_service


def session(state: SessionState, *refused: ResourceRejected) -> SessionView:
    return SessionView(state, "h1", "", "", None, refused, {})


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (SessionState.DETACHED, "detached"),
        (SessionState.WAITING, "detached"),
        (SessionState.SYNCING, "updating"),
        (SessionState.WARMING, "warming"),
        (SessionState.IN_FORCE, "in-force"),
    ],
)
def test_one_word_says_how_far_envoy_is(state: SessionState, word: str) -> None:
    node = make_node()
    assert config_state(node, session(state), is_held=False)["state"] == "none"
    arrive(node, Snapshot.of(EPOCH, 5, []))
    assert config_state(node, session(state), is_held=False)["state"] == word
    assert config_state(node, session(state), is_held=True)["state"] == "held"


def test_received_and_in_force_are_apart_until_envoy_has_it() -> None:
    node = make_node()
    snapshot = Snapshot.of(EPOCH, 5, [virtual_service(5, 1)])
    arrive(node, snapshot)
    found = config_state(node, session(SessionState.SYNCING), is_held=False)
    assert (found["revision_received"], found["revision_in_force"]) == (5, 0)
    assert (found["epoch"], found["hash"]) == (str(EPOCH), snapshot.hash)
    node.handle(EnvoyInForce(f"{EPOCH}@5"), 2.0)
    found = config_state(node, session(SessionState.IN_FORCE), is_held=False)
    assert (found["revision_received"], found["revision_in_force"]) == (5, 5)
    assert found["epoch_in_force"] == found["epoch"] != ""


def test_what_does_not_serve_is_listed_with_who_found_it_and_what_serves_instead() -> None:
    node = make_node()
    first = Snapshot.of(EPOCH, 5, [virtual_service(5, 1)])
    arrive(node, first)
    arrive(node, first.apply([Entry(VS_KEY, b"\xff", 2, 6, 2)], (), 6))
    (row,) = quarantined(node)
    assert (row["key"], row["revision"], row["serving_revision"]) == (VS_KEY, 6, 5)
    assert row["by"] == "validation"
    assert row["diagnostics"][0]["message"]
    json.dumps(row)


def test_what_envoy_refused_is_listed_as_found_by_envoy() -> None:
    node = make_node()
    arrive(node, Snapshot.of(EPOCH, 5, [virtual_service(5, 1)]))
    name, resource = next(iter(node.builder.resources[TypeUrl.VIRTUAL_HOST].items()))
    refused = ResourceRejected(
        TypeUrl.VIRTUAL_HOST, name, resource.version, "no such thing", resource.sources
    )
    node.handle(EnvoyRejected(refused), 2.0)
    (row,) = quarantined(node)
    assert row["by"] == "envoy"
    assert "no such thing" in row["diagnostics"][0]["message"]
    (shown,) = rejected([refused])
    assert (shown["type"], shown["name"]) == ("VirtualHost", name)
    assert any("probe" in source for source in shown["sources"])


def test_kept_hosts_say_since_when_for_how_long_and_why() -> None:
    node = make_node()
    first = Snapshot.of(EPOCH, 5, [registration(f"h{number}", 4) for number in range(1, 6)])
    arrive(node, first, 0.0)
    arrive(node, first.apply((), ["hosts/h1"], 6), 10.0)
    (row,) = kept_hosts(node, 70.0)
    assert (row["host"], row["since_s"], row["for_s"]) == ("h1", 60.0, 540.0)
    assert row["reason"]


def test_counts_are_those_of_what_is_in_force() -> None:
    node = make_node()
    assert mesh_counts(node)["services"] == 0
    arrive(node, Snapshot.of(EPOCH, 5, [virtual_service(5, 1), registration("h1", 4)]))
    counts = mesh_counts(node)
    assert counts["objects"] == {"VirtualService": 1}
    assert (counts["hosts"], counts["services"], counts["mode"]) == (1, 1, "eager")
    assert counts["resources"]["virtual_hosts"] >= 1


def test_refused_claims_name_the_host_the_workload_and_why() -> None:
    node = make_node()
    record = {
        "apiVersion": "meshd.io/v1",
        "kind": "Admission",
        "host": "h1",
        "publicKey": base64.b64encode(bytes(32)).decode(),
        "namespaces": ["shop"],
    }
    entry = Entry("admission/h1", json.dumps(record).encode(), 5, 5, 1)
    arrive(node, Snapshot.of(EPOCH, 5, [registration("h1", 4), entry]))
    (row,) = refused_claims(node)
    assert (row["host"], row["workload"]) == ("h1", "default/reviews")
    assert "the admission record allows shop" in row["reason"]
