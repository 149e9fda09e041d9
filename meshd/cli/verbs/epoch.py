"""`meshd epoch accept`: a person's word that a replaced or restored etcd is the right one."""

from __future__ import annotations

import click

from meshd.cli import exits
from meshd.cli.completing import complete_nodes
from meshd.cli.options import verb
from meshd.cli.session import Session

__all__ = ["command"]


@click.group("epoch", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Accept a replaced or restored etcd that a sidecar holds off."""


@verb("accept", examples=("meshd epoch accept", "meshd epoch accept vm-7"))
@click.argument("nodes", nargs=-1, metavar="[NODE...]", shell_complete=complete_nodes)
def accept(session: Session, /, nodes: tuple[str, ...]) -> int:
    """Make sidecars of this machine follow the etcd that they hold off.

    An etcd with another cluster id, or whose revision went back, is followed by itself only when little of the mesh
    would change. Look at `meshd status` and at the store first: what it lacks is gone from the mesh then.
    """
    from meshd.cli.agents import agent_named, ask_all, find_agents
    from store.errors import AgentUnavailable, ConflictError, MeshError

    agents = [agent_named(session.run_dir, node) for node in nodes] or find_agents(session.run_dir)
    if not agents:
        raise AgentUnavailable(f"no sidecar on this machine: {session.run_dir} has none")
    status = exits.OK
    for node, answer in ask_all(agents, lambda agent: agent.accept_epoch()).items():
        if isinstance(answer, ConflictError) and not nodes:
            session.console.say(f"{node}: holds nothing off")
        elif isinstance(answer, MeshError):
            session.console.warn(f"{node}: error: {answer}")
            status = max(status, answer.exit_status)
        else:
            session.console.say(f"{node}: accepted")
    return status


command.add_command(accept)
