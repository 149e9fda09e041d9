"""`--wait`: until every sidecar of this machine has a revision in force, and who lags."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from meshd.cli import exits
from meshd.cli.agents import Agent, Reply, ask_all, find_agents
from meshd.cli.session import Session
from store.changes import ChangeSet
from store.errors import AgentUnavailable, MeshError

__all__ = ["wait_in_force"]

_HTTP_OK = 200


def wait_in_force(session: Session, change_set: ChangeSet, revision: int, timeout_s: float) -> int:
    """Ask every sidecar to answer when `revision` is in force, and say for each how long that took.

    Returns:
        0, or 1 when a sidecar lags, cannot be asked, has quarantined an object of the change set, or its Envoy
        refuses what was made from one.

    Raises:
        AgentUnavailable: There is no sidecar to ask; what was written stays written.
    """
    agents = find_agents(session.run_dir)
    if not agents:
        raise AgentUnavailable(
            f"written at revision {revision}, but no sidecar runs here to wait for: {session.run_dir} has none",
            hint="Name the directory of their sockets with --run-dir, or ask on a host of the mesh",
        )
    began = time.monotonic()

    def ask(agent: Agent) -> tuple[Reply, float]:
        return agent.in_force(revision, timeout_s), time.monotonic() - began

    written = {change.key: str(change.ref) for change in change_set.effective}
    answers = ask_all(agents, ask)
    lines = [_line(node, answer, revision, written) for node, answer in answers.items()]
    width = max(len(node) for node, _, _ in lines)
    for node, text, _ in lines:
        session.console.say(f"{node:<{width}}  {text}")
    bad = [node for node, _, is_good in lines if not is_good]
    if bad:
        session.console.note(
            f"{len(lines) - len(bad)} of {len(lines)} sidecars have revision {revision} in force as written; "
            f"see: {', '.join(bad)}"
        )
    return exits.NO if bad else exits.OK


def _line(
    node: str, answer: tuple[Reply, float] | MeshError, revision: int, written: Mapping[str, str]
) -> tuple[str, str, bool]:
    """What is said of one sidecar, and whether all is well with it; `written` maps keys to objects."""
    if isinstance(answer, MeshError):
        return node, f"cannot be asked: {answer}", False
    reply, took_s = answer
    if reply.status != _HTTP_OK:
        return node, _lag(reply.document, revision), False
    if spoilt := _quarantined(reply.document, written):
        return node, f"in force, but quarantined: {'; '.join(spoilt)}", False
    if refused := _refused(reply.document, written.values()):
        return node, f"in force, but for what Envoy refuses: {'; '.join(refused)}", False
    return node, f"in force after {took_s * 1000:.1f} ms", True


def _refused(document: Mapping[str, Any], objects: Iterable[str]) -> list[str]:
    """Resources made from these objects that Envoy refuses without one of them being to blame: a port is taken, say."""
    made_from = tuple(f"{one}@" for one in objects)
    return [
        f"{row.get('name', '')}: {row.get('detail', '')}"
        for row in document.get("rejected", ())
        if any(str(source).startswith(made_from) for source in row.get("sources", ()))
    ]


def _quarantined(document: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """What the sidecar has quarantined of these keys, with its reasons."""
    return [
        f"{row.get('object', '')}: " + "; ".join(_reason(one) for one in row.get("diagnostics", ()))
        for row in document.get("quarantined", ())
        if row.get("key") in keys
    ]


def _reason(problem: Mapping[str, Any]) -> str:
    path = f"{problem['path']}: " if problem.get("path") else ""
    return f"{problem.get('code', '')} {path}{problem.get('message', '')}"


def _lag(status: Mapping[str, Any], revision: int) -> str:
    """Why a revision is not in force, as far as the sidecar's status tells."""
    config, envoy, store = (status.get(part) or {} for part in ("config", "envoy", "store"))
    received, in_force = config.get("revision_received", 0), config.get("revision_in_force", 0)
    facts = [f"has revision {in_force} in force"]
    if received < revision:
        facts.append(f"received {received}, store {store.get('state', 'unknown')}")
        facts += [str(store["error"])] if store.get("error") else []
    elif not envoy.get("connected", True):
        facts.append(f"Envoy is not connected ({envoy.get('state', 'unknown')})")
    facts += [f"held: {config['held'].get('reason', '')}"] if config.get("held") else []
    facts += [
        f"Envoy refuses {row.get('name')}: {row.get('detail')}"
        for row in status.get("rejected", ())
    ]
    return f"lags: {'; '.join(facts)}"
