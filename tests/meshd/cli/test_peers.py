"""`meshd peers`: members as one sidecar holds them, and who sees whom as what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshd.cli import exits
from tests.harness.command_line import CommandLine
from tests.harness.fake_agent import FakeAgent, stale_socket


def peer(node: str, status: str = "alive", **fields: Any) -> dict[str, Any]:
    standing = {"version": "0.1.0", "in_force": 12, "sync": "store", "told_s": 4.0}
    return {
        "node": node,
        "status": status,
        "since_s": 125.0,
        "address": "10.0.0.7:7946",
        "epoch": 1700000000000,
        "incarnation": 3,
        "accusers": [],
        "udp_degraded": False,
        "key": "ab12",
        "trust": "first_sight",
        "standing": standing,
        **fields,
    }


def peers(node: str, *members: dict[str, Any], **fields: Any) -> tuple[int, dict[str, Any]]:
    alive = sum(row["status"] == "alive" for row in members) + 1
    return 200, {
        "node": node,
        "gossip": {"state": "on", "reason": ""},
        "own": {"dropped": {}},
        "health": 0,
        "rival": None,
        "counters": {},
        "refused": {},
        "counts": {"alive": alive, "suspect": 0, "dead": len(members) + 1 - alive, "left": 0},
        "members": list(members),
        **fields,
    }


OFF = (
    200,
    {"node": "near", "gossip": {"state": "off", "reason": "there is no key"}, "members": []},
)


def test_members_are_a_table_and_0(machine: CommandLine, near: FakeAgent) -> None:
    near.answers["/v1/peers"] = peers("near", peer("a"), peer("b", standing=None))
    ran = machine("peers")
    assert ran.status == exits.OK, ran.text()
    assert [line.split() for line in ran.out.splitlines()] == [
        ["NODE", "STATUS", "SINCE", "ADDRESS", "VERSION", "REVISION", "SYNC", "TOLD"],
        ["a", "alive", "2m", "5s", "10.0.0.7:7946", "0.1.0", "12", "store", "4s", "ago"],
        ["b", "alive", "2m", "5s", "10.0.0.7:7946", "-", "-", "-", "-"],
    ]
    assert ran.err == "as near sees it: 3 alive (itself among the living)\n"


@pytest.mark.parametrize("status", ["suspect", "dead"])
def test_one_that_is_down_comes_first_and_is_1(
    status: str, machine: CommandLine, near: FakeAgent
) -> None:
    near.answers["/v1/peers"] = peers("near", peer("a"), peer("b", status, accusers=["a", "c"]))
    ran = machine("peers", "-o", "wide", "--no-headers")
    assert ran.status == exits.NO
    first = ran.out.splitlines()[0]
    assert first.startswith("b ")
    assert "a,c" in first
    assert "first sight" in first


def test_one_that_left_is_shown_and_no_trouble(machine: CommandLine, near: FakeAgent) -> None:
    near.answers["/v1/peers"] = peers("near", peer("a", "left"))
    ran = machine("peers")
    assert (ran.status, "left" in ran.out) == (exits.OK, True)


def test_what_a_person_should_act_on_is_said(machine: CommandLine, near: FakeAgent) -> None:
    near.answers["/v1/peers"] = peers(
        "near",
        rival="10.0.0.9:7946",
        health=3,
        own={"dropped": {"datagram_not_opened": 7, "echo": 2}},
        refused={"other_key": 1, "too_old": 5},
    )
    ran = machine("peers")
    assert ran.status == exits.NO
    assert "another process at 10.0.0.9:7946 has the name near" in ran.err
    assert "local health 3 of 7" in ran.err
    assert "7 datagrams were not opened" in ran.err
    assert "1 records were signed with another key" in ran.err
    assert "echo" not in ran.err
    assert "too_old" not in ran.err


def test_with_gossip_off_it_says_why_and_1(machine: CommandLine, near: FakeAgent) -> None:
    near.answers["/v1/peers"] = OFF
    ran = machine("peers")
    assert (ran.status, ran.out) == (exits.NO, "")
    assert ran.err == "gossip is off on near: there is no key\n"


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_documents_have_all_of_it_with_the_same_status(
    form: str, machine: CommandLine, near: FakeAgent
) -> None:
    near.answers["/v1/peers"] = peers("near", peer("a", "dead"))
    ran = machine("peers", "-o", form)
    assert ran.status == exits.NO
    assert "incarnation" in ran.out
    if form == "json":
        assert json.loads(ran.out)["members"][0]["status"] == "dead"


def test_of_several_sidecars_the_one_that_sees_most_answers(
    machine: CommandLine, near: FakeAgent, run_dir: Path
) -> None:
    near.answers["/v1/peers"] = OFF
    with FakeAgent(run_dir, "other").serving() as other:
        other.answers["/v1/peers"] = peers("other", peer("a"))
        assert "as other sees it" in machine("peers").err
        assert "gossip is off on near" in machine("peers", "--from", "near").err
    stale_socket(run_dir, "gone")
    assert machine("peers", "--from", "gone").status == exits.UNREACHABLE


def test_nobody_on_this_machine_is_unreachable(machine: CommandLine) -> None:
    assert machine("peers").status == exits.UNREACHABLE


def test_the_matrix_says_who_sees_whom_as_what(
    machine: CommandLine, near: FakeAgent, run_dir: Path
) -> None:
    near.answers["/v1/peers"] = peers("near", peer("a"), peer("b"), peer("other"))
    with FakeAgent(run_dir, "other").serving() as other:
        other.answers["/v1/peers"] = peers("other", peer("a"), peer("b", "suspect"), peer("near"))
        ran = machine("peers", "--matrix")
    assert ran.status == exits.NO
    assert [line.split() for line in ran.out.splitlines()] == [
        ["NODE", "near", "other"],
        ["b", "alive", "suspect"],
        ["a", "alive", "alive"],
        ["near", "self", "alive"],
        ["other", "alive", "self"],
    ]
    assert ran.err == "b: not all see it alike\n"


def test_the_matrix_of_one_mind_is_0_and_names_who_cannot_be_asked(
    machine: CommandLine, near: FakeAgent, run_dir: Path
) -> None:
    near.answers["/v1/peers"] = peers("near", peer("a"))
    assert machine("peers", "--matrix").status == exits.OK
    assert json.loads(machine("peers", "--matrix", "-o", "json").out)["disputed"] == []
    stale_socket(run_dir, "gone")
    ran = machine("peers", "--matrix")
    assert ran.status == exits.NO
    assert "gone: " in ran.err
