"""The sidecar's local status API: HTTP and JSON on a unix socket that only its own user can open.

Served by hypercorn under trio. This module only translates between HTTP and `sidecar.agent.pages`, which lists the
pages; what they answer comes from `Answers`, which the daemon implements.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import trio

from sidecar.agent.log import log
from sidecar.agent.pages import Answers, Query, Reply, Request, answer, as_json
from store.errors import ConflictError, InputError, MeshError, NotFoundError, is_out_of_memory

__all__ = ["Answers", "Query", "application", "serve_on"]

BODY_BYTES_MAX = 65_536
"""Longest body of a question; those that have one need some hundred bytes."""
SILENT_MAX_S = 330
"""How long a caller may say nothing, also while it waits for its answer, before its connection is closed."""
SOCKET_PATH_MAX = 107
"""Bytes that a unix socket's path may have on Linux (sockaddr_un, less the final zero)."""


def application(answers: Answers) -> Callable[..., Awaitable[None]]:
    """The ASGI application over `answers`."""

    async def app(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        status, content_type, body = await _answer(answers, scope, receive)
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


async def _answer(answers: Answers, scope: Mapping[str, Any], receive: Any) -> Reply:
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    method = scope["method"]
    try:
        body = await _body(receive) if method == "POST" else b""
        return await answer(answers, Request(method, scope["path"], query, body))
    except NotFoundError as problem:
        return _problem(HTTPStatus.NOT_FOUND, problem)
    except ConflictError as problem:
        return _problem(HTTPStatus.CONFLICT, problem)
    except InputError as problem:
        return _problem(HTTPStatus.BAD_REQUEST, problem)
    except MeshError as problem:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, problem)
    except Exception as problem:  # noqa: BLE001 - the boundary: a question that trips over a bug must not end the daemon
        if is_out_of_memory(problem):
            log.warning("status_api_without_memory", path=scope["path"])
            return as_json(
                {"error": "no memory is left for this answer", "hint": "raise its limit"},
                HTTPStatus.SERVICE_UNAVAILABLE,
            )
        log.exception("status_api_failed", path=scope["path"])
        return as_json(
            {"error": "this is a bug in meshd-sidecar", "hint": "see its log"},
            HTTPStatus.INTERNAL_SERVER_ERROR,
        )


async def _body(receive: Any) -> bytes:
    """The whole body.

    Raises:
        InputError: It is longer than any that is expected, or the caller went away.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InputError("the caller went away before its question ended")
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise InputError(f"the body has more than {BODY_BYTES_MAX} bytes")
        if not message.get("more_body", False):
            return bytes(body)


def _problem(status: HTTPStatus, problem: MeshError) -> Reply:
    return as_json({"error": problem.message, "hint": problem.hint}, status)


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
