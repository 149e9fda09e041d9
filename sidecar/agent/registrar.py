"""Keeps this host's registration in etcd: one key, one lease, renewed at a third of its life.

    OFF ──> WAITING ──> REGISTERING ──> REGISTERED <──> UNREACHABLE | TAKEN
                                             └──withdraw──> LEAVING ──> WITHDRAWN

Losing the lease is ordinary (etcd was stopped, or away for longer than the lease's life): a new one is granted
and the key written again. A key that another host with the same node id holds under a living lease is never
overwritten. Leaving is a step: `draining`, then `withdrawn`, then deleted, so that no one takes it for a death.
What the record says is decided by `sidecar.registration.record`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import trio

from sidecar.agent.log import log
from sidecar.agent.pauses import pause_s
from sidecar.registration.record import OwnRecord, Stage
from store.codec import decode
from store.errors import ConflictError, MeshError
from store.etcd.client import EtcdClient
from store.etcd.failures import LeaseLost
from store.keys import host_key
from store.objects.host import HostRegistration
from store.snapshot import Entry
from store.transactions import Guard, Put, Transaction

__all__ = ["HostTaken", "Registrar", "RegistrarView"]

RETRY_LONGEST_S = 5.0
LEAVE_WITHIN_S = 3.0
"""How long each step of leaving may take when etcd does not answer; the lease then runs out by itself."""

T = TypeVar("T")


class HostTaken(ConflictError):
    """Another host is registered under this host's node id; nothing was written."""


@dataclass(frozen=True, slots=True)
class RegistrarView:
    """What status shows."""

    state: str
    """`off`, `waiting`, `registering`, `registered`, `unreachable`, `taken`, `leaving`, `withdrawn`."""
    error: str = ""
    """Why it is not registered."""
    renewed_at_s: float | None = None
    """When the lease was last renewed, monotonic seconds."""
    ttl_s: float = 0.0
    """The lease's life."""


