from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meshd.cli.completing import complete_names, complete_nodes
from meshd.cli.main import program
from tests.harness.fake_agent import stale_socket

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
