"""`meshd-sidecar wait`: returns once requests of this host are routed, for whatever starts after its sidecar.

Readiness is that of `/readyz`: a whole configuration is in force in Envoy, from etcd, from peers or from disk. As
Istio's `pilot-agent wait`, for an application that starts beside its proxy.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from store.errors import AgentUnavailable
from store.socket_http import SocketConnection

__all__ = ["NotReady", "wait", "wait_ready"]

EXIT_NO = 1
TIMEOUT_S = 60.0
PAUSE_S = 0.1
"""Between two questions."""
ANSWER_LEAST_S, ANSWER_S = 0.5, 2.0
"""How long one answer may take: when little time is left, and else."""


class NotReady(Exception):
    """A sidecar runs, and did not route requests in time; the text says what it lacks."""


class _Trouble(Exception):
    """No answer, or none that can be understood; the next may be better."""


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
    """Wait until this host's sidecar routes requests; as the user that runs it, or root.

    The exit status is 0 when it does, 1 when it runs and does not in time, 3 when the settings cannot be read, 6 when
    none answers.

    \b
    Examples:
      meshd-sidecar wait && exec ./app
      meshd-sidecar wait --config /etc/meshd/sidecar.toml --timeout 30
      ExecStartPre=+/opt/meshd/bin/meshd-sidecar wait
    """  # noqa: D301 - \b is click's mark for lines that it must not wrap
    from sidecar.agent.main import config_file
    from sidecar.agent.settings_layers import from_layers, layers

    told = {"node": node, "run_dir": run_dir}
    flags = {name: value for name, value in told.items() if value is not None}
    if math.isnan(timeout_s):
        raise click.BadParameter("is not a number of seconds", param_hint="--timeout")
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
        AgentUnavailable: Nobody answered, or whoever did is no sidecar; at once where we may not ask.
    """
    end_s = now_s() + timeout_s
    has_answered, trouble, left_s = False, "", timeout_s
    while left_s > 0:
        try:
            answer_s = min(ANSWER_S, max(ANSWER_LEAST_S, left_s))
            if _ask(socket, "/readyz", answer_s).get("ready") is True:
                return
            has_answered = True
        except PermissionError as problem:
            raise AgentUnavailable(
                f"{socket}: permission denied",
                hint="Ask as the user that runs the sidecar, or root (ExecStartPre=+...)",
            ) from problem
        except (OSError, _Trouble) as problem:
            trouble = getattr(problem, "strerror", None) or str(problem)
        sleep(max(0.0, min(PAUSE_S, end_s - now_s())))
        left_s = end_s - now_s()
    if not has_answered:
        raise AgentUnavailable(
            f"no sidecar answered on {socket} within {timeout_s:g} s: {trouble}",
            hint="Is it started, and are --node and --run-dir (or --config) those that it was started with?",
        )
    raise NotReady(f"after {timeout_s:g} s {_lack(socket)}; `meshd check` says what to do")


def _lack(socket: Path) -> str:
    """What a sidecar that is not ready waits for, as far as it says so."""
    try:
        status = _ask(socket, "/v1/status", ANSWER_S)
        config, store, envoy = (status[name] for name in ("config", "store", "envoy"))
        if config["source"] == "none":
            why = f": {store['error']}" if store["error"] else ""
            return f"it has no configuration, from disk, peers or etcd ({store['state']}{why})"
        if not envoy["connected"]:
            return f"its Envoy is not connected ({envoy['state']})"
        return f"Envoy has yet to take revision {config['revision_received']} ({config['state']})"
    except (OSError, _Trouble):
        return "it stopped answering"
    except (KeyError, TypeError):
        return "it does not say what it waits for: it is of another version"


def _ask(socket: Path, page: str, timeout_s: float) -> Mapping[str, Any]:
    connection = SocketConnection(socket, timeout_s)
    try:
        connection.request("GET", page)
        found = json.loads(connection.getresponse().read())
    except (http.client.HTTPException, ValueError) as problem:
        raise _Trouble(
            f"what answers is no sidecar, or one that just ended: {problem!r}"
        ) from problem
    finally:
        connection.close()
    if not isinstance(found, dict):
        raise _Trouble(f"what answers is no sidecar: {str(found)[:80]}")
    return found
