"""The checks of gossip: each trouble is found by its check, and a sound mesh has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshd.cli.agents import find_agents
from meshd.cli.check import Check, Outcome
from meshd.cli.checks_gossip import gossip_checks
from meshd.cli.session import Session
from tests.harness.fake_agent import FakeAgent, mesh_answer

NOW_S = 1_700_000_000.0


def peers(*members: dict[str, Any], **fields: Any) -> tuple[int, dict[str, Any]]:
    return 200, {
        "node": "near",
        "gossip": {"state": "on", "reason": ""},
        "own": {
            "keys": ["one"],
            "problems": [],
            "unresolved_seeds": [],
            "address": "10.0.0.1:7946",
        },
        "epoch": int(NOW_S * 1000) - 5000,
        "health": 0,
        "rival": None,
        "counters": {},
        "refused": {},
        "admitted": None,
        "closed": False,
        "counts": {"alive": 1 + len(members)},
        "members": list(members),
        **fields,
    }


def peer(node: str, status: str = "alive", **fields: Any) -> dict[str, Any]:
    return {"node": node, "status": status, "epoch": int(NOW_S * 1000), **fields}


def found(run_dir: Path, registered: int = 2) -> list[Check]:
    session = Session({"run_dir": str(run_dir)}, {})
    return list(gossip_checks(session, find_agents(run_dir), registered, now_s=NOW_S))


def test_a_sound_mesh_has_no_trouble(near: FakeAgent, run_dir: Path) -> None:
    near.answers["/v1/peers"] = peers(peer("far"))
    near.answers["/v1/mesh"] = (200, mesh_answer("near", "far"))
    checks = found(run_dir)
    assert {one.outcome for one in checks} == {Outcome.OK}
    assert [one.text for one in checks] == [
        "near: 2 members alive, itself among them",
        "all 2 hosts have revision 12 in force",
    ]


@pytest.mark.parametrize(
    ("members", "fields", "outcome", "text"),
    [
        ([], {}, Outcome.FAILED, "near hears no other member, though 2 hosts are registered"),
        ([peer("far")], {"health": 5}, Outcome.WARNING, "local health 5 of 7"),
        ([peer("far", udp_degraded=True)], {}, Outcome.WARNING, "reaches far over TCP only"),
        ([peer("far")], {"closed": True}, Outcome.FAILED, "admission is closed"),
        ([peer("far")], {"admitted": False}, Outcome.FAILED, "names another key"),
        (
            [peer("far")],
            {"refused": {"signature": 3}},
            Outcome.WARNING,
            "3 records were not signed",
        ),
        ([peer("far"), peer("x", "dead")], {}, Outcome.WARNING, "near holds x for dead"),
        ([peer("far", "suspect")], {}, Outcome.WARNING, "near holds far for suspect"),
        (
            [peer("far", epoch=int(NOW_S * 1000) + 90_000)],
            {},
            Outcome.WARNING,
            "began in the future, by this machine's clock: far (90 s)",
        ),
        (
            [peer("far")],
            {"own": {"unresolved_seeds": ["dns:x:1"]}},
            Outcome.WARNING,
            "seeds that cannot be resolved: dns:x:1",
        ),
    ],
)
def test_each_trouble_of_a_sidecar_is_found(
    members: list[dict[str, Any]],
    fields: dict[str, Any],
    outcome: Outcome,
    text: str,
    near: FakeAgent,
    run_dir: Path,
) -> None:
    near.answers["/v1/peers"] = peers(*members, **fields)
    near.answers["/v1/mesh"] = (200, mesh_answer("near"))
    bad = [one for one in found(run_dir) if one.outcome is not Outcome.OK]
    assert any(text in one.text and one.outcome is outcome for one in bad), bad
    assert all(one.group == "gossip" for one in bad)


def test_the_only_host_of_a_mesh_is_not_deaf(near: FakeAgent, run_dir: Path) -> None:
    near.answers["/v1/peers"] = peers()
    near.answers["/v1/mesh"] = (200, mesh_answer("near"))
    assert {one.outcome for one in found(run_dir, registered=1)} == {Outcome.OK}


def test_sidecars_without_gossip_are_one_warning_with_what_to_do(
    near: FakeAgent, run_dir: Path
) -> None:
    off = (200, {"node": "x", "gossip": {"state": "off", "reason": "there is no key"}})
    near.answers["/v1/peers"] = off
    with FakeAgent(run_dir, "other").serving() as other:
        other.answers["/v1/peers"] = off
        (check,) = found(run_dir)
    assert (check.outcome, check.text) == (
        Outcome.WARNING,
        "gossip is off on near, other: there is no key",
    )
    assert any("keyring generate" in hint for hint in check.hints)


def test_a_sidecar_of_an_older_version_is_no_business_of_these(
    near: FakeAgent, run_dir: Path
) -> None:
    assert found(run_dir) == []


def mesh_checks(near: FakeAgent, run_dir: Path, answer: dict[str, Any]) -> list[Check]:
    near.answers["/v1/peers"] = peers(peer("far"))
    near.answers["/v1/mesh"] = (200, answer)
    return [one for one in found(run_dir) if one.outcome is not Outcome.OK]


def test_different_content_fails_once(near: FakeAgent, run_dir: Path) -> None:
    answer = mesh_answer("near", "far")
    claims = {"0" * 32: ["near"], "f" * 32: ["far"]}
    answer["alarms"] = [{"kind": "hashes-differ", "revision": 12, "claims": claims}]
    (check,) = mesh_checks(near, run_dir, answer)
    assert check.outcome is Outcome.FAILED
    assert "with different content" in check.text


def test_several_versions_are_a_warning_with_who_runs_which(near: FakeAgent, run_dir: Path) -> None:
    answer = mesh_answer("near", "far")
    answer["versions"] = {"0.1.0": ["near"], "0.2.0": ["far"]}
    (check,) = mesh_checks(near, run_dir, answer)
    assert check.outcome is Outcome.WARNING
    assert "0.1.0: near; 0.2.0: far" in check.text


def test_other_hosts_that_lag_fail_by_name(near: FakeAgent, run_dir: Path) -> None:
    answer = mesh_answer("near", "far")
    answer["members"][1] |= {"sync": "held"}
    answer["summary"]["lagging"] = ["far"]
    (check,) = mesh_checks(near, run_dir, answer)
    assert (check.outcome, check.text) == (
        Outcome.FAILED,
        "far: it holds off another etcd",
    )


def test_sidecars_of_one_machine_with_different_keys_are_a_warning(
    near: FakeAgent, run_dir: Path
) -> None:
    near.answers["/v1/peers"] = peers(peer("other"))
    near.answers["/v1/mesh"] = (200, mesh_answer("near", "other"))
    with FakeAgent(run_dir, "other").serving() as other:
        other.answers["/v1/peers"] = peers(peer("near"), own={"keys": ["two"]})
        other.answers["/v1/mesh"] = (200, mesh_answer("other", "near"))
        bad = [one for one in found(run_dir) if one.outcome is not Outcome.OK]
    assert [one.text for one in bad] == ["the sidecars of this machine have different keys"]
