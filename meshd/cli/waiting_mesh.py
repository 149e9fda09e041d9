"""The part of `--wait` that is for other hosts: asked of one sidecar that gossips, told as it goes on."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from meshd.cli.agents import Agent
from meshd.cli.session import Session
from meshd.cli.speaking import find_speaker
from meshd.cli.troubles import duration
from store.errors import AgentUnavailable, MeshError

__all__ = ["MeshWait", "Remote", "remotes"]

SLICE_S = 0.5
"""How long one question waits where somebody watches the progress."""
SLICE_S_MAX = 300.0
"""How long one question waits at most, where nobody does: what a sidecar takes."""
SPEAKER_S = 2.0
"""How long it may take to find a sidecar that speaks for the mesh."""
_HTTP_OK = 200

_LAGS = {
    "behind": "has not received it",
    "applying": "its Envoy does not have all of it yet",
    "held": "holds off the etcd that was written to; `meshd epoch accept` there",
    "other-store": "follows another etcd",
    "ahead": "claims revisions that etcd has not told this host",
    "differs": "has another content at its revision",
    "uncertain": "may not have noticed that etcd was replaced",
    "silent": "nothing was heard of its configuration",
}


class Remote(NamedTuple):
    """What is said of one host."""

    node: str
    text: str
    is_good: bool
    is_remarkable: bool = False
    """Whether it is to be shown though all is well."""


class MeshWait:
    """Asks until all is well or the time is over; `run` is for a thread of its own.

    Args:
        session: Its console shows the progress.
        agents: Sidecars of this machine.
        revision: What is waited for.
        known: What else is known of it, as `Agent.in_force` takes it.
        timeout_s: When to give up.
    """

    def __init__(
        self,
        session: Session,
        agents: Sequence[Agent],
        revision: int,
        known: Mapping[str, str],
        timeout_s: float,
    ) -> None:
        self._console = session.console
        self._agents = list(agents)
        self._revision, self._known = revision, known
        self._deadline_s = time.monotonic() + timeout_s
        self.document: Mapping[str, Any] = {}
        """The newest answer; empty when there was none."""
        self.why = ""
        """Why nobody speaks for the mesh; empty when somebody did."""
        self.error = ""
        """Why the rest of the mesh is not known although somebody spoke for it."""

    def run(self) -> None:
        """Ask until met, or until the time is over, or until nobody speaks for the mesh any more."""
        speaker = self._next()
        while speaker is not None:
            try:
                is_done = self._ask(speaker)
            except AgentUnavailable as problem:
                if time.monotonic() >= self._deadline_s:
                    self.error = str(problem)
                    return
                self._agents = [one for one in self._agents if one.node != speaker.node]
                speaker = self._next()
                if speaker is None:
                    self.error = str(problem)
                    self.why = ""
                continue
            except MeshError as problem:
                self.error = str(problem)
                return
            if is_done:
                return

    def _next(self) -> Agent | None:
        left_s = max(0.1, self._deadline_s - time.monotonic())
        found = find_speaker(self._agents, timeout_s=min(SPEAKER_S, left_s))
        self.why = found.why
        return found.agent

    def _ask(self, speaker: Agent) -> bool:
        """One question; whether it was the last one."""
        left_s = max(0.0, self._deadline_s - time.monotonic())
        slice_s = min(left_s, SLICE_S if self._console.shows_progress else SLICE_S_MAX)
        reply = speaker.in_force(self._revision, slice_s, known=self._known, scope="mesh")
        self.document = reply.document
        self._console.progress(
            f"hosts in force {reply.document.get('in_force')}/{reply.document.get('waited_for')}"
        )
        return reply.status == _HTTP_OK or left_s <= slice_s


def remotes(
    document: Mapping[str, Any], written: Mapping[str, str], *, but: Collection[str]
) -> list[Remote]:
    """What the answer says of hosts other than `but`; `written` maps keys to the objects that were written."""
    from sidecar.standing.model import mark_of

    marks = {mark_of(key): name for key, name in written.items()}
    rows = [row for row in document.get("members") or () if row.get("node") not in but]
    return [_remote(row, marks) for row in rows]


def _remote(row: Mapping[str, Any], marks: Mapping[int, str]) -> Remote:
    node, state = str(row.get("node", "")), str(row.get("state", ""))
    if state == "gone":
        told = "gone: it died or left meanwhile, and was not waited for"
        return Remote(node, told, is_good=True, is_remarkable=True)
    if state != "in-force":
        return Remote(node, _lag(row, state), is_good=False)
    spoilt = [marks[mark] for mark in row.get("withheld") or () if mark in marks]
    if spoilt:
        told = f"in force, but quarantined or refused by its Envoy: {', '.join(spoilt)}"
        return Remote(node, f"{told}; `meshd status` there says why", is_good=False)
    return Remote(node, "in force", is_good=True)


def _lag(row: Mapping[str, Any], state: str) -> str:
    facts = [f"lags: {_LAGS.get(state, state)}"]
    if row.get("heard"):
        facts.append(f"has revision {row.get('in_force')} in force")
        facts.append(f"received {row.get('received')}, store: {row.get('sync')}")
    if row.get("told_s") is not None:
        facts.append(f"told {duration(row['told_s'])} ago")
    return "; ".join(facts)