class Registrar:
    """The shell of one host's registration.

    Args:
        client: The store.
        record: What this host registers.
        ttl_s: Life of the lease.
    """

    def __init__(self, client: EtcdClient, record: OwnRecord, ttl_s: float) -> None:
        self._client = client
        self._record = record
        self._ttl_s = ttl_s
        self._lease = 0
        self._written: bytes | None = None
        self._written_revision = 0
        self._wake = trio.Event()
        self._running = trio.CancelScope()
        self._is_leaving = False
        self.view = RegistrarView("off")
        """What status shows."""

    @property
    def key(self) -> str:
        """The absolute key."""
        return f"{self._client.settings.prefix}/{host_key(self._record.host)}"

    @property
    def stage(self) -> Stage:
        """Where this host stands in its life."""
        return self._record.stage

    def describe(self) -> list[dict[str, object]]:
        """The workloads of this host, as plain JSON."""
        return [
            {
                "name": workload.name,
                "namespace": workload.namespace,
                "service": workload.service,
                "ports": [port.number for port in workload.ports],
                "address": self._record.address,
                "labels": dict(workload.labels),
                "annotations": dict(workload.annotations),
                "health": "unhealthy" if workload.name in self._record.unhealthy else "healthy",
                "inbound_ports": [port.inbound_port for port in workload.ports],
            }
            for workload in self._record.workloads
        ]

    def say(self, change: Callable[[OwnRecord], OwnRecord]) -> None:
        """Register something else from now on: written at once where this host is registered."""
        self._record = change(self._record)
        self._wake.set()

    def wait_for(self, reason: str) -> None:
        """Say why `run` has not been called yet."""
        if self.view.state in ("off", "waiting"):
            self.view = RegistrarView("waiting", reason)

    async def run(self) -> None:
        """Register and stay registered until cancelled or withdrawn; never gives up on etcd."""
        failures = 0
        if self._is_leaving:
            return
        self.view = RegistrarView("registering")
        with self._running:
            while True:
                try:
                    await self._renew()
                except MeshError as problem:
                    failures += 1
                    self._failed(problem)
                    await trio.sleep(pause_s(failures, RETRY_LONGEST_S))
                    continue
                failures = 0
                with trio.move_on_after(self.view.ttl_s / 3):
                    await self._wake.wait()
                self._wake = trio.Event()

    def compare(self, entry: Entry | None, revision: int) -> None:
        """The store holds this under our key at `revision`: mend it where it is not what was written.

        A key that is gone is written again at once. One that someone overwrote is mended with the next renewal:
        two writers must not chase each other.
        """
        if self._written is None or revision < self._written_revision or self._is_leaving:
            return
        if entry is None:
            log.warning("registration_missing", key=self.key)
            self._written = None
            self._wake.set()
        elif (entry.value, entry.lease) != (self._written, self._lease):
            log.warning("registration_overwritten", key=self.key, revision=entry.mod_revision)
            self._written = None

    async def withdraw(self, drain: Callable[[], Awaitable[None]] | None = None) -> None:
        """Withdraw in steps and delete the key; bounded in time, for etcd may be away. Later calls do nothing.

        Args:
            drain: Awaited between `draining` and `withdrawn`; returns when nothing is in flight.
        """
        if self._is_leaving:
            return
        self._is_leaving = True
        self._running.cancel()
        if not self._lease:
            return
        self.view = replace(self.view, state="leaving")
        if not await self._step(partial(self._enter, Stage.DRAINING)):
            return
        if drain is not None:
            await drain()
        if await self._step(self._end):
            self.view = replace(self.view, state="withdrawn")

    async def _step(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Whether a step of leaving was done in time."""
        reason = f"etcd did not answer within {LEAVE_WITHIN_S:g} s"
        with trio.move_on_after(LEAVE_WITHIN_S):
            try:
                await step()
                return True
            except MeshError as problem:
                reason = str(problem)
        log.warning("registration_not_withdrawn", key=self.key, reason=reason)
        self.view = replace(self.view, error=reason)
        return False

    async def _enter(self, stage: Stage) -> None:
        self._record = self._record.at(stage)
        await self._renew()

    async def _end(self) -> None:
        await self._enter(Stage.WITHDRAWN)
        await self._call(partial(self._client.lease_revoke, self._lease))  # deletes the key, too

    def _failed(self, problem: MeshError) -> None:
        state = "taken" if isinstance(problem, HostTaken) else "unreachable"
        if self.view.state != state:
            write = log.error if state == "taken" else log.warning
            write(f"registration_{state}", key=self.key, reason=str(problem))
        self.view = replace(self.view, state=state, error=str(problem))

    async def _renew(self) -> None:
        """Keep the lease alive, and write the key where that is due."""
        await self._hold_lease()
        value = self._record.encode()
        if value != self._written:
            await self._write(value)
            log.info("registered", key=self.key, stage=self._record.stage.value)
        self.view = replace(
            self.view,
            state="leaving" if self._is_leaving else "registered",
            error="",
            renewed_at_s=trio.current_time(),
        )

    async def _hold_lease(self) -> None:
        if self._lease:
            try:
                await self._call(partial(self._client.lease_keepalive, self._lease))
                return
            except LeaseLost:
                log.warning("registration_lost", reason="the lease ran out", key=self.key)
                self._lease, self._written = 0, None
        lease = await self._call(partial(self._client.lease_grant, self._ttl_s))
        self._lease, self._written = lease.id, None
        self.view = replace(self.view, ttl_s=lease.ttl_s)

    async def _write(self, value: bytes) -> None:
        """Write the key over what is there, unless that is another host's; an unknown outcome is read back.

        A call that was given up may still reach the store: the guard keeps it from overwriting what came later.
        """
        found = await self._call(partial(self._client.get, self.key))
        if found is not None and (found.value, found.lease) == (value, self._lease):
            self._written, self._written_revision = value, found.mod_revision
            return
        if found is not None and (owner := self._other_owner(found)):
            raise HostTaken(
                f'node id "{self._record.host}" is taken: a host at {owner} is registered under {self.key}',
                hint="Give every host a node id of its own; a host that moved is let in when its old lease ends",
            )
        guard = Guard(self.key, found.mod_revision if found is not None else 0)
        change = Transaction((guard,), (Put(self.key, value, self._lease),))
        committed = await self._call(partial(self._client.commit, change))
        self._written, self._written_revision = value, committed.revision

    def _other_owner(self, found: Entry) -> str:
        """Address of the other host whose living registration this is; empty when it is ours to replace."""
        if found.lease in (0, self._lease):
            return ""
        model = decode(host_key(self._record.host), found.value).object
        if not isinstance(model, HostRegistration) or model.address == self._record.address:
            return ""
        return model.address

    async def _call(self, call: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True)
