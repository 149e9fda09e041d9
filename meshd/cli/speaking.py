"""Which sidecar of this machine speaks for the mesh: one that gossips, and sees the most members.

Where none does, it is said why: nobody should take this machine's sidecars for the whole mesh.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshd.cli.agents import TIMEOUT_S, Agent
from store.errors import MeshError, NotFoundError

__all__ = ["Speaker", "best_speaker", "find_speaker", "is_on", "why_silent"]

LATER_S = 0.1
"""How long answers of others are awaited once one sidecar speaks: a frozen one must not hold up the rest."""
_HERE = ("alive", "suspect")


@dataclass(frozen=True, slots=True)
class Speaker:
    """What was found."""

    agent: Agent | None
    """The sidecar that speaks; None when none does."""
    mesh: Mapping[str, Any] = field(default_factory=dict)
    """What it says: `/v1/mesh`; empty when none speaks."""
    why: str = ""
    """Why none does, in a sentence without full stop."""


def find_speaker(agents: Sequence[Agent], *, timeout_s: float = TIMEOUT_S) -> Speaker:
    """Ask all at once; do not wait long for the others once one speaks."""
    answers: queue.SimpleQueue[tuple[str, Mapping[str, Any] | MeshError]] = queue.SimpleQueue()

    def ask(agent: Agent) -> None:
        try:
            answers.put((agent.node, agent.page("mesh", timeout_s=timeout_s)))
        except MeshError as problem:
            answers.put((agent.node, problem))

    for agent in agents:
        threading.Thread(target=ask, args=(agent,), daemon=True).start()
    found: dict[str, Mapping[str, Any] | MeshError] = {}
    deadline_s = time.monotonic() + timeout_s + LATER_S
    while len(found) < len(agents):
        try:
            node, answer = answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            break
        found[node] = answer
        if not isinstance(answer, MeshError) and is_on(answer):
            deadline_s = min(deadline_s, time.monotonic() + LATER_S)
    return best_speaker(agents, found)


def best_speaker(
    agents: Sequence[Agent], answers: Mapping[str, Mapping[str, Any] | MeshError]
) -> Speaker:
    """The one that sees most members, of those that answered; by name where they see as many."""
    by_node = {agent.node: agent for agent in agents}
    speaking = {
        node: answer
        for node, answer in answers.items()
        if not isinstance(answer, MeshError) and is_on(answer)
    }
    if not speaking:
        return Speaker(None, why=why_silent(answers))
    node = min(speaking, key=lambda one: (-_members_here(speaking[one]), one))
    return Speaker(by_node[node], speaking[node])


def is_on(answer: Mapping[str, Any]) -> bool:
    """Whether the sidecar that gave this answer gossips."""
    gossip = answer.get("gossip")
    return isinstance(gossip, Mapping) and gossip.get("state") == "on"


def why_silent(answers: Mapping[str, Mapping[str, Any] | MeshError]) -> str:
    """Why none of these sidecars speaks for the mesh."""
    reasons = [f"{node}: {_reason(answer)}" for node, answer in answers.items()]
    shown = "; ".join(reasons[:3])
    more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return f"{shown}{more}" if reasons else "no sidecar answers"


def _reason(answer: Mapping[str, Any] | MeshError) -> str:
    if isinstance(answer, NotFoundError):
        return "its version cannot tell of the mesh"
    if isinstance(answer, MeshError):
        return answer.message
    gossip = answer.get("gossip")
    why = gossip.get("reason") if isinstance(gossip, Mapping) else ""
    return f"gossip is off there ({why})" if why else "gossip is off there"


def _members_here(answer: Mapping[str, Any]) -> int:
    return sum(1 for row in answer.get("members") or () if row.get("status") in _HERE)
