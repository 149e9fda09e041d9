"""`meshd trace`: where a request goes and why, answered by a sidecar from the table that serves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from meshd.cli import exits
from meshd.cli.completing import complete_nodes
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

if TYPE_CHECKING:
    from meshd.cli.agents import Agent

__all__ = ["command"]

_METHOD = re.compile(r"[A-Za-z][A-Za-z-]*")


@verb(
    "trace",
    examples=(
        "meshd trace --from vm-7 GET http://reviews:9080/x -H 'cookie: user=jason'",
        "meshd trace http://reviews.shop:9080/            # the only sidecar of this machine",
        "meshd trace tls://api.example.com:443              # a connection that is not read; tcp:// too",
        "meshd trace --offline -n shop -l app=web GET http://reviews:9080/",
    ),
)
@click.argument("words", nargs=-1, metavar="[METHOD] URL")
@click.option(
    "--from",
    "node",
    metavar="NODE",
    shell_complete=complete_nodes,
    help="The sidecar that the request leaves through.",
)
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Header.")
@click.option("--context", metavar="NAME", default="", help="Workload context of that sidecar.")
@click.option(
    *("--gateway-port", "gateway_port"),
    type=click.IntRange(1, 65535),
    help="The request reaches that port of a gateway instead.",
)
@click.option("--offline", is_flag=True, help="Compute from etcd; ask no sidecar.")
@click.option(
    *("-l", "--labels", "selectors"),
    multiple=True,
    metavar="A=B",
    help="With --offline: labels of the workload that sends.",
)
@output_option("text", "wide", "json")
def command(
    session: Session, /, words: tuple[str, ...], headers: tuple[str, ...], **flags: Any
) -> int:
    """Show where a request goes, and why.

    Listener, virtual host, the routes that were passed over and why, the route that takes it, destinations with their
    shares and endpoints with their health, and for each step the object that says so. The exit status is 1 when no
    route takes the request.
    """
    from meshd.tracing import render_trace
    from sidecar.routing.trace import from_json, to_json

    method, url = _request(words)
    query = [("method", method), ("url", url)]
    query += [("header", _header(text)) for text in headers]
    if flags["offline"]:
        from meshd.cli.names import parse_labels
        from meshd.cli.offline import trace_offline

        labels = parse_labels(flags["selectors"])
        trace = trace_offline(session, flags["node"], labels, query, flags["gateway_port"])
    else:
        if flags["selectors"]:
            raise click.UsageError("-l describes a workload for --offline; a sidecar knows its own")
        agent = _agent(session, flags["node"])
        query += [("context", flags["context"])] if flags["context"] else []
        query += [("gateway_port", str(flags["gateway_port"]))] if flags["gateway_port"] else []
        trace = from_json(_checked(agent, agent.trace(query)))
    if flags["output"] == "json":
        from meshd.cli.forms import as_json_text

        session.console.say(as_json_text(to_json(trace)))
    else:
        session.console.say(render_trace(trace, wide=flags["output"] == "wide"))
        if trace.label:
            session.console.detail(f"mesh {trace.label}")
    return exits.OK if trace.is_routed else exits.NO


def _request(words: tuple[str, ...]) -> tuple[str, str]:
    """Method and URL; `GET` where no method is given, `http://` where no scheme is."""
    match words:
        case [url]:
            method = "GET"
        case [method, url]:
            pass
        case _:
            raise click.UsageError(
                "which request? [METHOD] URL, for instance GET http://reviews:9080/"
            )
    if not _METHOD.fullmatch(method):
        raise click.UsageError(f'"{method}" is not a method; write [METHOD] URL')
    return method.upper(), url if "://" in url else f"http://{url}"


def _header(text: str) -> str:
    name, colon, _ = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"-H '{text}': a header is 'NAME: VALUE'")
    return text


def _agent(session: Session, node: str | None) -> Agent:
    """The sidecar to ask: the one named, or the only one."""
    from meshd.cli.agents import agent_named, find_agents
    from store.errors import AgentUnavailable

    if node:
        return agent_named(session.run_dir, node)
    agents = find_agents(session.run_dir)
    if not agents:
        raise AgentUnavailable(
            f"no sidecar on this machine: {session.run_dir} has none",
            hint="Compute it from etcd with --offline, or name the sidecars' directory with --run-dir",
        )
    if len(agents) > 1:
        names = ", ".join(agent.node for agent in agents)
        raise click.UsageError(f"from which sidecar? --from one of: {names}")
    return agents[0]


def _checked(agent: Agent, document: Mapping[str, Any]) -> Mapping[str, Any]:
    from store.errors import PeerError

    if "request" not in document or "outcome" not in document:
        raise PeerError(
            f"{agent.node}: the answer is no trace; it has {', '.join(document) or 'nothing'}",
            hint="The sidecar may be of another version: see `meshd version`",
        )
    return document
