"""The checks of gossip: whether hosts hear each other, believe each other, and have the same configuration.

Asked of the sidecars of this machine alone; what they say of other hosts is what gossip told them. What a sidecar's own
status shows of its gossip (its name is taken, a file is broken) is left to the checks of sidecars.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from meshd.cli.agents import Agent, ask_all
from meshd.cli.check import Check, Outcome
from meshd.cli.members import Member, alarms_of, members_of
from meshd.cli.peers_rows import refusals
from meshd.cli.session import Session
from meshd.cli.speaking import best_speaker, is_on
from meshd.cli.troubles import Severity
from store.errors import MeshError

__all__ = ["gossip_checks"]

GROUP = "gossip"
HEALTH_MAX = 2
"""Local health up to which a host is well enough; 7 is the worst."""
CLOCK_S_MAX = 60.0
"""How far in the future a boot epoch may be: it is made from its host's clock."""
SHOWN_MAX = 10
"""Hosts that one line names."""
_HERE = ("alive", "suspect")

Json = Mapping[str, Any]


def gossip_checks(
    session: Session, agents: Sequence[Agent], registered: int, *, now_s: float | None = None
) -> Iterator[Check]:
    """All checks of gossip.

    Args:
        session: How long to wait for an answer.
        agents: Sidecars of this machine.
        registered: Hosts that etcd knows of; 0 where that could not be read.
        now_s: Seconds since 1970; the clock's where it is not given.
    """
    wall_s = time.time() if now_s is None else now_s
    answers: dict[str, Any] = ask_all(
        agents, lambda agent: agent.page("peers", timeout_s=session.timeout_s)
    )
    peers = {node: one for node, one in answers.items() if not isinstance(one, MeshError)}
    yield from _off(peers)
    for node, answer in peers.items():
        if is_on(answer):
            yield from _of_one(node, answer, registered, wall_s)
    yield from _keys(peers)
    if any(is_on(answer) for answer in peers.values()):
        yield from _of_mesh(session, agents)


def _off(peers: Mapping[str, Json]) -> Iterator[Check]:
    """Sidecars without gossip, by the reason."""
    silent: dict[str, list[str]] = {}
    for node, answer in peers.items():
        if not is_on(answer):
            reason = str((answer.get("gossip") or {}).get("reason", ""))
            silent.setdefault(reason, []).append(node)
    for reason, nodes in silent.items():
        yield Check(
            GROUP,
            Outcome.WARNING,
            f"gossip is off on {_some(nodes)}: {reason}",
            (
                "Without it, status and --wait speak for single machines, and each Envoy learns alone what fails",
                "`meshd keyring generate` makes a key; all hosts of the mesh share it (gossip.key_file)",
            ),
        )


def _of_one(node: str, answer: Json, registered: int, wall_s: float) -> Iterator[Check]:
    """Whether one sidecar hears the others and is believed."""
    bad = [
        *_deaf(node, answer, registered),
        *_trust(node, answer),
        *_down(node, answer),
        *_clocks(node, answer, wall_s),
        *_seeds(node, answer),
    ]
    yield from bad
    if not bad:
        alive = (answer.get("counts") or {}).get("alive", 1)
        yield Check(GROUP, Outcome.OK, f"{node}: {alive} members alive, itself among them")


def _deaf(node: str, answer: Json, registered: int) -> Iterator[Check]:
    others = [row for row in answer.get("members") or () if row.get("status") in _HERE]
    if not others and registered > 1:
        yield Check(
            GROUP,
            Outcome.FAILED,
            f"{node} hears no other member, though {registered} hosts are registered",
            (
                f"Is its gossip port open for UDP and TCP ({(answer.get('own') or {}).get('address', '')})?",
                "Do all hosts have the same key and mesh id? `meshd keyring list` there and here",
            ),
        )
    health = answer.get("health") or 0
    if health > HEALTH_MAX:
        yield Check(
            GROUP,
            Outcome.WARNING,
            f"{node} is slow to hear itself: local health {health} of 7, 0 is well",
            ("Look at its CPU and network; it accuses others more slowly meanwhile",),
        )
    degraded = [row["node"] for row in others if row.get("udp_degraded")]
    if degraded:
        yield Check(
            GROUP,
            Outcome.WARNING,
            f"{node} reaches {_some(degraded)} over TCP only",
            ("Open the gossip port for UDP between them",),
        )


