"""`--wait`: until every host of the mesh has a revision in force, and who lags.

This machine's sidecars are asked themselves; one of them that gossips speaks for all other hosts. Where none does, the
wait is for this machine alone, and says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from meshd.cli import exits
from meshd.cli.agents import Agent, Reply, ask_all, find_agents
from meshd.cli.session import Session
from meshd.cli.waiting_mesh import MeshWait, Remote, remotes
from store.changes import ChangeSet
from store.errors import AgentUnavailable, MeshError

__all__ = ["Target", "wait_in_force"]

_HTTP_OK = 200
SHOWN_MAX = 20
"""Other hosts with which all is well that are named; beyond, they are counted. Those that lag are all named."""


class Target(NamedTuple):
    """What is waited for."""

    revision: int
    cluster_id: int = 0
    """The etcd that it is a revision of; 0 where that is not known."""
    written: str = ""
    """A key that was written at it: etcd may have begun anew, with the id that it had before."""
    deleted: str = ""
    """A key that was deleted at it."""

    @property
    def known(self) -> dict[str, str]:
        """All but the revision, as the status API takes it."""
        cluster = f"{self.cluster_id:x}" if self.cluster_id else ""
        rows = {"cluster": cluster, "written": self.written, "deleted": self.deleted}
        return {name: value for name, value in rows.items() if value}


def wait_in_force(session: Session, change_set: ChangeSet, target: Target, timeout_s: float) -> int:
    """Wait until the target is in force everywhere, and say for each host how that went.

    Returns:
        0, or 1 when a host lags, cannot be asked, has quarantined an object of the change set, or its Envoy
        refuses what was made from one.

    Raises:
        AgentUnavailable: There is no sidecar to ask; what was written stays written.
    """
    agents = find_agents(session.run_dir)
    if not agents:
        raise AgentUnavailable(
            f"written at revision {target.revision}, but no sidecar runs here to wait for: "
            f"{session.run_dir} has none",
            hint="Name the directory of their sockets with --run-dir, or ask on a host of the mesh",
        )
    written = {change.key: str(change.ref) for change in change_set.effective}
    mesh = MeshWait(session, agents, target.revision, target.known, timeout_s)
    thread = threading.Thread(target=mesh.run, daemon=True)
    thread.start()
    here = [
        _line(node, answer, target.revision, written)
        for node, answer in _ask(agents, target, timeout_s).items()
    ]
    thread.join()
    session.console.clear_progress()
    there = remotes(mesh.document, written, but=[line.node for line in here])
    _say(session, here, there)
    if mesh.why:
        session.console.note(
            f"only this machine's sidecars were asked, not the whole mesh: {mesh.why}"
        )
    return _verdict(session, target.revision, [*here, *there], error=mesh.error)


def _ask(
    agents: Sequence[Agent], target: Target, timeout_s: float
) -> dict[str, tuple[Reply, float] | MeshError]:
    began = time.monotonic()

    def ask(agent: Agent) -> tuple[Reply, float]:
        reply = agent.in_force(target.revision, timeout_s, known=target.known)
        return reply, time.monotonic() - began

    return ask_all(agents, ask)


def _say(session: Session, here: Sequence[Remote], there: Sequence[Remote]) -> None:
    plain = [line for line in there if line.is_good and not line.is_remarkable]
    hidden = set(plain[SHOWN_MAX:]) if len(plain) > SHOWN_MAX else set()
    lines = [*here, *(line for line in there if line not in hidden)]
    width = max(len(line.node) for line in lines)
    for line in lines:
        session.console.say(f"{line.node:<{width}}  {line.text}")
    if hidden:
        session.console.say(f"and {len(hidden)} more hosts  in force")


def _verdict(session: Session, revision: int, lines: Sequence[Remote], *, error: str) -> int:
    if error:
        session.console.warn(f"error: of the rest of the mesh is not known: {error}")
    bad = [line.node for line in lines if not line.is_good]
    if bad:
        session.console.note(
            f"{len(lines) - len(bad)} of {len(lines)} hosts have revision {revision} in force as written; "
            f"see: {', '.join(bad)}"
        )
    return exits.NO if bad or error else exits.OK


def _line(
    node: str, answer: tuple[Reply, float] | MeshError, revision: int, written: Mapping[str, str]
) -> Remote:
    """What is said of one sidecar, and whether all is well with it; `written` maps keys to objects."""
    if isinstance(answer, MeshError):
        return Remote(node, f"cannot be asked: {answer}", is_good=False)
    reply, took_s = answer
    if reply.status != _HTTP_OK:
        return Remote(node, _lag(reply.document, revision), is_good=False)
    if spoilt := _quarantined(reply.document, written):
        return Remote(node, f"in force, but quarantined: {'; '.join(spoilt)}", is_good=False)
    if refused := _refused(reply.document, written.values()):
        told = f"in force, but for what Envoy refuses: {'; '.join(refused)}"
        return Remote(node, told, is_good=False)
    return Remote(node, f"in force after {took_s * 1000:.1f} ms", is_good=True)


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
