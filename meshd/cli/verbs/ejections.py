"""`meshd ejections`: what the mesh makes of failing endpoints, and an operator's word on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from meshd.cli import exits
from meshd.cli.completing import complete_destinations, complete_endpoints, complete_nodes
from meshd.cli.options import output_option, verb, verb_group
from meshd.cli.session import Session

__all__ = ["command"]

_HEADER = ("DESTINATION", "ENDPOINT", "STATE", "SINCE", "UNTIL", "OBSERVERS", "WHY")
_FROM = click.option(
    "--from", "node", metavar="NODE", shell_complete=complete_nodes, help="The sidecar to ask."
)
_FOR = click.option(
    "--for", "for_text", metavar="DURATION", default="", help="How long it holds.  [default: 10m]"
)
_REASON = click.option("--reason", default="", metavar="TEXT", help="Why; shown to everybody.")
_TAKE_BACK = click.option("--take-back", is_flag=True, help="End it now.")


@verb_group(
    "ejections",
    examples=(
        "meshd ejections",
        "meshd ejections -d reviews -o wide",
        "meshd ejections -o json | jq '.endpoints[] | select(.state == \"ejected\") | .witnesses'",
    ),
)
@_FROM
@click.option(
    *("-d", "--destination", "wanted"),
    metavar="HOST[:PORT]",
    default="",
    help="Only of this destination; the beginning of its name will do.",
)
@click.option("--no-headers", is_flag=True, help="Leave the titles of the table out.")
@output_option("table", "wide", "json")
def command(
    session: Session, /, node: str | None, wanted: str, no_headers: bool, output: str
) -> int:
    """Show accused and ejected endpoints: by whom, why, and why not.

    As one sidecar of this machine sees it; what the mesh decides is the same everywhere, what its own Envoy ejected
    (local) is its own. OBSERVERS: how many hosts accuse it, of those that use the destination, and how many it takes.
    -o wide adds what each of them counted. The exit status is 1 when there is no shared ejection.
    """
    from meshd.cli.asking import agents_of, ask_one

    answer = ask_one(session, agents_of(session, node), "ejections")
    endpoints = [row for row in answer.get("endpoints") or () if _is_meant(row, wanted)]
    if output == "json":
        from meshd.cli.forms import as_json_text

        session.console.say(as_json_text({**answer, "endpoints": endpoints}))
    else:
        _say(session, answer, endpoints, is_wide=output == "wide", has_header=not no_headers)
    return exits.OK if answer.get("state") == "on" else exits.NO


def _is_meant(row: Mapping[str, Any], wanted: str) -> bool:
    host, _, port = str(row.get("destination", "")).rpartition(":")
    wanted_host, _, wanted_port = wanted.partition(":")
    is_host = not wanted_host or host == wanted_host or host.startswith(f"{wanted_host}.")
    return is_host and wanted_port in ("", port)


def _say(
    session: Session,
    answer: Mapping[str, Any],
    endpoints: Sequence[Mapping[str, Any]],
    *,
    is_wide: bool,
    has_header: bool,
) -> None:
    from meshd.cli.ejections_rows import endpoint_cells, notes_on, override_line, witness_lines
    from meshd.cli.tables import table

    if endpoints:
        rows = [endpoint_cells(row) for row in endpoints]
        session.console.say(table(_HEADER if has_header else (), rows, width=session.console.width))
    for row in endpoints if is_wide else ():
        session.console.say(f"\n{row.get('destination')} {row.get('endpoint')}")
        for line in witness_lines(row):
            session.console.say(f"  {line}")
    for one in answer.get("overrides") or ():
        session.console.say(override_line(one))
    for line in notes_on(answer):
        session.console.note(line)
    if not endpoints and answer.get("state") == "on":
        session.console.note("no endpoint is accused or ejected")


@verb(
    "clear",
    examples=(
        "meshd ejections clear reviews:9080 10.0.0.7:8080",
        "meshd ejections clear reviews:9080 --yes --reason 'deployed a fix'",
    ),
)
@click.argument("destination", metavar="HOST:PORT", shell_complete=complete_destinations)
@click.argument("endpoint", metavar="[ADDRESS:PORT]", default="", shell_complete=complete_endpoints)
@_REASON
@_FROM
@click.option("--yes", is_flag=True, help="Do not ask before all endpoints are cleared.")
def clear(
    session: Session,
    /,
    destination: str,
    endpoint: str,
    reason: str,
    node: str | None,
    yes: bool,
) -> int:
    """End an ejection everywhere.

    Evidence from before this word no longer counts; new failures accuse the endpoint anew.
    Without an endpoint, all of the destination are meant.
    """
    if not endpoint:
        _confirm(session, f"clear all ejections of {destination}", is_agreed=yes)
    body = {"destination": destination, "endpoint": endpoint, "reason": reason}
    return _tell(session, node, "clear", body)


@verb(
    "pin",
    examples=(
        "meshd ejections pin reviews:9080 10.0.0.7:8080 --for 30m --reason 'load test'",
        "meshd ejections pin reviews:9080 10.0.0.7:8080 --take-back",
    ),
)
@click.argument("destination", metavar="HOST:PORT", shell_complete=complete_destinations)
@click.argument("endpoint", metavar="ADDRESS:PORT", shell_complete=complete_endpoints)
@_FOR
@_REASON
@_TAKE_BACK
@_FROM
def pin(
    session: Session,
    /,
    destination: str,
    endpoint: str,
    for_text: str,
    reason: str,
    take_back: bool,
    node: str | None,
) -> int:
    """Keep an endpoint from being ejected for a while.

    By what other hosts see, that is. Each host's own Envoy still ejects what fails for itself.
    """
    body = {"destination": destination, "endpoint": endpoint, "for": for_text, "reason": reason}
    return _tell(session, node, "pin", {**body, "take_back": take_back})


@verb(
    "pause",
    examples=(
        "meshd ejections pause reviews:9080 --for 1h --reason 'migration of its database'",
        "meshd ejections pause --yes --for 15m",
        "meshd ejections pause --take-back",
    ),
)
@click.argument(
    "destination", metavar="[HOST:PORT]", default="", shell_complete=complete_destinations
)
@_FOR
@_REASON
@_TAKE_BACK
@_FROM
@click.option("--yes", is_flag=True, help="Do not ask before all destinations are paused.")
def pause(
    session: Session,
    /,
    destination: str,
    for_text: str,
    reason: str,
    take_back: bool,
    node: str | None,
    yes: bool,
) -> int:
    """Pause shared ejection for a while.

    The mesh then ejects nothing of one destination, or of all. Each host's own Envoy still ejects what fails
    for itself.
    """
    if not destination and not take_back:
        _confirm(session, "pause shared ejection of all destinations", is_agreed=yes)
    body = {"destination": destination, "for": for_text, "reason": reason}
    return _tell(session, node, "pause", {**body, "take_back": take_back})


def _confirm(session: Session, deed: str, *, is_agreed: bool) -> None:
    """Ask a person before something wide; without a terminal, `--yes` must have said so."""
    if is_agreed:
        return
    if not session.console.is_interactive:
        raise click.UsageError(f"this would {deed}; say --yes to do so")
    click.confirm(f"{deed}?", abort=True, err=True)


def _tell(session: Session, node: str | None, kind: str, body: Mapping[str, Any]) -> int:
    from meshd.cli.asking import agents_of, speaking_agent
    from meshd.cli.ejections_rows import said_line

    agent = speaking_agent(session, agents_of(session, node))
    given = {name: value for name, value in body.items() if value not in ("", False)}
    session.console.say(said_line(agent.post(f"ejections/{kind}", given)))
    return exits.OK


command.add_command(clear)
command.add_command(pin)
command.add_command(pause)