def _trust(node: str, answer: Json) -> Iterator[Check]:
    if answer.get("closed") and answer.get("admitted") is not True:
        yield Check(
            GROUP,
            Outcome.FAILED,
            f"{node} is not believed: admission is closed, and no admission record names its key",
            (f"Write one with its publicKey: {(answer.get('own') or {}).get('public_key', '')}",),
        )
    elif answer.get("admitted") is False:
        yield Check(
            GROUP,
            Outcome.FAILED,
            f"{node} is not believed: its admission record names another key",
            ("It was reinstalled, or its key file is lost: put the new publicKey into the record",),
        )
    for text in refusals(answer):
        yield Check(GROUP, Outcome.WARNING, f"{node}: {text}")


def _down(node: str, answer: Json) -> Iterator[Check]:
    for status in ("suspect", "dead"):
        names = [row["node"] for row in answer.get("members") or () if row.get("status") == status]
        if names:
            yield Check(
                GROUP,
                Outcome.WARNING,
                f"{node} holds {_some(names)} for {status}",
                ("`meshd peers` says since when; `--matrix` whether all see it so",),
            )


def _clocks(node: str, answer: Json, wall_s: float) -> Iterator[Check]:
    """Whether a life began in our future: then its clock was ahead, or ours is behind."""
    rows = [(answer.get("node", node), answer.get("epoch"))]
    rows += [(row.get("node"), row.get("epoch")) for row in answer.get("members") or ()]
    ahead = [
        f"{name} ({epoch / 1000 - wall_s:.0f} s)"
        for name, epoch in rows
        if isinstance(epoch, int) and epoch / 1000 - wall_s > CLOCK_S_MAX
    ]
    if ahead:
        yield Check(
            GROUP,
            Outcome.WARNING,
            f"began in the future, by this machine's clock: {_some(ahead)}",
            ("Put the clocks right (NTP); gossip itself does not go by them",),
        )


def _seeds(node: str, answer: Json) -> Iterator[Check]:
    own = answer.get("own") or {}
    if own.get("unresolved_seeds"):
        names = _some(own["unresolved_seeds"])
        yield Check(GROUP, Outcome.WARNING, f"{node}: seeds that cannot be resolved: {names}")


def _keys(peers: Mapping[str, Json]) -> Iterator[Check]:
    rings: dict[tuple[str, ...], list[str]] = {}
    for node, answer in peers.items():
        if is_on(answer):
            keys = tuple((answer.get("own") or {}).get("keys") or ())
            rings.setdefault(keys, []).append(node)
    if len(rings) > 1:
        yield Check(
            GROUP,
            Outcome.WARNING,
            "the sidecars of this machine have different keys",
            ("`meshd keyring list`; finish the change: install, use, remove, each on every host",),
        )


def _of_mesh(session: Session, agents: Sequence[Agent]) -> Iterator[Check]:
    """What one of them tells of every other host."""
    answers: dict[str, Any] = ask_all(
        agents, lambda agent: agent.page("mesh", timeout_s=session.timeout_s)
    )
    mesh = best_speaker(agents, answers).mesh
    alarms = {one.text: one for ones in alarms_of(mesh).values() for one in ones}
    for text, alarm in alarms.items():
        yield Check(GROUP, Outcome.FAILED, text.removeprefix("error: "), alarm.details)
    versions = mesh.get("versions") or {}
    if len(versions) > 1:
        told = "; ".join(f"{version}: {_some(nodes)}" for version, nodes in versions.items())
        yield Check(
            GROUP,
            Outcome.WARNING,
            f"{len(versions)} versions of the sidecar run in the mesh: {told}",
        )
    here = {agent.node for agent in agents}
    for one in members_of(mesh):
        if one.node not in here and one.told.get("status") == "alive":
            yield from _of_other(one, alarms)
    summary = mesh.get("summary") or {}
    if summary and not summary.get("lagging"):
        yield Check(
            GROUP,
            Outcome.OK,
            f"all {summary.get('members')} hosts have revision {summary.get('newest')} in force",
        )


def _of_other(one: Member, alarms: Container[str]) -> Iterator[Check]:
    for trouble in one.troubles:
        if trouble.severity >= Severity.DEGRADED and trouble.text not in alarms:
            text = trouble.text.removeprefix("error: ").removeprefix("warning: ")
            yield Check(GROUP, Outcome.FAILED, f"{one.node}: {text}", trouble.details)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(str(name) for name in names[:SHOWN_MAX])
    return f"{shown} and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else shown
