"""`meshd status`: how the hosts of the mesh are, worst first; this machine's own in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from meshd.cli import exits
from meshd.cli.completing import complete_members
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

if TYPE_CHECKING:
    from meshd.cli.agents import Agent
    from meshd.cli.speaking import Speaker
    from meshd.cli.troubles import Judged
    from store.errors import MeshError

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
_TOLD = "TOLD"
_WIDE = ("ROLE", "MODE", "SERVICES", "REGISTRATION", "GOSSIP", "VERSION", "UP")


@verb(
    "status",
    examples=(
        "meshd status",
        "meshd status vm-7",
        "meshd status --local",
        "meshd status -o json | jq '.[] | select(.well | not)'",
    ),
)
@click.argument("nodes", nargs=-1, metavar="[NODE...]", shell_complete=complete_members)
@click.option("--local", is_flag=True, help="Only this machine's sidecars.")
@click.option("--no-headers", is_flag=True, help="Leave the titles of the table out.")
@output_option("table", "wide", "json")
def command(
    session: Session, /, nodes: tuple[str, ...], local: bool, no_headers: bool, output: str
) -> int:
    """Show how the hosts of the mesh are, worst first.

    This machine's sidecars are asked themselves; one of them that gossips tells of all other hosts, and TOLD says how
    long ago a host told it so. Below the table: every trouble with its reason; of this machine's sidecars also every
    quarantined object and every resource that Envoy refuses. The exit status is 1 when any host is not well. IN FORCE
    is the newest revision that Envoy has acknowledged; AGE says for how long nothing has confirmed that it is the
    newest of the store.
    """
    from meshd.cli.agents import find_agents
    from meshd.cli.troubles import worst_first
    from store.errors import AgentUnavailable

    run_dir = session.run_dir
    agents = find_agents(run_dir)
    if not agents:
        raise AgentUnavailable(
            f"no sidecar on this machine: {run_dir} has none",
            hint="Start one with `meshd-sidecar run`, or name their directory with --run-dir",
        )
    found, speaker = _hosts(session, agents, nodes, is_local=local)
    hosts = worst_first(found)
    if output == "json":
        from meshd.cli.forms import as_json_text

        session.console.say(as_json_text([one.as_json() for one in hosts]))
    else:
        _say(session, hosts, speaker, is_wide=output == "wide", has_header=not no_headers)
    if not local and speaker.agent is None:
        session.console.note(f"only this machine's sidecars, not the whole mesh: {speaker.why}")
    return exits.OK if all(one.is_well for one in hosts) else exits.NO


def _hosts(
    session: Session, agents: Sequence[Agent], nodes: Sequence[str], *, is_local: bool
) -> tuple[list[Judged], Speaker]:
    """The hosts that are meant, judged.

    Raises:
        NotFoundError: One that is named is not known.
    """
    from meshd.cli.agents import ask_all
    from meshd.cli.health import health_of
    from meshd.cli.members import alarms_of, members_of
    from meshd.cli.speaking import Speaker, best_speaker
    from store.errors import MeshError

    def ask(agent: Agent) -> tuple[Mapping[str, Any], Mapping[str, Any] | MeshError]:
        status = agent.status(timeout_s=session.timeout_s)
        try:
            return status, {} if is_local else agent.page("mesh", timeout_s=session.timeout_s)
        except MeshError as problem:
            return status, problem

    asked = [one for one in agents if not is_local or not nodes or one.node in nodes]
    answers: dict[str, Any] = ask_all(asked, ask)
    meshes = {node: one if isinstance(one, MeshError) else one[1] for node, one in answers.items()}
    speaker = Speaker(None) if is_local else best_speaker(asked, meshes)
    alarms = alarms_of(speaker.mesh)
    found: list[Judged] = [
        health_of(node, one if isinstance(one, MeshError) else one[0], alarms.get(node, ()))
        for node, one in answers.items()
    ]
    own = {one.node for one in found}
    found += [one for one in members_of(speaker.mesh) if one.node not in own]
    if not nodes:
        return found, speaker
    _check_known(session, nodes, [one.node for one in found], speaker, is_local=is_local)
    return [one for one in found if one.node in nodes], speaker


def _check_known(
    session: Session,
    nodes: Sequence[str],
    known: Sequence[str],
    speaker: Speaker,
    *,
    is_local: bool,
) -> None:
    from store.errors import NotFoundError

    for node in nodes:
        if node not in known:
            where = "on this machine" if is_local or speaker.agent is None else "in the mesh"
            has = f"It has: {', '.join(known[:20])}" if known else ""
            has += f" and {len(known) - 20} more" if len(known) > 20 else ""
            raise NotFoundError(
                f'no sidecar "{node}" {where}', hint=has or f"There is none in {session.run_dir}"
            )


def _say(
    session: Session,
    hosts: Sequence[Judged],
    speaker: Speaker,
    *,
    is_wide: bool,
    has_header: bool,
) -> None:
    from meshd.cli.tables import table

    newest = int((speaker.mesh.get("summary") or {}).get("newest") or 0)
    shows_told = speaker.agent is not None
    end = len(_HEADER) + shows_told
    header: Sequence[str] = (*(*_HEADER, _TOLD)[:end], *(_WIDE if is_wide else ()))
    rows = [[*one.cells(newest)[:end], *(one.wide_cells() if is_wide else ())] for one in hosts]
    session.console.say(table(header if has_header else (), rows, width=session.console.width))
    for one in hosts:
        for trouble in one.troubles:
            session.console.say_words(f"\n{one.node}: {trouble.text}")
            for line in trouble.details:
                session.console.say(f"  {line}")
