"""Keeps what this host says of its workloads in step with their WorkloadGroups and probes.

A group that changes changes the registration, the listeners in front of the applications, and how they are probed; a
probe that changes its mind changes the registration. Decides nothing: `host_facts` and `sidecar.registration` do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import trio

from sidecar.agent.bell import Bell
from sidecar.agent.host_facts import HostFacts
from sidecar.agent.listening import wait_listening
from sidecar.agent.log import log
from sidecar.agent.readiness_side import ReadinessSide
from sidecar.agent.registrar import Registrar
from sidecar.agent.settings import SidecarSettings
from sidecar.mesh.mesh import Mesh
from sidecar.node.events import LocalPortsChanged
from sidecar.xds.events import SessionView
from sidecar.xds.resource import TypeUrl

__all__ = ["OwnWorkloads"]


class OwnWorkloads:
    """See the module's text.

    Args:
        settings: The effective settings.
        facts: What follows from them.
        registrar: Told what to register.
        serve: Told the ports of local workloads when they are others than before.
        until_served: Returns when all those ports take connections in Envoy.
        changed: Rings whenever the mesh may have changed.
    """

    def __init__(
        self,
        settings: SidecarSettings,
        facts: HostFacts,
        registrar: Registrar,
        *,
        serve: Callable[[LocalPortsChanged], None],
        until_served: Callable[[], Awaitable[None]],
        changed: Bell,
    ) -> None:
        self._settings = settings
        self._facts = facts
        self._until_served = until_served
        self._changed = changed
        self._silent: frozenset[str] = frozenset()
        self._silence_ended = trio.Event()
        self._registrar = registrar
        self._serve = serve
        self._has_recalled = False
        self.readiness = ReadinessSide(
            exec_allowed=settings.registration.exec_probes, changed=self.say
        )
        """Probes."""

    def follow(self, mesh: Mesh | None) -> bool:
        """Take the groups as the mesh has them now; whether `say_when_served` is due."""
        if mesh is None:
            return False
        if not self._has_recalled:
            self._has_recalled = True
            if (before := mesh.registrations.get(self._settings.node)) is not None:
                self._facts.recall(before)
        if not self._facts.follow(mesh.objects):
            return False
        log.info(
            "workload_group_followed", missing=[str(ref) for ref in self._facts.missing_groups]
        )
        self.readiness.follow(self._facts.probes())
        facts = self._facts
        self._serve(LocalPortsChanged(facts.inbound(), facts.record().workloads, facts.contexts()))
        return True

    async def register(self) -> None:
        """Register once what peers are to connect to is there: a refused listener would be a black hole.

        That is: its listeners, and an application that takes connections, the first of several; the others are not
        ready until then. A host without workloads registers where its gossip is found, at once.
        """
        async with trio.open_nursery() as nursery:
            if self._settings.workloads:
                await self._changed.until(self._are_known)
                self._registrar.wait_for("its listeners are not in force in Envoy yet")
                applications = self._facts.applications()
                self._silent = frozenset(applications)
                await self.say_when_served()
                for workload, places in applications.items():
                    nursery.start_soon(self._hear, workload, places)
                if applications:
                    await self._silence_ended.wait()
            await self._registrar.run()

    async def _hear(self, workload: str, places: Sequence[tuple[str, int]]) -> None:
        """Until its application has listened once, a workload is not ready; one that never does holds up no other."""
        await wait_listening(places, self._wait_for_application)
        self._silent -= {workload}
        self._silence_ended.set()
        self.say()

    def _wait_for_application(self, reason: str) -> None:
        if not self._silence_ended.is_set():
            self._registrar.wait_for(reason)

    async def say_when_served(self) -> None:
        """Register the workloads as they are now, once peers can connect to them."""
        await self._until_served()
        self.say()

    def are_served(self, session: SessionView, *, is_connected: bool) -> bool:
        """Whether Envoy takes connections for all of them; says so where it refuses to.

        Args:
            session: What Envoy holds.
            is_connected: Whether it is there.
        """
        wanted = self._facts.inbound_listeners
        refused = [
            f"{row.name}: {row.detail}"
            for row in session.rejected
            if row.type_url is TypeUrl.LISTENER and row.name in wanted
        ]
        if refused:
            self._registrar.wait_for(f"Envoy refuses {'; '.join(refused)}")
            return False
        listeners = session.types[TypeUrl.LISTENER]
        is_settled = not listeners.pending and not listeners.in_flight
        return is_connected and is_settled and listeners.held >= len(wanted)

    def _are_known(self) -> bool:
        """Whether every group that settings name is there; says so where one is not."""
        missing = self._facts.missing_groups
        if missing:
            names = ", ".join(map(str, missing))
            self._registrar.wait_for(f"the mesh has no {names}")
        return not missing

    def say(self) -> None:
        """Register the workloads as they are now; before `register` it is only noted."""
        workloads, unready = self._facts.record().workloads, self.readiness.unready | self._silent
        self._registrar.say(lambda own: replace(own, workloads=workloads, unhealthy=unready))
