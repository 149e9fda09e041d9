"""Who speaks for the mesh: the one that gossips and sees most; a silent one holds nobody up."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from meshd.cli.agents import find_agents
from meshd.cli.speaking import find_speaker, why_silent
from store.errors import AgentUnavailable, NotFoundError
from tests.harness.fake_agent import FakeAgent, mesh_answer, stale_socket

OFF = (200, {"gossip": {"state": "off", "reason": "there is no key"}})


def test_the_one_that_sees_most_members_speaks(run_dir: Path) -> None:
    few, many, off = (FakeAgent(run_dir, name) for name in ("few", "many", "off"))
    few.answers["/v1/mesh"] = (200, mesh_answer("few", "a"))
    many.answers["/v1/mesh"] = (200, mesh_answer("many", "a", "b"))
    off.answers["/v1/mesh"] = OFF
    with few.serving(), many.serving(), off.serving():
        found = find_speaker(find_agents(run_dir))
    assert found.agent is not None
    assert found.agent.node == "many"
    assert len(found.mesh["members"]) == 3
    assert found.why == ""


def test_one_that_is_frozen_does_not_hold_up_the_others(run_dir: Path) -> None:
    frozen, quick = FakeAgent(run_dir, "a-frozen"), FakeAgent(run_dir, "quick")
    thawed = threading.Event()

    def wait(_: str) -> tuple[int, dict[str, Any]]:
        thawed.wait(30)
        return 200, mesh_answer("a-frozen", "a", "b", "c")

    frozen.answers["/v1/mesh"] = wait
    quick.answers["/v1/mesh"] = (200, mesh_answer("quick"))
    with frozen.serving(), quick.serving():
        began_s = time.monotonic()
        found = find_speaker(find_agents(run_dir), timeout_s=20.0)
        took_s = time.monotonic() - began_s
        thawed.set()
    assert found.agent is not None
    assert found.agent.node == "quick"
    assert took_s < 10.0


def test_where_none_speaks_each_says_why(run_dir: Path) -> None:
    off = FakeAgent(run_dir, "off")
    off.answers["/v1/mesh"] = OFF
    stale_socket(run_dir, "gone")
    with off.serving():
        found = find_speaker(find_agents(run_dir))
    assert found.agent is None
    assert "off: gossip is off there (there is no key)" in found.why
    assert "gone: " in found.why


def test_many_reasons_are_cut() -> None:
    answers: dict[str, Any] = {f"n{number}": NotFoundError("x") for number in range(6)}
    told = why_silent({**answers, "n0": AgentUnavailable("nobody listens")})
    assert told.startswith("n0: nobody listens; n1: its version cannot tell of the mesh")
    assert told.endswith("; and 3 more")
    assert why_silent({}) == "no sidecar answers"
