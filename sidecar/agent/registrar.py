"""Keeps this host's registration in etcd: one key, one lease, renewed at a third of its life.

Losing the lease is ordinary (etcd was stopped, or away for longer than the lease's life): a new one is granted
and the key written again. Leaving is a step: `draining`, then `withdrawn`, then deleted, so that no one takes it
for a death. What the record says is decided by `sidecar.registration.record`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import trio

from sidecar.agent.log import log
from sidecar.registration.record import OwnRecord, Stage
from store.errors import MeshError, StoreUnavailable
from store.etcd.client import EtcdClient
from store.etcd.failures import LeaseLost
from store.keys import host_key

__all__ = ["Registrar", "RegistrarView"]

RETRY_FIRST_S = 0.2
RETRY_LONGEST_S = 5.0
LEAVE_WITHIN_S = 3.0
"""How long leaving may take when etcd does not answer; afterwards the lease runs out by itself."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RegistrarView:
    """What status shows."""

    state: str
    """`off`, `registering`, `registered`, `unreachable`, `leaving`, `withdrawn`."""
    error: str = ""
    """Why it is unreachable."""
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
        self._again = trio.Event()
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
                "inbound_ports": [port.inbound_port for port in workload.ports],
            }
            for workload in self._record.workloads
        ]

    async def run(self, on_registered: Callable[[], None] = lambda: None) -> None:
        """Register and stay registered until cancelled; never gives up on etcd."""
        failures = 0
        self.view = RegistrarView("registering")
        while True:
            try:
                await self._renew()
            except LeaseLost:
                log.warning("registration_lost", reason="the lease ran out", key=self.key)
                self._lease, self._written = 0, None
                continue
            except MeshError as problem:
                failures += 1
                if failures == 1:
                    log.warning("registration_unreachable", reason=str(problem))
                self.view = replace(self.view, state="unreachable", error=str(problem))
                ceiling = min(RETRY_LONGEST_S, RETRY_FIRST_S * 2**failures)
                await trio.sleep(random.uniform(RETRY_FIRST_S / 2, ceiling))
                continue
            failures = 0
            on_registered()
            with trio.move_on_after(self.view.ttl_s / 3):
                await self._again.wait()
            self._again = trio.Event()

    def write_again(self, record: OwnRecord | None = None) -> None:
        """The key must be written now: the record changed, or the store no longer has the key."""
        self._record = record or self._record
        self._written = None
        self._again.set()

    async def leave(self, drain: Callable[[], object] | None = None) -> None:
        """Withdraw in steps and delete the key; bounded in time, for etcd may be away.

        Args:
            drain: Awaited between `draining` and `withdrawn`; returns when nothing is in flight.
        """
        if self.view.state == "off":
            return
        with trio.move_on_after(LEAVE_WITHIN_S) as scope:
            scope.shield = True
            self.view = replace(self.view, state="leaving")
            try:
                await self._step(Stage.DRAINING)
            except MeshError as problem:
                log.warning("registration_not_withdrawn", reason=str(problem))
                return
        if drain is not None:
            with trio.CancelScope(shield=True):
                await drain()  # type: ignore[misc]
        with trio.move_on_after(LEAVE_WITHIN_S) as scope:
            scope.shield = True
            try:
                await self._step(Stage.WITHDRAWN)
                await self._call(partial(self._client.lease_revoke, self._lease))
                self.view = replace(self.view, state="withdrawn")
            except MeshError as problem:
                log.warning("registration_not_withdrawn", reason=str(problem))

    async def _step(self, stage: Stage) -> None:
        self._record = self._record.at(stage)
        self._written = None
        await self._renew()

    async def _renew(self) -> None:
        if not self._lease:
            lease = await self._call(partial(self._client.lease_grant, self._ttl_s))
            self._lease = lease.id
            self.view = replace(self.view, ttl_s=lease.ttl_s)
        else:
            await self._call(partial(self._client.lease_keepalive, self._lease))
        value = self._record.encode()
        if value != self._written:
            try:
                await self._call(partial(self._client.put, self.key, value, lease=self._lease))
            except StoreUnavailable:
                self._written = None
                raise
            self._written = value
            log.info("registered", key=self.key, stage=self._record.stage.value)
        self.view = replace(
            self.view,
            state="leaving" if self._record.stage is not Stage.SERVING else "registered",
            error="",
            renewed_at_s=trio.current_time(),
        )

    async def _call(self, call: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True)
