"""Verbs that ask sidecars, against fake ones; what needs a store is in tests/e2e."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd.cli import exits
from tests.harness.command_line import CommandLine
from tests.harness.fake_agent import FakeAgent, healthy_status, stale_socket

TRACE: dict[str, Any] = {
    "request": {
        "method": "GET",
        "scheme": "http",
        "authority": "reviews",
        "path": "/x",
        "headers": [],
    },
    "listener": "outbound",
    "outcome": "answer",
    "status": 503,
    "answer": "down for maintenance",
}
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def meshd(tmp_path: Path, run_dir: Path) -> CommandLine:
    environment = {"MESHD_RUN_DIR": str(run_dir), "MESHD_ETCD": NOWHERE}
    return CommandLine(tmp_path, environment)


@pytest.fixture
def fake(run_dir: Path) -> Iterator[FakeAgent]:
    with FakeAgent(run_dir, "vm-1").serving() as agent:
        yield agent


def test_status_of_a_healthy_machine_is_a_table_and_0(meshd: CommandLine, fake: FakeAgent) -> None:
    ran = meshd("status")
    assert ran.status == exits.OK
    assert [line.split()[0] for line in ran.out.splitlines()] == ["NODE", "vm-1"]
    assert "1h 2m" in meshd("status", "vm-1", "-o", "wide").out


def test_status_is_worst_first_with_reasons_and_1(
    meshd: CommandLine, fake: FakeAgent, run_dir: Path
) -> None:
    stale_socket(run_dir, "vm-2")
    ran = meshd("status", "--no-headers")
    assert ran.status == exits.NO
    lines = ran.out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [
        ["vm-2", "unreachable"],
        ["vm-1", "in-force"],
    ]
    assert "left by a sidecar that is gone" in ran.out


def test_status_as_json_says_the_same_with_the_same_exit_status(
    meshd: CommandLine, fake: FakeAgent, run_dir: Path
) -> None:
    assert json.loads(meshd("status", "-o", "json").out)[0]["well"] is True
    stale_socket(run_dir, "vm-2")
    ran = meshd("status", "-o", "json")
    assert [row["well"] for row in json.loads(ran.out)] == [False, True]
    assert ran.status == exits.NO


def test_without_a_sidecar_status_and_trace_say_where_they_looked(meshd: CommandLine) -> None:
    for words in (["status"], ["trace", "http://a"], ["epoch", "accept"]):
        ran = meshd(*words)
        assert ran.status == exits.UNREACHABLE
        assert "DIR/run has none" in ran.err.replace(str(meshd.directory), "DIR")


def test_status_of_an_unknown_node_is_not_found(meshd: CommandLine, fake: FakeAgent) -> None:
    ran = meshd("status", "vm-9")
    assert ran.status == 4
    assert "It has: vm-1" in ran.err


def test_trace_asks_the_sidecar_and_shows_its_answer(meshd: CommandLine, fake: FakeAgent) -> None:
    fake.answers["/v1/trace"] = (200, TRACE)
    words = ("--from", "vm-1", "get", "reviews:9080/x", "-H", "cookie: user=jason")
    ran = meshd("trace", *words, "--context", "web")
    assert ran.status == exits.OK
    assert fake.asked == [
        "GET /v1/trace?method=GET&url=http%3A%2F%2Freviews%3A9080%2Fx"
        "&header=cookie%3A+user%3Djason&context=web"
    ]
    assert "answers 503" in ran.out


def test_trace_of_a_request_without_route_is_1(meshd: CommandLine, fake: FakeAgent) -> None:
    fake.answers["/v1/trace"] = (200, {**TRACE, "outcome": "no_route"})
    ran = meshd("trace", "http://reviews/x", "-o", "json")
    assert ran.status == exits.NO
    assert json.loads(ran.out)["outcome"] == "no_route"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "which request"),
        (["GET", "http://a", "b"], "which request"),
        (["G/T", "http://a"], "not a method"),
        (["http://a", "-H", "cookie"], "NAME: VALUE"),
        (["http://a", "-l", "a=b"], "--offline"),
        (["http://a", "--gateway-port", "0"], "--gateway-port"),
    ],
)
def test_a_trace_that_cannot_be_meant_is_a_usage_error(
    meshd: CommandLine, fake: FakeAgent, words: list[str], text: str
) -> None:
    ran = meshd("trace", *words)
    assert ran.status == exits.USAGE
    assert text in ran.err


def test_trace_must_say_from_where_when_there_are_several(
    meshd: CommandLine, fake: FakeAgent, run_dir: Path
) -> None:
    stale_socket(run_dir, "vm-2")
    ran = meshd("trace", "http://reviews/")
    assert ran.status == exits.USAGE
    assert "--from one of: vm-1, vm-2" in ran.err


def test_trace_answered_by_something_else_is_a_peer_error(
    meshd: CommandLine, fake: FakeAgent
) -> None:
    fake.answers["/v1/trace"] = (200, {"hello": 1})
    ran = meshd("trace", "http://reviews/")
    assert ran.status == exits.UNREACHABLE
    assert "no trace" in ran.err


def test_epoch_accept_tells_each_sidecar(meshd: CommandLine, fake: FakeAgent) -> None:
    fake.answers["/v1/epoch/accept"] = (200, {"accepted": "ab"})
    ran = meshd("epoch", "accept")
    assert (ran.status, ran.out) == (exits.OK, "vm-1: accepted\n")
    assert fake.asked == ["POST /v1/epoch/accept"]


def test_epoch_accept_where_nothing_is_held_is_a_conflict_only_for_a_named_node(
    meshd: CommandLine, fake: FakeAgent
) -> None:
    fake.answers["/v1/epoch/accept"] = (409, {"error": "no other epoch is held"})
    assert meshd("epoch", "accept").out == "vm-1: holds nothing off\n"
    ran = meshd("epoch", "accept", "vm-1")
    assert ran.status == 5
    assert "no other epoch is held" in ran.err


def test_version_asks_everybody_and_fails_for_nobody(
    meshd: CommandLine, fake: FakeAgent, run_dir: Path
) -> None:
    fake.answers["/v1/status"] = (200, {**healthy_status("vm-1"), "version": "0.0.9"})
    stale_socket(run_dir, "vm-2")
    ran = meshd("version")
    assert ran.status == exits.OK
    assert "sidecar    0.0.9  vm-1  (Envoy 1.40.0)" in ran.out
    assert "sidecar    vm-2: " in ran.out
    assert "warning: vm-1 runs 0.0.9" in ran.err
    document = json.loads(meshd("version", "-o", "json").out)
    assert document["sidecars"]["vm-1"] == {"version": "0.0.9", "envoy": "1.40.0"}
    assert document["etcd"][0]["endpoint"] == NOWHERE
    assert "error" in document["etcd"][0]


def test_check_without_a_store_still_looks_at_the_sidecars(
    meshd: CommandLine, fake: FakeAgent
) -> None:
    ran = meshd("check", "-o", "json", "--request-timeout", "0.5")
    assert ran.status == exits.NO
    outcomes = {(row["group"], row["outcome"]) for row in json.loads(ran.out)["checks"]}
    assert outcomes == {("store", "failed"), ("sidecars", "ok")}


def test_an_unreachable_store_is_6_and_says_what_to_do(meshd: CommandLine, tmp_path: Path) -> None:
    meshd.file(
        "a.yaml", "apiVersion: meshd.io/v1\nkind: MeshConfig\nmetadata: {name: mesh}\nspec: {}\n"
    )
    for words in (["get", "vs"], ["put", "-f", "a.yaml"], ["history"], ["diff", "-f", "a.yaml"]):
        ran = meshd(*words, "--request-timeout", "0.5")
        assert ran.status == exits.UNREACHABLE, words
        assert NOWHERE in ran.err
        assert "--etcd or MESHD_ETCD" in ran.err


def test_wrong_settings_of_the_store_are_all_named(meshd: CommandLine) -> None:
    ran = meshd("get", "vs", "--etcd", "10.0.0.1:2379", "--ca", "/no/such.pem")
    assert ran.status == exits.INVALID
    assert "http://10.0.0.1:2379" in ran.err
    assert "/no/such.pem" in ran.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_meshd(meshd: CommandLine, shell: str) -> None:
    ran = meshd("completion", shell)
    assert ran.status == exits.OK
    assert "_MESHD_COMPLETE" in ran.out


def test_profiles_are_shown_and_chosen(meshd: CommandLine) -> None:
    assert "no profile" in meshd("config", "show").err
    meshd.file(".config/meshd/config.toml", '[profile.lab]\nendpoints = "http://a:1"\n')
    assert meshd("config", "use", "lab").status == exits.OK
    assert meshd("config", "show").out.splitlines()[1].split() == ["*", "lab", "http://a:1", "-"]
    assert json.loads(meshd("config", "show", "-o", "json").out)["use"] == "lab"
    assert meshd("config", "use", "prod").status == 4


def test_epoch_show_is_0_where_all_follow_one_etcd_and_1_where_not(
    meshd: CommandLine, fake: FakeAgent
) -> None:
    rows = [
        {"node": f"vm-{n}", "status": "alive", "cluster": "c1", "received": n, "sync": "store"}
        for n in (1, 2)
    ]
    mesh = {"node": "vm-1", "gossip": {"state": "on", "reason": ""}, "members": rows}
    fake.answers["/v1/mesh"] = (200, mesh)
    ran = meshd("epoch", "show")
    assert ran.status == 0, ran.text()
    assert [line.split() for line in ran.out.splitlines()] == [
        ["ETCD", "HOSTS", "NEWEST", "HELD", "OFF", "BY"],
        ["c1", "2", "2", "-"],
    ]
    rows[1] |= {"cluster": "c2", "sync": "held"}
    ran = meshd("epoch", "show", "-o", "json")
    assert ran.status == 1
    assert [etcd["holding"] for etcd in json.loads(ran.out)["etcds"]] == [[], ["vm-2"]]
