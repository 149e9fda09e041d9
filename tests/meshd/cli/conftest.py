"""A machine with fake sidecars, and `meshd` on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.command_line import CommandLine
from tests.harness.fake_agent import FakeAgent


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Where its sidecars have their sockets."""
    return tmp_path / "run"


@pytest.fixture
def machine(tmp_path: Path, run_dir: Path) -> CommandLine:
    """`meshd`, with a store that nobody answers for."""
    environment = {"MESHD_RUN_DIR": str(run_dir), "MESHD_ETCD": "http://127.0.0.1:1"}
    return CommandLine(tmp_path, environment)


@pytest.fixture
def near(run_dir: Path) -> Iterator[FakeAgent]:
    """The one sidecar of this machine."""
    with FakeAgent(run_dir, "near").serving() as agent:
        yield agent
