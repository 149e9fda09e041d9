"""Processes of the demo end, whatever they do about it, and Envoys that were left are found; others are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshd.demo import processes
from meshd.demo.processes import Processes, clean_environment
from store.errors import MeshError
from tests.harness.processes import wait_until

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def started(directory: Path, **commands: list[str]) -> Processes:
    made = Processes(directory, dict(os.environ))
    for name, command in commands.items():
        made.start(name, command)
    for name in commands:
        wait_until(made.log_file(name).read_bytes, 10, f"{name} to be up")
    return made


def test_a_process_that_ignores_the_request_to_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "TERM_S", 0.2)
    made = started(tmp_path, polite=SLEEP, deaf=DEAF)
    pids = [process.pid for process in made.running.values()]
    made.stop(list(made.running))
    assert all(is_gone(pid) for pid in pids)
    assert made.running == {}


def test_a_process_that_ended_by_itself_is_reported_with_its_last_words(tmp_path: Path) -> None:
    made = Processes(tmp_path, dict(os.environ))
    made.start("unlucky", [sys.executable, "-c", "import sys; sys.exit('the port is taken')"])
    made.running["unlucky"].wait(10)
    with pytest.raises(MeshError, match="unlucky ended with status 1:\nthe port is taken"):
        made.check()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="ghost: /nowhere/ghost cannot be started"):
        Processes(tmp_path, {}).start("ghost", ["/nowhere/ghost"])


def test_the_sweep_ends_envoys_of_this_demo_and_nobody_else(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    code = "import time; time.sleep(600)"
    envoy = subprocess.Popen(
        [sys.executable, "-c", code, "--config-path", f"{mine}/run/vm-1/envoy.json"]
    )
    foreign = subprocess.Popen(
        [sys.executable, "-c", code, "--config-path", f"{other}/run/vm-1/envoy.json"]
    )
    reader = subprocess.Popen([sys.executable, "-c", code, f"{mine}/log/etcd.log"])
    try:
        assert Processes(mine, {}).sweep() == [envoy.pid]
        assert envoy.wait(10) == -9
        assert foreign.poll() is None
        assert reader.poll() is None
    finally:
        for process in (envoy, foreign, reader):
            process.kill()
            process.wait(10)


def test_nothing_of_the_users_own_mesh_reaches_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHD_ETCD", "http://production:2379")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("KEPT", "yes")
    cleaned = clean_environment()
    assert cleaned["KEPT"] == "yes"
    assert not {"MESHD_ETCD", "https_proxy"} & set(cleaned)
