"""`meshd status` for the whole mesh, from one sidecar of this machine."""

from __future__ import annotations

import json
from pathlib import Path

from meshd.cli import exits
from tests.harness.command_line import CommandLine
from tests.harness.fake_agent import FakeAgent, mesh_answer, stale_socket


def rows(text: str) -> list[list[str]]:
    """Cells of the table, without those that blanks are in."""
    return [line.split() for line in text.split("\n\n")[0].splitlines()]


def test_one_sidecar_tells_of_every_host_and_how_old_that_is(
    machine: CommandLine, near: FakeAgent
) -> None:
    near.answers["/v1/mesh"] = (200, mesh_answer("near", "far"))
    ran = machine("status")
    assert ran.status == exits.OK, ran.text()
    header, far, own = rows(ran.out)
    assert header[-1] == "TOLD"
    assert far[0] == "far"
    assert far[-2:] == ["12s", "ago"]
    assert (own[0], own[-1]) == ("near", "here")
    assert ran.err == ""


def test_a_host_that_died_is_first_and_1(machine: CommandLine, near: FakeAgent) -> None:
    answer = mesh_answer("near", "far", "dead")
    answer["members"][2] |= {"status": "dead", "since_s": 60.0}
    near.answers["/v1/mesh"] = (200, answer)
    ran = machine("status", "--no-headers")
    assert ran.status == exits.NO
    assert rows(ran.out)[0][:2] == ["dead", "dead"]
    assert "dead: error: held dead for 1m" in ran.out


def test_lag_counts_from_the_newest_revision_of_the_mesh(
    machine: CommandLine, near: FakeAgent
) -> None:
    near.answers["/v1/mesh"] = (200, mesh_answer("near", "far", revision=15))
    _, _, own = rows(machine("status").out)
    assert own[2:5] == ["12", "12", "3"]


def test_local_is_this_machine_alone_and_asks_for_nothing_else(
    machine: CommandLine, near: FakeAgent
) -> None:
    near.answers["/v1/mesh"] = (200, mesh_answer("near", "far"))
    ran = machine("status", "--local")
    assert [row[0] for row in rows(ran.out)] == ["NODE", "near"]
    assert "TOLD" not in ran.out
    assert ran.err == ""
    assert near.asked == ["GET /v1/status"]


def test_without_gossip_it_is_this_machine_and_says_so(
    machine: CommandLine, near: FakeAgent
) -> None:
    off = {"node": "near", "gossip": {"state": "off", "reason": "there is no key"}}
    near.answers["/v1/mesh"] = (200, off)
    ran = machine("status")
    assert ran.status == exits.OK
    assert [row[0] for row in rows(ran.out)] == ["NODE", "near"]
    assert "not the whole mesh: near: gossip is off there (there is no key)" in ran.err


def test_a_sidecar_of_an_older_version_is_no_error(machine: CommandLine, near: FakeAgent) -> None:
    ran = machine("status")
    assert ran.status == exits.OK
    assert "its version cannot tell of the mesh" in ran.err


def test_any_host_of_the_mesh_can_be_named(machine: CommandLine, near: FakeAgent) -> None:
    near.answers["/v1/mesh"] = (200, mesh_answer("near", "far", "other"))
    ran = machine("status", "far")
    assert [row[0] for row in rows(ran.out)] == ["NODE", "far"]
    ran = machine("status", "nobody")
    assert ran.status == exits.NOT_FOUND
    assert 'no sidecar "nobody" in the mesh' in ran.err
    assert "near, far, other" in ran.err


def test_sidecars_of_this_machine_are_asked_themselves(
    machine: CommandLine, near: FakeAgent, run_dir: Path
) -> None:
    answer = mesh_answer("near", "gone")
    near.answers["/v1/mesh"] = (200, answer)
    stale_socket(run_dir, "gone")
    ran = machine("status")
    assert ran.status == exits.NO
    assert rows(ran.out)[1][:2] == ["gone", "unreachable"], "what gossip says of it is older"


def test_json_has_everybody_and_who_told(machine: CommandLine, near: FakeAgent) -> None:
    near.answers["/v1/mesh"] = (200, mesh_answer("near", "far"))
    far, own = json.loads(machine("status", "-o", "json").out)
    assert (far["node"], far["told_by"], far["told"]["told_s"]) == ("far", "near", 12.0)
    assert own["config"]["revision_in_force"] == 12


def test_different_content_shows_at_both_sides(machine: CommandLine, near: FakeAgent) -> None:
    answer = mesh_answer("near", "far")
    claims = {"0" * 32: ["near"], "f" * 32: ["far"]}
    answer["alarms"] = [{"kind": "hashes-differ", "revision": 12, "claims": claims}]
    near.answers["/v1/mesh"] = (200, answer)
    ran = machine("status")
    assert ran.status == exits.NO
    assert ran.out.count("revision 12 of one etcd with different content") == 2
