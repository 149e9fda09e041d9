from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from meshd.cli.agents import Agent, agent_named, ask_all, find_agents
from store.errors import (
    AgentUnavailable,
    ConflictError,
    InputError,
    MeshError,
    NotFoundError,
    PeerError,
    StoreUnavailable,
)
from tests.harness.fake_agent import FakeAgent, stale_socket


def test_sidecars_are_found_by_their_sockets(tmp_path: Path) -> None:
    stale_socket(tmp_path, "b")
    stale_socket(tmp_path, "a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "no-socket").mkdir()
    (tmp_path / "no-socket" / "status.sock").write_text("")
    assert [agent.node for agent in find_agents(tmp_path)] == ["a", "b"]
    assert find_agents(tmp_path / "absent") == ()


def test_a_run_directory_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AgentUnavailable, match="file"):
        find_agents(tmp_path / "file")


def test_an_unknown_node_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is none"):
        agent_named(tmp_path, "vm-1")
    stale_socket(tmp_path, "vm-2")
    with pytest.raises(NotFoundError, match="It has: vm-2"):
        agent_named(tmp_path, "vm-1")


def test_status_is_the_json_of_the_socket(tmp_path: Path) -> None:
    with FakeAgent(tmp_path, "vm-1").serving() as fake:
        assert Agent("vm-1", fake.path).status()["node"] == "vm-1"
        assert fake.asked == ["GET /v1/status"]


def test_a_stale_socket_is_called_so(tmp_path: Path) -> None:
    agent = Agent("vm-1", stale_socket(tmp_path, "vm-1"))
    with pytest.raises(AgentUnavailable, match="left by a sidecar that is gone") as caught:
        agent.status()
    assert str(tmp_path / "vm-1") in caught.value.hint


def test_a_silent_sidecar_is_given_up_after_the_deadline(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(AgentUnavailable, match=r"no answer within 0\.05 s"):
            Agent("vm-1", path).status(timeout_s=0.05)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InputError),
        (404, NotFoundError),
        (409, ConflictError),
        (503, StoreUnavailable),
        (500, PeerError),
    ],
)
def test_refusals_become_errors_with_the_sidecars_words(
    tmp_path: Path, status: int, error: type[MeshError]
) -> None:
    fake = FakeAgent(tmp_path, "vm-1")
    fake.answers["/v1/status"] = (status, {"error": "no such thing", "hint": "Ask otherwise"})
    with fake.serving(), pytest.raises(error, match="vm-1: no such thing") as caught:
        Agent("vm-1", fake.path).status()
    assert type(caught.value) is error
    assert caught.value.hint == "Ask otherwise"


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b""])
def test_what_is_no_json_object_is_a_peer_error(tmp_path: Path, body: bytes) -> None:
    fake = FakeAgent(tmp_path, "vm-1")
    fake.answers["/v1/status"] = (200, body)
    with fake.serving(), pytest.raises(PeerError, match="JSON"):
        Agent("vm-1", fake.path).status()


def test_all_are_asked_and_one_error_hides_no_answer(tmp_path: Path) -> None:
    stale_socket(tmp_path, "gone")
    with FakeAgent(tmp_path, "vm-1").serving():
        answers = ask_all(find_agents(tmp_path), lambda agent: agent.status())
    assert isinstance(answers["gone"], AgentUnavailable)
    told: Any = answers["vm-1"]
    assert told["node"] == "vm-1"


def test_in_force_passes_revision_and_deadline_on(tmp_path: Path) -> None:
    fake = FakeAgent(tmp_path, "vm-1")
    fake.answers["/v1/in-force"] = (408, {"config": {}})
    with fake.serving():
        assert Agent("vm-1", fake.path).in_force(7, 1.5).status == 408
    assert fake.asked == ["GET /v1/in-force?revision=7&timeout_s=1.5"]
