"""Completion of kinds and of names in the store, in a shell. Never blocks for long, and never complains.

Names are asked for with a short deadline and remembered for a few seconds, so that pressing Tab again costs nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from meshd.cli.session import Session
from store.errors import MeshError
from store.objects.kinds import KINDS, Kind, kind_named

__all__ = [
    "complete_destinations",
    "complete_endpoints",
    "complete_members",
    "complete_names",
    "complete_nodes",
]

BUDGET_S = 0.3
"""How long the store may take before completion goes without its names."""
REMEMBERED_S = 5.0
"""How long names are remembered."""


def complete_names(
    context: click.Context,
    parameter: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[str]:
    """Kinds for the first word; names of that kind behind it, or behind `KIND/`."""
    words = [str(word) for word in context.params.get("names") or ()]
    session = Session(context.ensure_object(dict))
    kind, slash, start = incomplete.partition("/")
    if slash:
        return [f"{kind}/{name}" for name in _names(session, kind) if name.startswith(start)]
    if words and "/" not in words[0]:
        return [name for name in _names(session, words[0]) if name.startswith(incomplete)]
    spellings = [name for row in KINDS.values() for name in (row.plural, *row.short)]
    return [name for name in (*spellings, "all") if name.startswith(incomplete.lower())]


def complete_nodes(
    context: click.Context,
    parameter: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[str]:
    """Sidecars of this machine."""
    from meshd.cli.agents import find_agents

    try:
        agents = find_agents(Session(context.ensure_object(dict)).run_dir)
    except MeshError:
        return []
    return [agent.node for agent in agents if agent.node.startswith(incomplete)]


def complete_members(
    context: click.Context,
    parameter: click.Parameter,
    incomplete: str,
) -> list[str]:
    """Hosts of the mesh; sidecars of this machine where none of them gossips."""
    from meshd.cli.agents import find_agents
    from meshd.cli.speaking import find_speaker

    try:
        agents = find_agents(Session(context.ensure_object(dict)).run_dir)
    except MeshError:
        return []
    mesh = find_speaker(agents, timeout_s=BUDGET_S).mesh
    told = [str(row.get("node")) for row in mesh.get("members") or ()]
    found = {*complete_nodes(context, parameter, incomplete), *told}
    return sorted(node for node in found if node.startswith(incomplete))


def complete_destinations(
    context: click.Context,
    parameter: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[str]:
    """Destinations of which an endpoint is accused or ejected."""
    found = {str(row.get("destination")) for row in _ejections(context)}
    return sorted(name for name in found if name.startswith(incomplete))


def complete_endpoints(
    context: click.Context,
    parameter: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[str]:
    """Endpoints of the destination that are accused or ejected."""
    wanted = str(context.params.get("destination") or "")
    rows = [row for row in _ejections(context) if row.get("destination") == wanted]
    found = {str(row.get("endpoint")) for row in rows}
    return sorted(name for name in found if name.startswith(incomplete))


def _ejections(context: click.Context) -> list[Mapping[str, Any]]:
    """What one sidecar of this machine says of endpoints; nothing when none answers in time."""
    from meshd.cli.asking import ask_one

    session = Session(context.ensure_object(dict))
    patient = Session({**session.given, "request_timeout_s": str(BUDGET_S)}, session.environment)
    try:
        from meshd.cli.agents import find_agents

        agents = find_agents(patient.run_dir)
        return list(ask_one(patient, agents, "ejections").get("endpoints") or ()) if agents else []
    except MeshError:
        return []


def _names(session: Session, word: str) -> list[str]:
    """Names of one kind in the session's namespace; none when they cannot be had in time."""
    kind = kind_named(word)
    if kind is None or kind is Kind.MESH_CONFIG:
        return [] if kind is None else ["mesh"]
    try:
        patient = Session(
            {**session.given, "request_timeout_s": str(BUDGET_S)}, session.environment
        )
        return _remembered(patient, f"ns/{session.namespace}/{KINDS[kind].plural}")
    except (MeshError, OSError, ValueError):
        return []


def _remembered(session: Session, folder: str) -> list[str]:
    from store.keys import absolute_key

    with session.store() as client:
        settings = client.settings
        place = f"{','.join(settings.endpoints)}{absolute_key(settings.prefix, folder)}"
        file = _cache_file(session)
        known = _read(file)
        if place in known and 0 <= time.time() - known[place]["at"] <= REMEMBERED_S:
            return [str(name) for name in known[place]["names"]]
        names = sorted(client.keys_only(absolute_key(settings.prefix, folder)).mod_revisions)
    fresh = {key: row for key, row in known.items() if time.time() - row["at"] <= REMEMBERED_S}
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({**fresh, place: {"at": time.time(), "names": names}}))
    temporary.replace(file)
    return names


def _cache_file(session: Session) -> Path:
    base = session.environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "meshd" / "completion.json"


def _read(file: Path) -> dict[str, Any]:
    """What is remembered; nothing where the file is absent or not as we write it."""
    try:
        known = json.loads(file.read_text())
        return {place: row for place, row in known.items() if isinstance(row["at"], float)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
