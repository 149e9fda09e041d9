"""The demo's `meshd` commands: as a person would type them, with their status, and ended when nobody waits."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from meshd.demo import commands
from meshd.demo.commands import Output, run_meshd, shown

NOWHERE = "http://127.0.0.1:1"


def run(*arguments: str, run_dir: Path) -> Output:
    return asyncio.run(run_meshd(arguments, dict(os.environ), etcd=NOWHERE, run_dir=run_dir))


def test_a_word_with_a_space_is_quoted() -> None:
    assert shown(("trace", "-H", "cookie: a=b")) == "meshd trace -H 'cookie: a=b'"


def test_the_output_comes_with_the_status(tmp_path: Path) -> None:
    good = run("version", run_dir=tmp_path)
    assert good.status == 0
    assert good.text.strip()
    bad = run("ejections", run_dir=tmp_path)
    assert bad.status != 0
    assert str(tmp_path) in bad.text


def test_a_command_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "COMMAND_S", 0.0)
    with pytest.raises(TimeoutError):
        run("version", run_dir=tmp_path)
