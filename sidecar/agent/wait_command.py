"""`meshd-sidecar wait`: returns once requests of this host are routed, for whatever starts after its sidecar.

Readiness is that of `/readyz`: a whole configuration is in force in Envoy, from etcd, from peers or from disk. As
Istio's `pilot-agent wait`, for an application that starts beside its proxy.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from store.errors import AgentUnavailable, PeerError
from store.socket_http import SocketConnection

__all__ = ["NotReady", "wait", "wait_ready"]

EXIT_NO = 1
TIMEOUT_S = 60.0
PAUSE_S = 0.1
"""Between two questions."""
ANSWER_S = 2.0
"""How long one answer may take."""


class NotReady(Exception):
    """A sidecar runs, and did not route requests in time; the text says what it lacks."""


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with settings."
)
@click.option("--node", help="Node id of the sidecar; default as the settings have it.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Directory of sockets.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 86_400, min_open=True),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait.",
)
@click.pass_context
def wait(
    context: click.Context,
    /,
    config: Path | None,
    node: str | None,
    run_dir: Path | None,
    timeout_s: float,
) -> int:
    """Wait until this host's sidecar routes requests.

    The exit status is 0 when it does, 1 when it runs and does not in time, 6 when none answers.

    \b
    Examples:
      meshd-sidecar wait && exec ./app
      meshd-sidecar wait --config /etc/meshd/sidecar.toml --timeout 30
      ExecStartPre=/opt/meshd/bin/meshd-sidecar wait
    """  # noqa: D301 - \b is click's mark for lines that it must not wrap
    from sidecar.agent.main import config_file
    from sidecar.agent.settings_layers import from_layers, layers

    told = {"node": node, "run_dir": run_dir}
    flags = {name: value for name, value in told.items() if value is not None}
    settings = from_layers(layers(config_file(config or context.obj), os.environ, flags))
    socket = settings.run_dir / settings.node / "status.sock"
    try:
        wait_ready(socket, timeout_s)
    except NotReady as problem:
        click.echo(f"meshd-sidecar: {settings.node} is not ready: {problem}", err=True)
        return EXIT_NO
    click.echo(f"{settings.node} is ready")
    return 0


def wait_ready(
    socket: Path,
    timeout_s: float,
    *,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the sidecar of a status socket is ready.

    Args:
        socket: Where it answers; need not be there yet.
        timeout_s: How long to wait.
        now_s: Monotonic seconds.
        sleep: Waits for so many seconds.

    Raises:
        NotReady: It answers, and was not ready in time.
        AgentUnavailable: Nobody answered when the time was over.
        PeerError: Whoever answers is no sidecar.
    """
    end_s = now_s() + timeout_s
    while True:
        trouble = ""
        try:
            if _ask(socket, "/readyz").get("ready") is True:
                return
        except OSError as problem:
            trouble = problem.strerror or str(problem)
        left_s = end_s - now_s()
        if left_s <= 0:
            break
        sleep(min(PAUSE_S, left_s))
    if trouble:
        raise AgentUnavailable(
            f"no sidecar answered on {socket} within {timeout_s:g} s: {trouble}",
            hint="Is it started, and are --node and --run-dir (or --config) those that it was started with?",
        )
    raise NotReady(f"after {timeout_s:g} s {_lack(socket)}; `meshd check` says what to do")


def _lack(socket: Path) -> str:
    """What a sidecar that is not ready waits for."""
    try:
        status = _ask(socket, "/v1/status")
    except OSError:
        return "it stopped answering"
    config, store = status["config"], status["store"]
    if config["source"] == "none":
        why = f": {store['error']}" if store["error"] else ""
        return f"it has no configuration, from disk, peers or etcd ({store['state']}{why})"
    if not status["envoy"]["connected"]:
        return f"its Envoy is not connected ({status['envoy']['state']})"
    return f"revision {config['revision_received']} is not in force in Envoy ({config['state']})"


def _ask(socket: Path, page: str) -> Mapping[str, Any]:
    connection = SocketConnection(socket, ANSWER_S)
    try:
        connection.request("GET", page)
        found = json.loads(connection.getresponse().read())
    except ConnectionError:
        raise  # also where it ends in the middle of its answer
    except (http.client.HTTPException, ValueError) as problem:
        raise PeerError(f"{socket}: what answers is no sidecar: {problem!r}") from problem
    finally:
        connection.close()
    if not isinstance(found, dict):
        raise PeerError(f"{socket}: what answers is no sidecar: {str(found)[:80]}")
    return found
