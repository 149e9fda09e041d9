"""`meshd peers`: who a sidecar of this machine holds for a member of the mesh, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from meshd.cli import exits
from meshd.cli.completing import complete_nodes
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

if TYPE_CHECKING:
    from meshd.cli.agents import Agent

__all__ = ["command"]

_HEADER = ("NODE", "STATUS", "SINCE", "ADDRESS", "VERSION", "REVISION", "SYNC", "TOLD")
_WIDE = ("EPOCH", "INCARNATION", "UDP", "ACCUSERS", "KEY", "TRUST")
_DOWN = ("suspect", "dead")


@verb(
    "peers",
    examples=(
        "meshd peers",
        "meshd peers --from vm-7 -o wide",
        "meshd peers --matrix",
        "meshd peers -o json | jq '.members[] | select(.status == \"dead\") | .node'",
    ),
)
@click.option(
    "--from", "node", metavar="NODE", shell_complete=complete_nodes, help="The sidecar to ask."
)
@click.option(
    "--matrix", is_flag=True, help="Ask all sidecars of this machine: who sees whom as what."
)
@click.option("--no-headers", is_flag=True, help="Leave the titles of the table out.")
@output_option("table", "wide", "json", "yaml")
def command(
    session: Session, /, node: str | None, matrix: bool, no_headers: bool, output: str
) -> int:
    """Show who is a member of the mesh, and how each is held.

    By gossip alone: no etcd and no other host is asked. The exit status is 1 when a member is suspect or dead, when
    another process has this host's name, when gossip is off, or with --matrix when sidecars disagree.
    """
    from meshd.cli.asking import agents_of

    agents = agents_of(session, node)
    if matrix:
        return _matrix(session, agents, output, has_header=not no_headers)
    answer = _answer(session, agents)
    if output in ("json", "yaml"):
        _say_document(session, answer, output)
    else:
        _say(session, answer, is_wide=output == "wide", has_header=not no_headers)
    return exits.OK if _is_well(answer) else exits.NO


def _answer(session: Session, agents: Sequence[Agent]) -> Mapping[str, Any]:
    """What the sidecar says that sees the most."""
    from meshd.cli.asking import ask_one

    return ask_one(session, agents, "peers")


def _is_well(answer: Mapping[str, Any]) -> bool:
    is_on = (answer.get("gossip") or {}).get("state") == "on"
    is_down = any(row.get("status") in _DOWN for row in answer.get("members") or ())
    return is_on and not is_down and not answer.get("rival")


def _say_document(session: Session, answer: Mapping[str, Any], output: str) -> None:
    from meshd.cli.forms import as_json_text, as_yaml

    text = as_json_text(answer) if output == "json" else as_yaml([answer]).rstrip("\n")
    session.console.say(text)


def _say(session: Session, answer: Mapping[str, Any], *, is_wide: bool, has_header: bool) -> None:
    from meshd.cli.peers_rows import notes_on_peers, peer_cells
    from meshd.cli.tables import table

    members = sorted(
        answer.get("members") or (), key=lambda row: (row.get("status") == "alive", row["node"])
    )
    header: Sequence[str] = (*_HEADER, *(_WIDE if is_wide else ()))
    if members:
        rows = [peer_cells(row, is_wide=is_wide) for row in members]
        session.console.say(table(header if has_header else (), rows, width=session.console.width))
    for line in notes_on_peers(answer):
        session.console.note(line)


def _matrix(session: Session, agents: Sequence[Agent], output: str, *, has_header: bool) -> int:
    """Members in rows, sidecars of this machine in columns."""
    from meshd.cli.agents import ask_all
    from meshd.cli.peers_rows import Sight, sight_of
    from meshd.cli.tables import table

    answers = ask_all(agents, lambda agent: agent.page("peers", timeout_s=session.timeout_s))
    sight: Sight = sight_of(answers)
    if output in ("json", "yaml"):
        _say_document(session, sight.as_json(), output)
    else:
        header = ("NODE", *sight.observers)
        session.console.say(
            table(header if has_header else (), sight.rows(), width=session.console.width)
        )
        for node, why in sight.silent.items():
            session.console.warn(f"{node}: {why}")
    for node in sight.disputed:
        session.console.note(f"{node}: not all see it alike")
    return exits.OK if sight.is_well else exits.NO
