"""`meshd version`: what runs where, and whether the versions fit."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version as installed
from typing import Any

import click

from meshd.cli import exits
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session
from store.errors import MeshError

__all__ = ["command"]

_ETCD_S = "2"
"""Deadline of asking etcd for its version, unless told: nobody waits long for a version."""


@verb("version", examples=("meshd version", "meshd version --client", "meshd version -o json"))
@click.option("--client", "only_client", is_flag=True, help="Only this program; ask nobody.")
@output_option("text", "json")
def command(session: Session, /, only_client: bool, output: str) -> int:
    """Show versions of this program, the sidecars and etcd.

    What cannot be asked is said, and is no failure.
    """
    own = installed("meshd")
    sidecars: dict[str, Any] = {} if only_client else _sidecars(session)
    members: list[Mapping[str, str]] = [] if only_client else _members(session)
    if output == "json":
        from meshd.cli.forms import as_json_text

        parts = {} if only_client else {"sidecars": sidecars, "etcd": members}
        session.console.say(as_json_text({"client": own, **parts}))
        return exits.OK
    session.console.say(f"meshd      {own}")
    for node, row in sidecars.items():
        if "error" in row:
            session.console.say(f"sidecar    {node}: {row['error']}")
            continue
        session.console.say(
            f"sidecar    {row['version']}  {node}  (Envoy {row['envoy'] or 'unknown'})"
        )
        if row["version"] != own:
            session.console.note(f"warning: {node} runs {row['version']}, this program is {own}")
    for member in members:
        told = member.get("version") or member.get("error", "")
        session.console.say(f"etcd       {told}  {member['endpoint']}".rstrip())
        if member.get("warning"):
            session.console.note(f"warning: {member['warning']}")
    return exits.OK


def _sidecars(session: Session) -> dict[str, Any]:
    from meshd.cli.agents import ask_all, find_agents

    try:
        answers = ask_all(
            find_agents(session.run_dir), lambda agent: agent.status(timeout_s=session.timeout_s)
        )
    except MeshError as problem:
        return {str(session.run_dir): {"error": str(problem)}}
    return {
        node: {"error": str(answer)}
        if isinstance(answer, MeshError)
        else {
            "version": str(answer.get("version", "")),
            "envoy": str((answer.get("envoy") or {}).get("version", "")),
        }
        for node, answer in answers.items()
    }


def _members(session: Session) -> list[Mapping[str, str]]:
    from store.etcd.versions import version_warning

    patient = Session({"request_timeout_s": _ETCD_S, **session.given}, session.environment)
    with patient.store() as client:
        endpoints = client.settings.endpoints
        answers = client.status()
    rows: list[Mapping[str, str]] = []
    for endpoint, answer in zip(endpoints, answers, strict=True):
        if isinstance(answer, MeshError):
            rows.append({"endpoint": endpoint, "error": answer.message})
        else:
            warning = version_warning(endpoint, answer.version)
            rows.append({"endpoint": endpoint, "version": answer.version, "warning": warning or ""})
    return rows
