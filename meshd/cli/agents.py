"""Asking the sidecars of this machine: HTTP over their status sockets.

A socket that nobody listens on was left by a sidecar that was killed; it is named as such, not passed over.
"""

from __future__ import annotations

import errno
import http.client
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from store.errors import (
    AgentUnavailable,
    ConflictError,
    InputError,
    MeshError,
    NotFoundError,
    PeerError,
    StoreUnavailable,
)
from store.socket_http import SocketConnection

__all__ = ["TIMEOUT_S", "Agent", "Reply", "agent_named", "ask_all", "find_agents"]

TIMEOUT_S = 5.0
"""Deadline of one question to a sidecar of the same machine, unless the question itself waits."""
GRACE_S = 1.0
"""How much longer than its own timeout a question that waits is given: for the answer that it was in vain."""
_ANSWER_BYTES_MAX = 64 * 1024 * 1024
_ERRORS = {
    400: InputError,
    404: NotFoundError,
    409: ConflictError,
    503: StoreUnavailable,
}
"""What the sidecar's own refusals are here."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a sidecar answered."""

    status: int
    """HTTP status."""
    document: Mapping[str, Any]
    """The JSON of the body."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One sidecar of this machine, by its status socket."""

    node: str
    """Its node id: the name of its directory."""
    socket: Path
    """The socket."""

    def status(self, *, timeout_s: float = TIMEOUT_S) -> Mapping[str, Any]:
        """Its whole status; see the status API."""
        return self.ask("GET", "/v1/status", timeout_s=timeout_s).document

    def trace(self, query: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
        """Where a request goes."""
        return self.ask("GET", f"/v1/trace?{urlencode(query)}").document

    def accept_epoch(self) -> Mapping[str, Any]:
        """Make it follow the store that it holds off."""
        return self.ask("POST", "/v1/epoch/accept").document

    def page(self, name: str, *, timeout_s: float = TIMEOUT_S) -> Mapping[str, Any]:
        """One of the pages to look at: `mesh`, `peers`, `ejections`, `keyring`."""
        return self.ask("GET", f"/v1/{name}", timeout_s=timeout_s).document

    def post(self, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask for a deed, for instance `ejections/pin` or `keyring/use`."""
        return self.ask("POST", f"/v1/{name}", body=body).document

    def in_force(
        self,
        revision: int,
        timeout_s: float,
        *,
        known: Mapping[str, str] | None = None,
        scope: str = "host",
    ) -> Reply:
        """Waits until the revision is in force; status 408 when it is not in time.

        Args:
            revision: Which one.
            timeout_s: How long the sidecar may wait.
            known: What else is known of it: `cluster` (of etcd), a key that was `written` or `deleted` at it.
            scope: `host`: there; the answer to a wait in vain is its whole status. `mesh`: on every member.
        """
        query = {"revision": f"{revision}", "timeout_s": f"{timeout_s:g}", **(known or {})}
        query |= {} if scope == "host" else {"scope": scope}
        path = f"/v1/in-force?{urlencode(query)}"
        return self.ask("GET", path, timeout_s=timeout_s + GRACE_S, accept=(200, 408))

    def ask(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float = TIMEOUT_S,
        accept: Sequence[int] = (200,),
        body: Mapping[str, Any] | None = None,
    ) -> Reply:
        """One question; `body` goes as JSON.

        Raises:
            AgentUnavailable: Nobody listens, or no answer came in time.
            PeerError: What answers is not a sidecar.
            MeshError: The sidecar's own refusal, of the type that its status stands for.
        """
        connection = SocketConnection(self.socket, timeout_s)
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, content, headers={"Host": "localhost"})
            answer = connection.getresponse()
            status, told = answer.status, answer.read(_ANSWER_BYTES_MAX)
        except OSError as problem:
            raise self._unavailable(problem, timeout_s) from problem
        except http.client.HTTPException as problem:
            raise PeerError(f"{self.socket}: the answer is not HTTP: {problem!r}") from problem
        finally:
            connection.close()
        document = self._document(told)
        if status not in accept:
            message = str(document.get("error") or f"status {status}")
            kind = _ERRORS.get(status, PeerError)
            raise kind(f"{self.node}: {message}", hint=str(document.get("hint") or ""))
        return Reply(status, document)

    def _document(self, body: bytes) -> Mapping[str, Any]:
        try:
            document = json.loads(body)
        except ValueError as problem:
            raise PeerError(f"{self.socket}: the answer is not JSON: {body[:80]!r}") from problem
        if not isinstance(document, dict):
            raise PeerError(f"{self.socket}: the answer is no JSON object: {body[:80]!r}")
        return document

    def _unavailable(self, problem: OSError, timeout_s: float) -> AgentUnavailable:
        where = f"sidecar {self.node} ({self.socket})"
        if isinstance(problem, TimeoutError):
            return AgentUnavailable(
                f"{where}: no answer within {timeout_s:.3g} s",
                hint="It may be overloaded or stopped",
            )
        if problem.errno == errno.ECONNREFUSED:
            return AgentUnavailable(
                f"{where}: nobody listens; the socket was left by a sidecar that is gone",
                hint=f"Start the sidecar again, or remove {self.socket.parent}",
            )
        if problem.errno in (errno.EACCES, errno.EPERM):
            return AgentUnavailable(
                f"{where}: permission denied", hint="Ask as the user that runs the sidecar, or root"
            )
        return AgentUnavailable(f"{where}: {problem.strerror or problem}")


def find_agents(run_dir: Path) -> tuple[Agent, ...]:
    """The sidecars that have, or had, a socket in the run directory, by name.

    Raises:
        AgentUnavailable: The directory cannot be read.
    """
    try:
        folders = sorted(run_dir.iterdir())
    except FileNotFoundError:
        return ()
    except OSError as problem:
        raise AgentUnavailable(f"{run_dir}: {problem.strerror}") from problem
    return tuple(
        Agent(folder.name, folder / "status.sock")
        for folder in folders
        if _is_socket(folder / "status.sock")
    )


def agent_named(run_dir: Path, node: str) -> Agent:
    """The sidecar called `node`.

    Raises:
        NotFoundError: This machine has none of that name; those that it has are named.
    """
    known = {agent.node: agent for agent in find_agents(run_dir)}
    if node in known:
        return known[node]
    has = f"It has: {', '.join(known)}" if known else f"There is none in {run_dir} (--run-dir)"
    raise NotFoundError(f'no sidecar "{node}" on this machine', hint=has)


def ask_all(
    agents: Sequence[Agent], question: Callable[[Agent], Any]
) -> dict[str, Any | MeshError]:
    """Asks all of them at once; by node, the answer or the error."""
    answers: dict[str, Any | MeshError] = {}

    def ask(agent: Agent) -> None:
        try:
            answers[agent.node] = question(agent)
        except MeshError as problem:
            answers[agent.node] = problem

    threads = [threading.Thread(target=ask, args=(agent,), daemon=True) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {agent.node: answers[agent.node] for agent in agents}


def _is_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except PermissionError:
        return True  # it is another user's; asking says so
