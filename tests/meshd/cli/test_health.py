from __future__ import annotations

from typing import Any

import pytest

from meshd.cli.health import health_of
from meshd.cli.troubles import Severity, worst_first
from store.errors import AgentUnavailable
from tests.harness.fake_agent import healthy_status


def test_a_healthy_sidecar_has_no_trouble() -> None:
    health = health_of("vm-1", healthy_status("vm-1"))
    assert health.troubles == ()
    assert health.is_well
    assert health.cells() == [
        *("vm-1", "in-force", "12", "12", "0", "current", "watching", "running", "0", "0", "here")
    ]


TROUBLES: list[tuple[str, dict[str, Any], Severity, str]] = [
    ("config", {"state": "none", "revision_in_force": 0}, Severity.BROKEN, "no configuration yet"),
    ("config", {"revision_in_force": 0}, Severity.BROKEN, "nothing is in force"),
    ("config", {"state": "updating"}, Severity.DEGRADED, "not acknowledged"),
    ("config", {"state": "warming"}, Severity.DEGRADED, "waits for parts"),
    ("config", {"state": "detached"}, Severity.DEGRADED, "not attached"),
    ("config", {"refusal": "format 9"}, Severity.DEGRADED, "format 9"),
    ("config", {"unchecked": 12_000}, Severity.NOTE, "12,000 objects are not checked yet"),
    ("config", {"source": "disk", "age_s": 250.0}, Severity.DEGRADED, "from disk, 4m 10s old"),
    ("config", {"held": {"reason": "all gone"}}, Severity.DEGRADED, "held off: all gone"),
    ("store", {"state": "backoff", "error": "refused"}, Severity.NOTE, "backoff for 1m: refused"),
    ("envoy", {"state": "backoff", "error": "ended with 1"}, Severity.BROKEN, "ended with 1"),
    ("envoy", {"connected": False}, Severity.DEGRADED, "no stream"),
    ("envoy", {"not_replaced": "version mismatch"}, Severity.NOTE, "of before: version mismatch"),
    ("last_known_good", {"error": "no space"}, Severity.DEGRADED, "not written: no space"),
    ("config", {"age_s": 65.0}, Severity.DEGRADED, "serving revision 12, 1m 5s old"),
    (
        "config",
        {"held": {"reason": "all gone", "by": "peers"}},
        Severity.DEGRADED,
        "held off: all gone",
    ),
    ("registration", {"error": "denied"}, Severity.DEGRADED, "registration: denied"),
    ("gossip", {"rival": "10.0.0.9:7946"}, Severity.DEGRADED, "another process at 10.0.0.9:7946"),
    ("gossip", {"problems": ["the disk is full"]}, Severity.NOTE, "gossip: the disk is full"),
]


@pytest.mark.parametrize(("part", "fields", "severity", "text"), TROUBLES)
def test_each_trouble_is_seen_and_said(
    part: str, fields: dict[str, Any], severity: Severity, text: str
) -> None:
    status = healthy_status("vm-1")
    status[part] = {**status.get(part, {}), **fields}
    (trouble,) = health_of("vm-1", status).troubles
    assert trouble.severity is severity
    assert text in trouble.text


@pytest.mark.parametrize(
    ("gossip", "cell"),
    [
        ({"state": "on", "members": {"alive": 2}}, "2 others"),
        ({"state": "off"}, "off"),
        ({"state": "name_taken"}, "name_taken"),
        ({}, ""),
    ],
)
def test_wide_rows_say_how_many_others_are_heard(gossip: dict[str, Any], cell: str) -> None:
    status = {**healthy_status("vm-1"), "gossip": gossip}
    assert health_of("vm-1", status).wide_cells()[4] == cell


def test_a_store_out_of_reach_is_degraded_once_it_is_unknown_whether_anything_changed() -> None:
    status = healthy_status("vm-1")
    status["store"]["state"] = "backoff"
    status["config"]["age_s"] = 3.0
    assert not health_of("vm-1", status).is_well


def test_refused_resources_name_their_objects() -> None:
    status = healthy_status("vm-1")
    row = {"type": "Cluster", "name": "x", "detail": "bad", "sources": ["VirtualService/a/b"]}
    status["rejected"] = [row]
    (trouble,) = health_of("vm-1", status).troubles
    assert "VirtualService/a/b" in trouble.text
    assert trouble.details[0] == "bad"


@pytest.mark.parametrize(
    ("serving", "text"), [(7, "revision 7 of it serves"), (None, "nothing of it serves")]
)
def test_quarantined_objects_come_with_what_serves_and_why(serving: int | None, text: str) -> None:
    status = healthy_status("vm-1")
    problem = {"code": "MESH0101", "path": "spec.hosts", "message": "is required", "hint": "add it"}
    row = {"object": "VirtualService/a/b", "revision": 9, "serving_revision": serving}
    status["quarantined"] = [{**row, "by": "validation", "diagnostics": [problem]}]
    (trouble,) = health_of("vm-1", status).troubles
    assert trouble.text.endswith(f"at revision 9 is quarantined by validation; {text}")
    assert trouble.details == ("error MESH0101 spec.hosts: is required", "  add it")


def test_one_that_cannot_be_asked_is_the_worst_of_all() -> None:
    gone = health_of("b", AgentUnavailable("nobody listens", hint="Start it"))
    broken_status = healthy_status("c")
    broken_status["envoy"]["state"] = "backoff"
    healths = [health_of("a", healthy_status("a")), health_of("c", broken_status), gone]
    assert [one.node for one in worst_first(healths)] == ["b", "c", "a"]
    assert gone.troubles[0].severity is Severity.GONE
    assert gone.as_json()["error"] == "nobody listens. Start it"
    assert gone.cells()[1] == "unreachable"


def test_a_status_of_another_version_is_read_as_far_as_it_goes() -> None:
    statuses: list[dict[str, Any]] = [{}, {"config": None}, {"config": {}, "quarantined": None}]
    for status in statuses:
        assert not health_of("vm-1", status).is_well


def test_json_is_the_status_with_the_judgement() -> None:
    document = health_of("vm-1", healthy_status("vm-1")).as_json()
    assert document["well"] is True
    assert document["config"]["revision_in_force"] == 12


def test_certificates_that_are_missing_kept_or_under_another_name_are_told_apart() -> None:
    status = healthy_status("vm-1")
    missing = {"type": "Secret", "name": "file-cert:/c~/k", "detail": "/c cannot be read: gone"}
    status["rejected"] = [{**missing, "sources": ["Gateway/a/b"]}]
    kept = {"name": "default", "reason": "/k does not belong to /c", "keeps_old": True}
    gone = {"name": "file-cert:/c~/k", "reason": "gone", "keeps_old": False}
    status["secrets"] = {"broken": [kept, gone]}
    named = {"spiffe_id": "spiffe://td/x", "state": "held", "problem": "the certificate bears y"}
    status["identities"] = [named, {**named, "state": "kept"}]
    health = health_of("vm-1", status)
    assert [(one.severity, one.text) for one in health.troubles] == [
        (Severity.DEGRADED, "warning: certificate default: /k does not belong to /c"),
        (Severity.DEGRADED, "error: no certificate for Gateway/a/b: /c cannot be read: gone"),
        (Severity.NOTE, "warning: identity spiffe://td/x: the certificate bears y"),
    ]
