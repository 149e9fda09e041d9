"""How Envoy is started: which options an epoch has, when a running one is another than the next would be."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.agent.envoy_program import GENERATION, EnvoyLaunch, spawn
from sidecar.agent.envoy_record import EnvoyRecord, start_ticks
from store.errors import InputError
from tests.harness.processes import wait_until


def launch_in(folder: Path, script: str = "exec sleep 60\n", **fields: object) -> EnvoyLaunch:
    """A program that is not Envoy."""
    program = folder / "program"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    made = EnvoyLaunch(program, folder, folder / "log", "{}", folder / "admin.sock")
    return replace(made, **fields)  # type: ignore[arg-type]


def test_without_hot_restart_it_is_off(tmp_path: Path) -> None:
    command = launch_in(tmp_path).command()
    assert "--disable-hot-restart" in command
    assert "--restart-epoch" not in command


def test_the_next_epoch_meets_the_one_before_and_says_which_it_is(tmp_path: Path) -> None:
    launch = launch_in(tmp_path, hand_over_s=60)
    first, next_ = launch.command(), launch.command(3)
    base = first[first.index("--base-id") + 1]
    assert next_[next_.index("--base-id") + 1] == base
    assert 0 <= int(base) * 10 < 1 << 32
    assert next_[next_.index("--restart-epoch") + 1] == "3"
    assert next_[next_.index("--parent-shutdown-time-s") + 1] == "60"
    assert "--config-yaml" not in first
    node = json.loads(next_[next_.index("--config-yaml") + 1])["node"]
    assert node == {"metadata": {GENERATION: 3}}
    other = tmp_path / "other"
    other.mkdir()
    assert base not in launch_in(other, hand_over_s=60).command()


def test_another_program_at_the_same_path_is_another_envoy(tmp_path: Path) -> None:
    launch = launch_in(tmp_path)
    before = launch.digest()
    assert launch_in(tmp_path, concurrency=2).digest() != before
    launch.binary.write_text("#!/bin/sh\nexec sleep 600\n")
    assert launch.digest() != before
    launch.binary.unlink()
    assert launch.digest() != before


@pytest.mark.parametrize("hand_over_s", [None, 60])
def test_it_runs_in_a_session_of_its_own_and_its_words_go_to_the_log(
    tmp_path: Path, hand_over_s: int | None
) -> None:
    launch = launch_in(tmp_path, "echo one; echo two >&2; exec sleep 60\n", hand_over_s=hand_over_s)
    pid = spawn(launch)
    try:
        wait_until(lambda: launch.log_file.read_text() == "one\ntwo\n", 20, "its words")
        assert os.getsid(pid) != os.getsid(0)
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        assert (int(stat[1]) == os.getpid()) == (hand_over_s is None)
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        # A program that starts has its libraries open for a moment; what the shells spoke over would stay.
        wait_until(lambda: "3" not in os.listdir(f"/proc/{pid}/fd"), 20, "the third to be closed")
    finally:
        os.kill(pid, signal.SIGKILL)
        if hand_over_s is None:
            os.waitpid(pid, 0)


@pytest.mark.parametrize("hand_over_s", [None, 60])
def test_one_that_cannot_be_started_is_an_error(tmp_path: Path, hand_over_s: int | None) -> None:
    launch = launch_in(tmp_path, hand_over_s=hand_over_s)
    launch.binary.chmod(0o644)
    with pytest.raises(InputError, match="cannot start Envoy"):
        spawn(launch)


def test_of_two_that_change_over_the_newer_counts_while_it_lives(tmp_path: Path) -> None:
    file, own = tmp_path / "envoy.pid", os.getpid()
    before = EnvoyRecord(own, start_ticks(own) or 0, "a", 0)
    gone = EnvoyRecord(own, 1, "b", 1, before)
    gone.write(file)
    assert EnvoyRecord.read(file) == gone
    assert EnvoyRecord.running(file) == before
    newer = replace(before, epoch=1, before=before)
    newer.write(file)
    assert EnvoyRecord.running(file) == newer
    file.write_text('{"pid": 1, "started": 1, "settings": "old", "before": {"pid": 2}}')
    assert EnvoyRecord.running(file) is None
