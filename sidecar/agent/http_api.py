"""The sidecar's local status API: HTTP and JSON on a unix socket that only its own user can open.

    GET  /healthz                    the process lives
    GET  /readyz                     a configuration is in force in Envoy
    GET  /v1/status                  everything `meshd status` shows
    GET  /v1/in-force?revision=R     answers when revision R is in force, or 408 after `timeout_s` (default 30)
    GET  /v1/trace?method=..&url=..  where a request would go, and why (`header=name:value`, repeated)
    GET  /v1/endpoints?host=H        destinations of a host with their endpoints and health
    POST /v1/epoch/accept            follow the etcd that is held as another life of the store
    GET  /metrics                    Prometheus

Served by hypercorn under trio. The routes only translate; what they answer comes from `Answers`, which the
daemon implements.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs

import trio

from sidecar.agent.log import log
from store.errors import ConflictError, InputError, MeshError, NotFoundError

__all__ = ["Answers", "application", "serve_on"]

WAIT_MAX_S = 300.0
"""Longest wait that a caller may ask for; a caller that wants more asks again."""
SILENT_MAX_S = 330
"""How long a caller may say nothing, also while it waits for its answer, before its connection is closed."""
SOCKET_PATH_MAX = 107
"""Bytes that a unix socket's path may have on Linux (sockaddr_un, less the final zero)."""

Query = Mapping[str, list[str]]
Reply = tuple[HTTPStatus, str, bytes]


class Answers(Protocol):
    """What the daemon answers; every mapping is plain JSON."""

    def status(self) -> Mapping[str, Any]:
        """The whole status."""
        ...

    def is_ready(self) -> bool:
        """Whether some configuration is in force in Envoy."""
        ...

    async def wait_in_force(self, revision: int) -> Mapping[str, Any]:
        """Return when Envoy has `revision` or a later one in force; the caller sets the deadline."""
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

    def metrics(self) -> bytes:
        """Prometheus text."""
        ...


def application(answers: Answers) -> Callable[..., Awaitable[None]]:
    """The ASGI application over `answers`."""

    async def app(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        status, content_type, body = await _answer(answers, scope)
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(answers: Answers, scope: Mapping[str, Any]) -> Reply:
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    try:
        return await _dispatch(answers, scope["method"], scope["path"], query)
    except NotFoundError as problem:
        return _problem(HTTPStatus.NOT_FOUND, problem)
    except ConflictError as problem:
        return _problem(HTTPStatus.CONFLICT, problem)
    except InputError as problem:
        return _problem(HTTPStatus.BAD_REQUEST, problem)
    except MeshError as problem:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, problem)
    except Exception:  # noqa: BLE001 - the boundary: a question that trips over a bug must not end the daemon
        log.exception("status_api_failed", path=scope["path"])
        return _json(
            {"error": "this is a bug in meshd-sidecar", "hint": "see its log"},
            HTTPStatus.INTERNAL_SERVER_ERROR,
        )


async def _dispatch(answers: Answers, method: str, path: str, query: Query) -> Reply:
    match method, path:
        case "GET", "/healthz":
            return _json({"alive": True})
        case "GET", "/readyz":
            ready = answers.is_ready()
            return _json(
                {"ready": ready}, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
            )
        case "GET", "/v1/status":
            return _json(answers.status())
        case "GET", "/v1/in-force":
            return await _in_force(answers, query)
        case "GET", "/v1/trace":
            return _json(answers.trace(query))
        case "GET", "/v1/endpoints":
            return _json(answers.endpoints(_one(query, "host")))
        case "POST", "/v1/epoch/accept":
            return _json(answers.accept_epoch())
        case "GET", "/metrics":
            return HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", answers.metrics()
        case _:
            raise NotFoundError(
                f"{method} {path}: there is no such page", hint="GET /v1/status is one"
            )


async def _in_force(answers: Answers, query: Query) -> Reply:
    revision = _number(query, "revision", 0)
    timeout_s = min(_number(query, "timeout_s", 30), WAIT_MAX_S)
    with trio.move_on_after(timeout_s):
        return _json(await answers.wait_in_force(int(revision)))
    return _json(answers.status(), HTTPStatus.REQUEST_TIMEOUT)


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


def _json(value: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Reply:
    return status, "application/json", json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _problem(status: HTTPStatus, problem: MeshError) -> Reply:
    return _json({"error": problem.message, "hint": problem.hint}, status)


async def serve_on(
    path: Path,
    answers: Answers,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the API on unix socket `path` (mode 0600) until cancelled; a stale socket is replaced.

    Raises:
        InputError: The path is too long for a socket.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise InputError(
            f"{path}: a unix socket's path may have {SOCKET_PATH_MAX} bytes, this has {len(os.fsencode(path))}",
            hint="choose a shorter run_dir or node",
        )
    path.unlink(missing_ok=True)
    # Loading it takes a tenth of a second, in which Envoy asks its first questions: they are answered meanwhile.
    await trio.to_thread.run_sync(import_module, "hypercorn.trio")
    from hypercorn.config import Config
    from hypercorn.trio import serve

    config = Config()
    config.bind = [f"unix:{path}"]
    config.umask = 0o177
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = 0.2
    config.read_timeout = SILENT_MAX_S
    try:
        await serve(application(answers), config, mode="asgi", task_status=task_status)  # type: ignore[arg-type]
    finally:
        path.unlink(missing_ok=True)
