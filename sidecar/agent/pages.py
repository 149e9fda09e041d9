"""The pages of the status API: which question goes to whom, and what its parameters may be. Knows no HTTP server.

GET  /healthz                    the process lives
GET  /readyz                     a configuration is in force in Envoy
GET  /v1/status                  everything about this sidecar that `meshd status` shows
GET  /v1/in-force?revision=R     answers when revision R is in force, or 408 after `timeout_s` (default 30);
                                 `cluster=ID`: of that etcd (hexadecimal); `scope=mesh`: on every member
GET  /v1/mesh                    configuration of every member, as gossip tells it
GET  /v1/peers                   who is held for a member, and how
GET  /v1/ejections               endpoints accused or ejected, by whom, why or why not
POST /v1/ejections/clear|pin|pause    {"destination", "endpoint", "for", "reason", "take_back"}
GET  /v1/keyring                 fingerprints of the shared keys
POST /v1/keyring/install|use|remove   {"key"}
GET  /v1/trace?method=..&url=..  where a request would go, and why (`header=name:value`, repeated)
GET  /v1/endpoints?host=H        destinations of a host with their endpoints and health
POST /v1/epoch/accept            follow the etcd that is held as another life of the store
GET  /metrics                    Prometheus
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import trio

from sidecar.agent.wanted import Wanted
from store.errors import InputError, NotFoundError

__all__ = ["WAIT_MAX_S", "Answers", "Query", "Reply", "Request", "WholeMesh", "answer", "as_json"]

WAIT_MAX_S = 300.0
"""Longest wait that a caller may ask for; a caller that wants more asks again."""

Query = Mapping[str, list[str]]
Reply = tuple[HTTPStatus, str, bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """One question."""

    method: str
    path: str
    query: Query
    body: bytes = b""


class WholeMesh(Protocol):
    """What is answered for the mesh; `sidecar.agent.mesh_answers.MeshAnswers` does."""

    def mesh(self) -> Mapping[str, Any]:
        """The configuration of every member."""
        ...

    def peers(self) -> Mapping[str, Any]:
        """Who is held for a member."""
        ...

    async def in_force(self, wanted: Wanted, timeout_s: float) -> tuple[bool, Mapping[str, Any]]:
        """Whether all have it in force in time, and how far each is."""
        ...

    def ejections(self) -> Mapping[str, Any]:
        """Endpoints accused or ejected."""
        ...

    def override(self, kind: str, body: bytes) -> Mapping[str, Any]:
        """Take an operator's word."""
        ...

    def keyring(self) -> Mapping[str, Any]:
        """Fingerprints of the shared keys."""
        ...

    def change_keyring(self, deed: str, body: bytes) -> Mapping[str, Any]:
        """Install, use or remove a key."""
        ...


class Answers(Protocol):
    """What the daemon answers; every mapping is plain JSON."""

    @property
    def whole_mesh(self) -> WholeMesh:
        """What it answers for the mesh."""
        ...

    def status(self) -> Mapping[str, Any]:
        """The whole status."""
        ...

    def is_ready(self) -> bool:
        """Whether some configuration is in force in Envoy."""
        ...

    async def wait_in_force(self, wanted: Wanted) -> Mapping[str, Any]:
        """Return when Envoy has it, or a later one, in force; the caller sets the deadline."""
        ...

    def trace(self, query: Query) -> Mapping[str, Any]:
        """Where a request would go."""
        ...

    def endpoints(self, host: str) -> Mapping[str, Any]:
        """Destinations of a host and their endpoints."""
        ...

    def accept_epoch(self) -> Mapping[str, Any]:
        """Follow the store that is held as another epoch."""
        ...

    async def metrics(self) -> bytes:
        """Prometheus text."""
        ...


async def answer(answers: Answers, request: Request) -> Reply:
    """The answer to one question.

    Raises:
        MeshError: It cannot be answered; the type says whose fault it is.
    """
    query, mesh = request.query, answers.whole_mesh
    match request.method, request.path:
        case "GET", "/healthz":
            return as_json({"alive": True})
        case "GET", "/readyz":
            ready = answers.is_ready()
            status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
            return as_json({"ready": ready}, status)
        case "GET", "/v1/status":
            return as_json(answers.status())
        case "GET", "/v1/in-force":
            return await _in_force(answers, query)
        case "GET", "/v1/mesh":
            return as_json(mesh.mesh())
        case "GET", "/v1/peers":
            return as_json(mesh.peers())
        case "GET", "/v1/ejections":
            return as_json(mesh.ejections())
        case "POST", "/v1/ejections/clear" | "/v1/ejections/pin" | "/v1/ejections/pause":
            return as_json(mesh.override(request.path.rpartition("/")[2], request.body))
        case "GET", "/v1/keyring":
            return as_json(mesh.keyring())
        case "POST", "/v1/keyring/install" | "/v1/keyring/use" | "/v1/keyring/remove":
            return as_json(mesh.change_keyring(request.path.rpartition("/")[2], request.body))
        case "GET", "/v1/trace":
            return as_json(answers.trace(query))
        case "GET", "/v1/endpoints":
            return as_json(answers.endpoints(_one(query, "host")))
        case "POST", "/v1/epoch/accept":
            return as_json(answers.accept_epoch())
        case "GET", "/metrics":
            text = await answers.metrics()
            return HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", text
        case method, path:
            raise NotFoundError(
                f"{method} {path}: there is no such page", hint="GET /v1/status is one"
            )


async def _in_force(answers: Answers, query: Query) -> Reply:
    keys = {name: _one(query, name) for name in ("written", "deleted") if name in query}
    wanted = Wanted(int(_number(query, "revision", 0)), _cluster(query), **keys)
    timeout_s = min(_number(query, "timeout_s", 30), WAIT_MAX_S)
    scope = _one(query, "scope") if "scope" in query else "host"
    if scope == "mesh":
        is_met, found = await answers.whole_mesh.in_force(wanted, timeout_s)
        return as_json(found, HTTPStatus.OK if is_met else HTTPStatus.REQUEST_TIMEOUT)
    if scope != "host":
        raise InputError(f'?scope= must be host or mesh, found "{scope[:60]}"')
    with trio.move_on_after(timeout_s):
        return as_json(await answers.wait_in_force(wanted))
    return as_json(answers.status(), HTTPStatus.REQUEST_TIMEOUT)


def _cluster(query: Query) -> int | None:
    """The etcd that a revision is of, by its cluster id in hexadecimal; None where none is named."""
    if "cluster" not in query:
        return None
    text = _one(query, "cluster")
    try:
        cluster_id = int(text, 16)
    except ValueError:
        cluster_id = -1
    if not 0 <= cluster_id < 2**64:
        raise InputError(
            f'?cluster= must be a cluster id of etcd in hexadecimal, found "{text[:60]}"'
        )
    return cluster_id


def _one(query: Query, name: str) -> str:
    values = query.get(name, [])
    if len(values) != 1 or not values[0]:
        raise InputError(f"?{name}= is needed exactly once, found {len(values)} times")
    return values[0]


def _number(query: Query, name: str, default: float) -> float:
    if name not in query:
        return default
    try:
        value = float(_one(query, name))
    except ValueError:
        value = -1.0
    if not 0 <= value < 2**63:
        raise InputError(f"?{name}= must be a number from 0, found {query[name][0]!r}")
    return value


def as_json(value: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """A JSON document as an answer."""
    return status, "application/json", json.dumps(value, ensure_ascii=False).encode() + b"\n"
