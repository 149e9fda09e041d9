"""`meshd keyring`: the keys that gossip is sealed with, on the sidecars of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from meshd.cli import exits
from meshd.cli.completing import complete_nodes
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

__all__ = ["command"]

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_NODE = click.option(
    "--node", metavar="NODE", shell_complete=complete_nodes, help="Only this sidecar."
)
_FILE = click.option(
    *("-f", "--file", "path"),
    metavar="FILE",
    default="",
    help="File with the key, or - for standard input.",
)


@click.group("keyring", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Make, list and change the keys that gossip is sealed with."""


@verb(
    "generate",
    examples=(
        "meshd keyring generate -f /var/lib/meshd/gossip.keys",
        "meshd keyring generate > new.key",
    ),
)
@click.option(
    *("-f", "--file", "path"), metavar="FILE", default="", help="Write it there, mode 0600."
)
def generate(session: Session, /, path: str) -> int:
    """Make a new key of 32 bytes.

    All hosts of a mesh share it: copy it to each by a way that nobody listens to. An existing file is left alone.
    """
    from meshd.cli.keys import new_key, write_new

    key = new_key()
    if path:
        write_new(path, f"{key}\n")
        session.console.note(f"{path}: written; copy it to every host of the mesh")
    else:
        session.console.say(key)
    return exits.OK


@verb("list", examples=("meshd keyring list", "meshd keyring list -o json"))
@_NODE
@click.option("--no-headers", is_flag=True, help="Leave the titles of the table out.")
@output_option("table", "json")
def show(session: Session, /, node: str | None, no_headers: bool, output: str) -> int:
    """List the keys of this machine's sidecars, by fingerprint.

    The first one seals, all of them open. The exit status is 1 when sidecars have different keys, or none.
    """
    from meshd.cli.agents import ask_all
    from meshd.cli.asking import agents_of
    from store.errors import MeshError

    agents = agents_of(session, node)
    answers: dict[str, Any] = ask_all(
        agents, lambda agent: agent.page("keyring", timeout_s=session.timeout_s)
    )
    if output == "json":
        from meshd.cli.forms import as_json_text

        plain = {
            name: {"error": str(one)} if isinstance(one, MeshError) else one
            for name, one in answers.items()
        }
        session.console.say(as_json_text(plain))
    else:
        _say(session, answers, has_header=not no_headers)
    rings = {
        () if isinstance(one, MeshError) else tuple(one.get("keys") or ())
        for one in answers.values()
    }
    return exits.OK if len(rings) == 1 and () not in rings else exits.NO


def _say(session: Session, answers: Mapping[str, Any], *, has_header: bool) -> None:
    from meshd.cli.tables import table
    from store.errors import MeshError

    rows = []
    for node, answer in answers.items():
        if isinstance(answer, MeshError):
            session.console.warn(f"{node}: error: {answer}")
            continue
        gossip = answer.get("gossip") or {}
        if gossip.get("state") != "on":
            session.console.note(f"gossip is off on {node}: {gossip.get('reason', '')}")
        for place, key in enumerate(answer.get("keys") or ()):
            rows.append([node, str(key), "seals" if place == 0 else "opens"])
        if answer.get("error"):
            session.console.warn(f"{node}: error: {answer['error']}")
    if rows:
        header = ("NODE", "KEY", "USE")
        session.console.say(table(header if has_header else (), rows, width=session.console.width))


@verb(
    "install",
    examples=("meshd keyring install -f new.key", "ssh vault cat key | meshd keyring install -f -"),
)
@_FILE
@_NODE
def install(session: Session, /, path: str, node: str | None) -> int:
    """Let this machine's sidecars open with a further key.

    To change the key of a mesh without a gap: install the new one on every host, then use it on every host, then
    remove the old one on every host. Hosts that were away get it by their key file.
    """
    if not path:
        raise click.UsageError(
            "which key? -f FILE, or -f - for standard input; never as an argument"
        )
    return _change(session, node, "install", "", path)


@verb("use", examples=("meshd keyring use 0123456789abcdef", "meshd keyring use -f new.key"))
@click.argument("fingerprint", default="", metavar="[FINGERPRINT]")
@_FILE
@_NODE
def use(session: Session, /, fingerprint: str, path: str, node: str | None) -> int:
    """Seal with a key that is installed: do so once it is installed on every host."""
    return _change(session, node, "use", fingerprint, path)


@verb("remove", examples=("meshd keyring remove 0123456789abcdef",))
@click.argument("fingerprint", default="", metavar="[FINGERPRINT]")
@_FILE
@_NODE
def remove(session: Session, /, fingerprint: str, path: str, node: str | None) -> int:
    """Forget a key: do so once every host seals with another one."""
    return _change(session, node, "remove", fingerprint, path)


def _change(session: Session, node: str | None, deed: str, fingerprint: str, path: str) -> int:
    from meshd.cli.agents import ask_all
    from meshd.cli.asking import agents_of
    from store.errors import MeshError

    which = _which(fingerprint, path)
    agents = agents_of(session, node)
    done: dict[str, Any] = ask_all(
        agents, lambda agent: agent.post(f"keyring/{deed}", {"key": which})
    )
    status = exits.OK
    for name, answer in done.items():
        if isinstance(answer, MeshError):
            session.console.warn(f"{name}: error: {answer}")
            status = max(status, answer.exit_status)
            continue
        told = "done" if answer.get("changed") else "nothing to do"
        keys = [str(key) for key in answer.get("keys") or ()]
        rest = f", opens {', '.join(keys[1:])}" if keys[1:] else ""
        session.console.say(f"{name}: {told}; seals with {keys[0] if keys else 'none'}{rest}")
    return status


def _which(fingerprint: str, path: str) -> str:
    """The key that is meant: its fingerprint, or the text in a file. A key on the command line is refused unread."""
    from meshd.cli.keys import read_key

    if bool(fingerprint) == bool(path):
        raise click.UsageError("which key? Its fingerprint (`meshd keyring list`), or -f FILE")
    if path:
        return read_key(path)
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise click.UsageError(
            "that is no fingerprint (16 hexadecimal digits, see `meshd keyring list`); "
            "a key itself is taken from a file or standard input only (-f): "
            "arguments are seen by every user of the machine"
        )
    return fingerprint


for _part in (generate, show, install, use, remove):
    command.add_command(_part)
