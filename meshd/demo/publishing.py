"""Publishing in the demo, with the time until every sidecar's Envoy has it in force.

Files go the way of `meshd put`; the bad one goes past it, through `etcdctl put`. The sidecars are asked before
the write to answer when the revision after the present one is in force, so that what is measured is theirs and
not the asking. One of them then says when, as far as it has heard by gossip, the whole mesh has it in force: what
`meshd put --wait` waits for.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from meshd.cli.agents import Agent
from meshd.cli.reading import read, refuse_errors
from meshd.cli.session import Session
from store.changes import plan_put
from store.errors import MeshError
from store.etcd.client import EtcdClient
from store.etcd.programs import find_program
from store.etcd.publishing import authorship, publish, read_current
from store.keys import object_key

__all__ = ["Published", "Publisher"]

IN_FORCE_S = 10.0
"""Milliseconds are normal; more than this is a failure."""


@dataclass(frozen=True, slots=True)
class Published:
    """One write, and when it was in force where."""

    revision: int
    lines: tuple[str, ...]
    """What was done to each object."""
    acknowledged_ms: float
    """From sending the write to etcd's answer."""
    in_force_ms: Mapping[str, float]
    """By host, from sending the write to Envoy's acknowledgement of all that it changes."""
    mesh_ms: float
    """From sending the write until the speaker had heard of each host that it has it in force."""
    mesh_hosts: int
    """Hosts that were waited for."""
    speaker: str
    """Who heard that."""


@dataclass(frozen=True, slots=True)
class _Written:
    revision: int
    lines: tuple[str, ...]
    sent_at: float
    acknowledged_at: float


@dataclass(slots=True)
class Publisher:
    """Writes to the demo's etcd and times the sidecars."""

    session: Session
    client: EtcdClient
    agents: Sequence[Agent]

    async def put(self, files: Sequence[Path], message: str) -> Published:
        """Put files as `meshd put` does, in one transaction."""
        return await self._timed(lambda: self._put(files, message))

    async def etcdctl_put(self, key: str, file: Path) -> Published:
        """Put a file's bytes under an absolute key with etcdctl; counted from etcdctl's start."""
        return await self._timed(lambda: self._etcdctl(key, file))

    async def _timed(self, write: Callable[[], _Written]) -> Published:
        before = await asyncio.to_thread(self._revision)
        waits = [
            asyncio.create_task(asyncio.to_thread(_wait, agent, before + 1))
            for agent in self.agents
        ]
        try:
            written = await asyncio.to_thread(write)
            speaker = self.agents[0]
            (mesh_hosts, mesh_at), *answers = await asyncio.gather(
                asyncio.to_thread(_wait_mesh, speaker, written.revision), *waits
            )
        finally:
            for wait in waits:
                wait.cancel()
        in_force = {}
        for agent, (revision, at) in zip(self.agents, answers, strict=True):
            if revision < written.revision:
                # Something else was written in between, a registration for instance.
                revision, at = await asyncio.to_thread(_wait, agent, written.revision)
            in_force[agent.node] = 1000 * (at - written.sent_at)
        return Published(
            written.revision,
            written.lines,
            1000 * (written.acknowledged_at - written.sent_at),
            in_force,
            1000 * (mesh_at - written.sent_at),
            mesh_hosts,
            speaker.node,
        )

    def _revision(self) -> int:
        return self.client.get_many([self.client.settings.prefix]).revision

    def _put(self, files: Sequence[Path], message: str) -> _Written:
        reading = read(self.session, [str(file) for file in files])
        refuse_errors(self.session, reading, "nothing was written")
        current = read_current(self.client, {object_key(ref) for ref in reading.refs})
        change_set = plan_put(
            (document.value for document in reading.documents),
            current.entries,
            revision=current.revision,
            default_namespace=self.session.namespace,
        )
        if not change_set.effective:
            raise MeshError("the demo's objects are there already; its steps have run before")
        sent_at = time.monotonic()
        done = publish(self.client, change_set, authorship("demo", message))
        acknowledged_at = time.monotonic()
        lines = tuple(f"{change.ref} {change.action}" for change in change_set.changes)
        return _Written(done.revision, lines, sent_at, acknowledged_at)

    def _etcdctl(self, key: str, file: Path) -> _Written:
        endpoint = self.client.settings.endpoints[0]
        sent_at = time.monotonic()
        done = subprocess.run(
            [str(find_program("etcdctl")), "--endpoints", endpoint, "put", key, "-w", "json"],
            input=file.read_bytes(),
            capture_output=True,
            env={"ETCDCTL_API": "3"},
            timeout=IN_FORCE_S,
            check=False,
        )
        acknowledged_at = time.monotonic()
        if done.returncode:
            raise MeshError(f"etcdctl put {key}: {done.stderr.decode(errors='replace').strip()}")
        revision = int(json.loads(done.stdout)["header"]["revision"])
        return _Written(revision, (f"{key} OK",), sent_at, acknowledged_at)


def _wait(agent: Agent, revision: int) -> tuple[int, float]:
    """The revision in force when that is `revision` or later, and when the answer came (monotonic seconds).

    Raises:
        MeshError: It did not come in time.
    """
    reply = agent.in_force(revision, IN_FORCE_S)
    at = time.monotonic()
    if reply.status != HTTPStatus.OK:
        raise MeshError(f"{agent.node}: revision {revision} is not in force after {IN_FORCE_S:g} s")
    return int(reply.document["revision_in_force"]), at


def _wait_mesh(speaker: Agent, revision: int) -> tuple[int, float]:
    """How many hosts have the revision in force, all of them, and when the speaker knew (monotonic seconds).

    Raises:
        MeshError: Somebody lags; each is named.
    """
    reply = speaker.in_force(revision, IN_FORCE_S, scope="mesh")
    at = time.monotonic()
    if reply.status != HTTPStatus.OK:
        lagging = ", ".join(f"{node} ({why})" for node, why in reply.document["lagging"].items())
        raise MeshError(
            f"{speaker.node} has not heard within {IN_FORCE_S:g} s that revision {revision} is in force at: {lagging}"
        )
    return int(reply.document["in_force"]), at
