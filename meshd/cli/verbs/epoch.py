"""`meshd epoch`: which etcd is followed by whom; a person's word that a replaced or restored one is right."""

from __future__ import annotations

import click

from meshd.cli import exits
from meshd.cli.completing import complete_nodes
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

__all__ = ["command"]


@click.group("epoch", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Show which etcd is followed; accept one that is held off."""


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


@verb("show", examples=("meshd epoch show", "meshd epoch show -o json | jq '.etcds[].holding'"))
@output_option("table", "json", "yaml")
def show(session: Session, /, output: str) -> int:
    """Show which etcd the hosts of the mesh follow, and who holds one off.

    By gossip; where it is off, of this machine alone. The exit status is 1 when more than one etcd is followed, or one
    is held off.
    """
    from meshd.cli.agents import ask_all
    from meshd.cli.asking import agents_of
    from meshd.cli.epoch_rows import etcds_of, held_here
    from meshd.cli.forms import as_json_text, as_yaml
    from meshd.cli.speaking import best_speaker
    from meshd.cli.tables import table
    from store.errors import MeshError

    agents = agents_of(session, None)
    told = ask_all(agents, lambda agent: agent.page("mesh", timeout_s=session.timeout_s))
    speaker = best_speaker(agents, told)
    answers = [one for one in told.values() if not isinstance(one, MeshError)]
    mesh = speaker.mesh or {"members": [row for one in answers for row in one.get("members", ())]}
    etcds = etcds_of(mesh)
    own = ask_all(agents, lambda agent: agent.status(timeout_s=session.timeout_s))
    held = [held_here(one) for one in own.values() if not isinstance(one, MeshError)]
    held = [line for line in held if line]
    if output in ("json", "yaml"):
        document = {"etcds": [etcd.as_json() for etcd in etcds], "held_here": held}
        text = as_json_text(document) if output == "json" else as_yaml([document]).rstrip("\n")
        session.console.say(text)
    else:
        rows = [etcd.cells() for etcd in etcds]
        header = ("ETCD", "HOSTS", "NEWEST", "HELD OFF BY")
        session.console.say(table(header, rows, width=session.console.width))
        for line in held:
            session.console.note(f"{line}; if that is the right one: meshd epoch accept")
        if speaker.agent is None:
            session.console.note(f"of this machine alone: {speaker.why}")
    is_one = len(etcds) == 1 and not held and not etcds[0].holding
    return exits.OK if is_one else exits.NO


command.add_command(accept)
command.add_command(show)
