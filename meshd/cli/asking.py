"""Which sidecars of this machine a verb asks about the mesh, and whose answer is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshd.cli.agents import Agent, agent_named, ask_all, find_agents
from meshd.cli.session import Session
from meshd.cli.speaking import best_speaker, find_speaker
from store.errors import AgentUnavailable, ConflictError, MeshError

__all__ = ["agents_of", "ask_one", "speaking_agent"]


def agents_of(session: Session, node: str | None) -> tuple[Agent, ...]:
    """The sidecar called `node`, or all of this machine.

    Raises:
        NotFoundError: There is none of that name.
        AgentUnavailable: There is none at all.
    """
    if node:
        return (agent_named(session.run_dir, node),)
    agents = find_agents(session.run_dir)
    if not agents:
        raise AgentUnavailable(
            f"no sidecar on this machine: {session.run_dir} has none",
            hint="Start one with `meshd-sidecar run`, or name their directory with --run-dir",
        )
    return agents


def ask_one(session: Session, agents: Sequence[Agent], page: str) -> Mapping[str, Any]:
    """A page of the sidecar that gossips and sees the most members; where none gossips, of the first that answers.

    Raises:
        MeshError: None answers; the first one's reason.
    """
    answers: dict[str, Any] = ask_all(
        agents, lambda agent: agent.page(page, timeout_s=session.timeout_s)
    )
    found = best_speaker(agents, answers)
    if found.agent is not None:
        return found.mesh
    answered = [answer for answer in answers.values() if not isinstance(answer, MeshError)]
    if answered:
        first: Mapping[str, Any] = answered[0]
        return first
    problem = next(iter(answers.values()))
    assert isinstance(problem, MeshError), "none of them answered"
    raise problem


def speaking_agent(session: Session, agents: Sequence[Agent]) -> Agent:
    """The sidecar that gossips and sees the most members: what is told through it reaches the mesh.

    Raises:
        ConflictError: None gossips.
    """
    found = find_speaker(agents, timeout_s=session.timeout_s)
    if found.agent is None:
        raise ConflictError(
            f"nobody here can tell the mesh: {found.why}",
            hint="`meshd peers` says more; gossip needs a key: `meshd keyring generate`",
        )
    return found.agent
