"""The checks of `meshd check`: store, objects, sidecars; those of gossip are in `meshd.cli.checks_gossip`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from meshd.cli.agents import ask_all, find_agents
from meshd.cli.check import Check, Outcome
from meshd.cli.checks_gossip import gossip_checks
from meshd.cli.health import health_of
from meshd.cli.session import Session
from meshd.cli.troubles import Severity
from store.errors import MeshError

if TYPE_CHECKING:
    from store.catalog import Catalog, Quarantined
    from store.etcd.client import EtcdClient

__all__ = ["run_checks"]

CLOCK_S_MAX = 60.0
"""How far in the future the newest record of history may be before clocks are said to disagree."""
SHOWN_MAX = 20
"""Bad objects that are named before the rest is counted."""


def run_checks(session: Session) -> list[Check]:
    """All checks; one that fails keeps none of the others from running that can run."""
    catalog: Catalog | None = None
    results: list[Check] = []
    with session.store() as client:
        results += _members(client)
        try:
            from meshd.cli.catalogs import load_catalog

            catalog = load_catalog(client)
        except MeshError as problem:
            results.append(_failed("store", f"the mesh cannot be read: {problem.message}", problem))
        else:
            results.append(_read(catalog))
            results += _clock(client)
            results += _objects(catalog)
    return [*results, *_sidecars(session, catalog), *_gossip(session, catalog)]


def _members(client: EtcdClient) -> Iterator[Check]:
    """Whether each member answers, has a leader, is of a sound version, and has space."""
    from store.etcd.versions import version_warning

    for endpoint, answer in zip(client.settings.endpoints, client.status(), strict=True):
        if isinstance(answer, MeshError):
            yield _failed("store", answer.message, answer)
            continue
        name = f"etcd {answer.version} at {endpoint}"
        warning = version_warning(endpoint, answer.version)
        if answer.errors:
            yield Check(
                "store",
                Outcome.FAILED,
                f"{name} raises an alarm: {', '.join(answer.errors)}",
                (
                    "`etcdctl alarm list`; NOSPACE: compact, defragment, then `etcdctl alarm disarm`",
                ),
            )
        elif not answer.leader_id:
            yield Check(
                "store", Outcome.FAILED, f"{name} has no leader", ("Are most members running?",)
            )
        elif warning:
            yield Check("store", Outcome.WARNING, f"{name} answers", (warning,))
        else:
            yield Check("store", Outcome.OK, f"{name} answers and has a leader")


def _read(catalog: Catalog) -> Check:
    snapshot = catalog.snapshot
    assert snapshot is not None, "a loaded catalog has a snapshot"
    if not len(snapshot):
        return Check(
            "store",
            Outcome.WARNING,
            "the store holds nothing under this prefix",
            ("`meshd put` writes the first object; --prefix names another place",),
        )
    return Check(
        "store",
        Outcome.OK,
        f"the mesh can be read: {len(snapshot)} keys at revision {snapshot.revision}",
    )


def _clock(client: EtcdClient) -> Iterator[Check]:
    """Whether the newest record of history is of our future: then its author's clock, or ours, is wrong."""
    from store.etcd.history import list_history

    try:
        records = list_history(client, limit=1).records
    except MeshError:
        return  # who may not read all of history still may run the other checks
    for record in records:
        try:
            ahead = datetime.fromisoformat(record.time) - datetime.now(UTC)
        except (ValueError, TypeError):
            continue
        if ahead.total_seconds() > CLOCK_S_MAX:
            yield Check(
                "store",
                Outcome.WARNING,
                f"the last change, by {record.author}, was made {ahead.total_seconds():.0f} s in the future",
                ("Put the clocks right (NTP): history sorts by them",),
            )


def _objects(catalog: Catalog) -> Iterator[Check]:
    """Whether every value serves, and what the analysis finds."""
    from meshd.cli.analysing import analyse_catalog
    from store.diagnostics import Level, render

    for row in catalog.quarantined[:SHOWN_MAX]:
        yield _quarantined(row)
    hidden = len(catalog.quarantined) - SHOWN_MAX
    if hidden > 0:
        yield Check("objects", Outcome.FAILED, f"and {hidden} more values do not serve")
    if not catalog.quarantined:
        yield Check("objects", Outcome.OK, f"all {len(catalog.objects)} objects are valid")
    for problem in analyse_catalog(catalog):
        outcome = Outcome.FAILED if problem.level is Level.ERROR else Outcome.WARNING
        if problem.level is not Level.INFO:
            said = render([replace(problem, hint="")]).strip()
            yield Check("objects", outcome, said, (problem.hint,) if problem.hint else ())


def _quarantined(row: Quarantined) -> Check:
    serving = (
        f"revision {row.serving_revision} of it serves"
        if row.serving_revision
        else "nothing of it serves"
    )
    reasons = (
        f"{one.code} {one.path + ': ' if one.path else ''}{one.message}" for one in row.diagnostics
    )
    text = f"{row.ref or row.key} at revision {row.revision} is quarantined; {serving}"
    return Check("objects", Outcome.FAILED, text, tuple(reasons))


def _sidecars(session: Session, catalog: Catalog | None) -> Iterator[Check]:
    """Whether each sidecar of this machine is well, and has what the store has."""
    try:
        agents = find_agents(session.run_dir)
    except MeshError as problem:
        yield _failed("sidecars", problem.message, problem)
        return
    if not agents:
        yield Check(
            "sidecars",
            Outcome.WARNING,
            f"no sidecar on this machine: {session.run_dir} has none",
            ("--run-dir names another directory; or run this on a host of the mesh",),
        )
    newest = _newest(catalog)
    answers = ask_all(agents, lambda agent: agent.status(timeout_s=session.timeout_s))
    for node, answer in answers.items():
        health = health_of(node, answer)
        for one in health.troubles:
            bad = one.severity >= Severity.DEGRADED
            text = one.text.removeprefix("error: ").removeprefix("warning: ")
            outcome = Outcome.FAILED if bad else Outcome.WARNING
            yield Check("sidecars", outcome, f"{node}: {text}", one.details)
        config = health.status.get("config") or {}
        received = config.get("revision_received") or 0
        if health.status and received < newest:
            yield Check(
                "sidecars",
                Outcome.FAILED,
                f"{node}: has received revision {received}, the store's newest change is {newest}",
                ("`meshd status` says what it is doing; --wait looks again",),
            )
        elif health.is_well:
            version = (health.status.get("envoy") or {}).get("version") or "unknown"
            in_force = config.get("revision_in_force")
            text = f"{node}: revision {in_force} in force in Envoy {version}"
            yield Check("sidecars", Outcome.OK, text)


def _gossip(session: Session, catalog: Catalog | None) -> Iterator[Check]:
    """Whether the hosts hear each other; nothing where there is no sidecar to ask."""
    try:
        agents = find_agents(session.run_dir)
    except MeshError:
        return  # the checks of sidecars say so
    if agents:
        yield from gossip_checks(session, agents, len(catalog.hosts) if catalog else 0)


def _newest(catalog: Catalog | None) -> int:
    """Revision of the newest key of the mesh; 0 where the store could not be read."""
    if catalog is None or catalog.snapshot is None:
        return 0
    return max((entry.mod_revision for entry in catalog.snapshot.entries()), default=0)


def _failed(group: str, text: str, problem: MeshError) -> Check:
    return Check(group, Outcome.FAILED, text, (problem.hint,) if problem.hint else ())
