"""`./dev chaos`: what it says, and one fault on real processes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from chaos import __main__ as command
from chaos import history as records
from chaos.faults import Fault
from chaos.netns import PREFIX, ChaosError, clean, cut, cut_one_way, leftovers, lose
from chaos.report import page
from chaos.rig import Rig
from chaos.running import only_of_the_rig
from chaos.scenarios import CI, PLANS, alone, mixture, named
from chaos.table import BEGIN, END, table, written
from chaos.verdict import judge
from tests.chaos.histories import look, register_history, request, spell
from tests.harness.processes import wait_until

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None or shutil.which("ip") is None,
    reason="needs root, iproute2 and nftables: test hosts are network namespaces",
)


def test_every_fault_is_named_with_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    told = capsys.readouterr().out
    for name, plan in PLANS.items():
        assert name in told
        assert plan.title in told


def test_without_root_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert command.main(["isolate-etcd"]) == 2
    assert "needs root" in capsys.readouterr().err


@needs_root
def test_an_unknown_fault_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["no-such-thing"]) == 2
    assert "no fault 'no-such-thing'" in capsys.readouterr().err


def test_a_seed_draws_the_same_mixture_again() -> None:
    assert mixture(7) == mixture(7)
    assert len({mixture(seed).title for seed in range(20)}) > 10
    for seed in range(50):
        assert not any(plan.is_lone for step in mixture(seed).steps for plan in step)
    assert set(CI) <= set(PLANS)
    assert named("mixture-7") == mixture(7)
    assert named("split-two") == alone("split-two")
    assert alone("split-two").steps == ((PLANS["split-two"],),)


def test_failures_of_the_rig_are_told_as_one_and_bugs_as_they_are() -> None:
    nested = BaseExceptionGroup(
        "", [ChaosError("no etcd"), BaseExceptionGroup("", [ChaosError("no h1")])]
    )
    found = only_of_the_rig(nested)
    assert isinstance(found, ChaosError)
    assert str(found) == "no etcd; no h1"
    mixed = BaseExceptionGroup("", [ChaosError("no etcd"), ValueError("a bug")])
    assert only_of_the_rig(mixed) is mixed


class _Known:
    """A rig that is not there: names and addresses only."""

    hosts: dict[str, None]

    def __init__(self) -> None:
        self.hosts = dict.fromkeys(("h1", "h2", "h3"))
        self.network = self

    def addresses(self, names: list[str]) -> list[str]:
        return [f"10.0.0.{name[1:]}" for name in names]

    def address(self, name: str) -> str:
        return self.addresses([name])[0]


NETWORKED = ("split-two", "isolate-all", "one-way", "poisoned-observer", "flapping", "loss-10")


@pytest.mark.parametrize("name", NETWORKED)
def test_victims_are_the_seeds_choice(name: str) -> None:
    rig = cast(Rig, _Known())
    made = [PLANS[name].make(rig, random.Random(5)) for _ in range(2)]
    assert all(isinstance(one, Fault) for one in made)
    assert made[0].hosts == made[1].hosts


def test_cuts_are_rules_in_one_direction_or_both() -> None:
    assert cut_one_way(["1.1.1.1"], ["2.2.2.2", "3.3.3.3"]) == [
        "ip saddr { 1.1.1.1 } ip daddr { 2.2.2.2, 3.3.3.3 } drop"
    ]
    assert len(cut(["1.1.1.1"], ["2.2.2.2"])) == 2
    assert lose(30) == ["meta protocol ip numgen random mod 100 < 30 drop"]


def test_the_report_shows_faults_failures_and_violations() -> None:
    history = register_history(1)
    history.requests = [request(1), request(2, 503, reason="NC")]
    history.looks = [look(1, "h1", 2), look(3, "h1", 3)]
    history.faults = [spell("split-two", 1, 2)]
    history.healed_s, history.ended_s = 2.0, 9.0
    text = page(alone("split-two"), 4, judge(history), history)
    for part in ("split-two, seed 4", "<svg", "no_cluster", "h1: revision", "healed"):
        assert part in text
    assert "http" not in text.replace("<!doctype html>", "").replace("xmlns", "")


def test_the_table_says_what_each_invariant_was_held_against(tmp_path: Path) -> None:
    history = register_history(1)
    history.requests = [request(1), request(2, 503, reason="NC")]
    history.looks = [look(1, "h1", 2, listed={"web": 4}, usable={"web": 3})]
    for name in ("split-two-1", "mixture-1000-1", "isolate-all-1"):
        records.store(history, tmp_path / name / "records")
    (tmp_path / "other").mkdir()
    lines = table(tmp_path).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [
        "split-two",
        "isolate-all",
        "mixture-1000",
    ]
    assert "| **1 violations**; 1 of 2 |" in lines[2]
    assert "| 1 of 4 |" in lines[2]
    page = written(f"a\n{BEGIN}old\n{END}b\n", "new\n")
    assert page == f"a\n{BEGIN}\nnew\n\n{END}b\n"
    with pytest.raises(ValueError, match="no lines"):
        written("a\n", "new\n")


@pytest.mark.root
@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_root
def test_nothing_is_violated_by_one_fault_of_each_sort_and_a_mixture(tmp_path: Path) -> None:
    words = ["--ci", "--hosts", "3", "--rate", "8", "--jobs", "2", "--out", str(tmp_path)]
    command_line = [sys.executable, "-m", "chaos", *words]
    done = subprocess.run(command_line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(CI) + 1} green, 0 red"
    for name in (*CI, "mixture-1000"):
        run = tmp_path / f"{name}-1"
        figures = json.loads((run / "verdict.json").read_text("utf-8"))["figures"]
        assert figures["requests"] > 100, name
        assert (run / "report.html").exists()


@pytest.mark.root
@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(200)
@needs_root
@pytest.mark.parametrize(
    ("number", "when"),
    [
        (signal.SIGTERM, "it comes up"),
        (signal.SIGTERM, "it runs"),
        (signal.SIGINT, "it runs"),
        (signal.SIGKILL, "it runs"),
    ],
)
def test_a_run_that_is_ended_leaves_nothing_or_what_can_be_cleaned(
    number: signal.Signals, when: str, tmp_path: Path
) -> None:
    words = ["isolate-etcd", "--hosts", "3", "--out", str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-m", "chaos", *words], stderr=subprocess.PIPE)
    name = f"{process.pid:x}-"
    wait_until(lambda: _sidecars(name) == 3, 60, "the sidecars of three hosts")
    if when == "it runs":
        wait_until(lambda: _asked(name), 60, "a request")
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    if number is signal.SIGKILL:
        assert any("process" in thing for thing in clean(name))
    else:
        assert process.returncode == 130
        assert told == b"interrupted\n"
    assert leftovers(name) == []


def _asked(name: str) -> bool:
    return any(file.stat().st_size for file in Path("/tmp").glob(f"{PREFIX}{name}*/requests-*"))


def _sidecars(name: str) -> int:
    """How many sidecars run, `ip netns exec` not counted, which becomes one."""
    found = 0
    for thing in leftovers(name):
        kind, pid, *_ = thing.split()
        if kind == "process":
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                found += b"sidecar.agent.main" in words and b"netns" not in words
    return found
