"""Files in a run directory."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.agent.run_files import hold_lock, write_atomically
from store.errors import InputError

HOLDER = (
    "import sys, time, pathlib\n"
    "from sidecar.agent.run_files import hold_lock\n"
    "with hold_lock(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(600)\n"
)


def test_a_file_is_replaced_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap.json"
    path.write_text("old and longer")
    path.chmod(0o644)
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_has_one_holder_who_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with (
        hold_lock(path),
        pytest.raises(InputError, match=f"process {os.getpid()}"),
        hold_lock(path),
    ):
        raise AssertionError("it was held twice")
    with hold_lock(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {holder.pid}"), hold_lock(path):
            raise AssertionError("it was held twice")
        holder.send_signal(signal.SIGKILL)
    with hold_lock(path):
        pass
