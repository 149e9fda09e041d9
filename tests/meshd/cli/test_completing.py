from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meshd.cli.completing import (
    complete_destinations,
    complete_endpoints,
    complete_members,
    complete_names,
    complete_nodes,
)
from meshd.cli.main import program
from tests.harness.fake_agent import FakeAgent, mesh_answer, stale_socket

TOP = Path(__file__).parents[3]
NOWHERE = "http://127.0.0.1:1"


def _complete(line: str, tmp_path: Path, **environment: str) -> list[str]:
    """What bash would be offered for the last word of `line`."""
    words = line.split(" ")
    told = {
        "HOME": str(tmp_path),
        "_MESHD_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "MESHD_ETCD": NOWHERE,
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-m", "meshd.cli.main"],
        cwd=TOP,
        env=told,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]


@pytest.mark.slow
def test_verbs_kinds_and_options_are_completed_without_a_store(tmp_path: Path) -> None:
    assert _complete("meshd ed", tmp_path) == ["edit"]
    assert "virtualservices" in _complete("meshd get v", tmp_path)
    assert _complete("meshd get vs rev", tmp_path) == []
    assert _complete("meshd put --dry", tmp_path) == ["--dry-run"]


def test_nodes_are_those_of_the_run_directory(tmp_path: Path) -> None:
    stale_socket(tmp_path, "vm-1")
    stale_socket(tmp_path, "web")
    context = program.make_context("meshd", ["--run-dir", str(tmp_path), "status"], obj={})
    assert complete_nodes(context, program.params[0], "v") == ["vm-1"]
    broken = program.make_context("meshd", ["--run-dir", __file__, "status"], obj={})
    assert complete_nodes(broken, program.params[0], "v") == []


def test_settings_that_are_wrong_complete_nothing(tmp_path: Path) -> None:
    context = program.make_context("meshd", ["--etcd", "nonsense", "-n", "a b", "get"], obj={})
    assert complete_names(context, program.params[0], "vs/a") == []
    assert complete_names(context, program.params[0], "nothing/a") == []
    assert complete_names(context, program.params[0], "mesh/") == ["mesh/mesh"]


def test_hosts_of_the_mesh_are_completed_from_one_that_gossips(
    near: FakeAgent, run_dir: Path
) -> None:
    context = program.make_context("meshd", ["--run-dir", str(run_dir), "status"], obj={})
    assert complete_members(context, program.params[0], "") == ["near"]
    near.answers["/v1/mesh"] = (200, mesh_answer("near", "far", "other"))
    assert complete_members(context, program.params[0], "") == ["far", "near", "other"]
    assert complete_members(context, program.params[0], "f") == ["far"]


def test_endpoints_that_are_accused_are_completed(near: FakeAgent, run_dir: Path) -> None:
    rows = [
        {"destination": "reviews.a:80", "endpoint": "10.0.0.1:80"},
        {"destination": "reviews.a:80", "endpoint": "10.0.0.2:80"},
        {"destination": "ratings.a:80", "endpoint": "10.0.0.3:80"},
    ]
    on = {"state": "on", "reason": ""}
    near.answers["/v1/ejections"] = (200, {"gossip": on, "state": "on", "endpoints": rows})
    context = program.make_context("meshd", ["--run-dir", str(run_dir), "status"], obj={})
    assert complete_destinations(context, program.params[0], "re") == ["reviews.a:80"]
    context.params["destination"] = "reviews.a:80"
    assert complete_endpoints(context, program.params[0], "10.0.0.2") == ["10.0.0.2:80"]
    near.answers["/v1/ejections"] = (500, {"error": "a bug"})
    assert complete_destinations(context, program.params[0], "") == []
