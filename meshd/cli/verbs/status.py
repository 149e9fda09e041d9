"""`meshd status`: how the sidecars of this machine are, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from meshd.cli import exits
from meshd.cli.completing import complete_nodes
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

__all__ = ["command"]

_HEADER = (
    "NODE",
    "STATE",
    "IN FORCE",
    "RECEIVED",
    "LAG",
    "AGE",
    "STORE",
    "ENVOY",
    "REJECTED",
    "BAD",
)
_WIDE = ("ROLE", "MODE", "SERVICES", "REGISTRATION", "VERSION", "UP")


@verb(
    "status",
    examples=("meshd status", "meshd status vm-7", "meshd status -o json | jq '.[].config'"),
)
@click.argument("nodes", nargs=-1, metavar="[NODE...]", shell_complete=complete_nodes)
@click.option("--no-headers", is_flag=True, help="Leave the titles of the table out.")
@output_option("table", "wide", "json")
def command(session: Session, /, nodes: tuple[str, ...], no_headers: bool, output: str) -> int:
    """Show how the sidecars of this machine are, worst first.

    Below the table: every quarantined object, every resource that Envoy refuses, and every other trouble, with its
    reason. The exit status is 1 when any of them is not well. IN FORCE is the newest revision that Envoy has
    acknowledged; AGE says for how long nothing has confirmed that it is the newest of the store.
    """
    from meshd.cli.agents import agent_named, ask_all, find_agents
    from meshd.cli.health import health_of, worst_first
    from store.errors import AgentUnavailable

    run_dir = session.run_dir
    agents = [agent_named(run_dir, node) for node in nodes] if nodes else find_agents(run_dir)
    if not agents:
        raise AgentUnavailable(
            f"no sidecar on this machine: {run_dir} has none",
            hint="Start one with `meshd-sidecar run`, or name their directory with --run-dir",
        )
    answers = ask_all(agents, lambda agent: agent.status(timeout_s=session.timeout_s))
    healths = worst_first([health_of(node, answer) for node, answer in answers.items()])
    if output == "json":
        from meshd.cli.forms import as_json_text

        session.console.say(as_json_text([one.as_json() for one in healths]))
    else:
        from meshd.cli.tables import table

        is_wide = output == "wide"
        header: Sequence[str] = (*_HEADER, *(_WIDE if is_wide else ()))
        rows = [[*one.cells(), *(one.wide_cells() if is_wide else ())] for one in healths]
        session.console.say(table(() if no_headers else header, rows, width=session.console.width))
        _say_troubles(session, healths)
    return exits.OK if all(one.is_well for one in healths) else exits.NO


def _say_troubles(session: Session, healths: Sequence[Any]) -> None:
    for one in healths:
        for trouble in one.troubles:
            session.console.say_words(f"\n{one.node}: {trouble.text}")
            for line in trouble.details:
                session.console.say(f"  {line}")
