"""Shared ejection at work: its core, with our own Envoy's outcomes, the words of peers and Envoy's endpoints around it.

    Envoy ─► OutcomesSource ─► Outlier ─► EndpointsJudged ─► Node ─► Envoy's endpoints
                               ▲     │Say
              peers' records ──┘     └─► gossip

Without gossip the core knows no other observer and imposes nothing: Envoy's own detector decides alone. What was
imposed when the sidecar ended is imposed again for the first second of the next one, until peers have told what they
know, and while their accusations wait for the hold-off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import trio

from sidecar.agent.log import log
from sidecar.agent.outcomes import OutcomesSource
from sidecar.agent.outcomes_reports import LoadReported
from sidecar.agent.outlier_memory import Recalled
from sidecar.agent.outlier_metrics import OutlierMetrics
from sidecar.agent.turns import Alarm, Turns
from sidecar.gossip import GossipView, Status
from sidecar.gossip import events as told
from sidecar.gossip.records import Topic
from sidecar.mesh.model import Locality
from sidecar.node.events import ParticipantsChanged
from sidecar.node.participants import ObservedCluster
from sidecar.outlier.events import (
    DestinationsSeen,
    Effect,
    EndpointName,
    EnvoyEjects,
    Event,
    Impose,
    Imposed,
    ObserversSeen,
    OperatorSaid,
    OutcomesCounted,
    Override,
    RecordHeard,
    Say,
    TimePassed,
    VerdictChanged,
)
from sidecar.outlier.model import Destination, Observer, Outcomes, Place
from sidecar.outlier.outlier import Outlier
from sidecar.outlier.view import JudgementState, OutlierView
from sidecar.xds.local_ejections import EjectedUntil
from store.errors import InputError

__all__ = ["GossipVoice", "NodeVoice", "OutlierShell"]

MEMBERS_SETTLE_S = 0.05
"""Changes of members that come within this time are taken in together."""
_TOPICS = (Topic.EVIDENCE, Topic.OVERRIDES)
_LEVELS = {"ejected": "warning", "withheld": "info", "trial": "info", "restored": "info"}


class GossipVoice(Protocol):
    """What is wanted of gossip; `sidecar.agent.gossip_shell.GossipShell` is the real thing."""

    def view(self) -> GossipView:
        """What it holds now."""
        ...

    def say(self, topic: Topic, page: int, body: bytes) -> None:
        """Say something of this host."""
        ...

    def listen(self, callback: Callable[[told.Effect], None]) -> None:
        """Tell this one from now on."""
        ...


class NodeVoice(Protocol):
    """What is wanted of the daemon's middle."""

    def judged(self, imposed: Mapping[EndpointName, Imposed]) -> None:
        """Impose this on Envoy's endpoints, in the place of what was before."""
        ...

    def envoy_ejected(self, until_s: EjectedUntil) -> None:
        """Envoy's own detector has ejected these now."""
        ...

    def held_ejections(self) -> Iterable[tuple[str, Place]]:
        """Envoy's own ejections that are held over a change of their cluster."""
        ...

    def locality_of(self, node: str) -> Locality:
        """Where a host of the mesh is, as it registered; nowhere when that is not known."""
        ...


class OutlierShell:
    """Shared ejection of one sidecar.

    Args:
        node: This host's name.
        locality: Where it is.
        address: Its address, without port.
        voice: The daemon's middle.
        source: Makes the source of outcomes, given what to tell counts and ejections to.
        gossip: The mesh; None where gossip is off.
        memory: File of what is imposed, for the next run.
        metrics: Where verdicts are counted.
    """

    def __init__(
        self,
        node: str,
        *,
        locality: Locality,
        address: str,
        voice: NodeVoice,
        source: Callable[
            [Callable[[Mapping[EndpointName, Outcomes]], None], Callable[[EjectedUntil], None]],
            OutcomesSource,
        ],
        gossip: GossipVoice | None,
        memory: Path,
        metrics: OutlierMetrics,
    ) -> None:
        self._self = Observer(node, counts=True, locality=locality, address=address)
        self._voice = voice
        self._gossip = gossip
        self._metrics = metrics
        self._core = Outlier(node, 0 if gossip is None else gossip.view().identity.epoch)
        self._source = source(self._counted, self._envoy_ejected)
        self._clusters: Mapping[str, ObservedCluster] = {}
        self._until: EjectedUntil = {}
        self._ejected: frozenset[EndpointName] = frozenset()
        self._imposed: Mapping[EndpointName, Imposed] = {}
        self._recalled = Recalled(memory)
        self._turns = Turns[Event, Effect](self._core.handle, self._perform)
        self._alarm = Alarm(self._core.deadline, lambda: self._handle(TimePassed()))
        self._members_changed = trio.Event()
        metrics.watch(self.view)
        if gossip is not None:
            gossip.listen(self._told)

    # -- for the rest of the sidecar ------------------------------------------------------------

    def view(self) -> OutlierView:
        """What shared ejection holds now; what still counts of the run before is imposed, too."""
        view = self._core.view(trio.current_time())
        if not self._recalled.imposed:
            return view
        rows = (
            replace(
                row, imposed=row.imposed or self._recalled.imposed.get((row.destination, row.place))
            )
            for row in view.endpoints
        )
        return replace(view, endpoints=tuple(rows))

    def operator_said(self, override: Override) -> None:
        """Take an operator's word, and tell it to the mesh.

        Raises:
            InputError: Gossip is off: no ejection is shared here that could be taken back.
        """
        if self._gossip is None:
            raise InputError(
                "gossip is off: this host ejects nothing by evidence of others",
                hint="Set gossip up, or turn outlierDetection of the DestinationRule",
            )
        log.info("operator_said", **_override_facts(override))
        self._handle(OperatorSaid(override))

    def loads_reported(self, report: LoadReported) -> None:
        """Envoy reported load; may be called between trio's tasks."""
        self._source.arrived(report)

    def follow(self, change: ParticipantsChanged) -> None:
        """These destinations take part from now on."""
        self._clusters = change.clusters
        self._source.observe(change.clusters)
        self._members_changed.set()
        self._handle(DestinationsSeen(change.facts))
        self.held_changed()

    def held_changed(self) -> None:
        """What is held of Envoy's own ejections may be different: tell the core, where it is."""
        out = {*self._until, *self._voice.held_ejections()}
        ejected = frozenset(
            (self._clusters[cluster].destination, place)
            for cluster, place in out
            if cluster in self._clusters
        )
        if ejected != self._ejected:
            for at in sorted(ejected - self._ejected):
                self._metrics.ejected_locally(at[0])
                log.warning("endpoint_ejected_by_envoy", **_name_facts(*at))
            for at in sorted(self._ejected - ejected):
                log.info("endpoint_returned_by_envoy", **_name_facts(*at))
            self._ejected = ejected
            self._handle(EnvoyEjects(ejected))

    def recall(self) -> None:
        """Impose again what was imposed when the sidecar ended: called before Envoy is given anything."""
        if self._gossip is not None and self._recalled.read():
            self._voice.judged(self._recalled.imposed)

    async def run(self) -> None:
        """Work until cancelled; Envoy keeps what is imposed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._source.run)
            nursery.start_soon(self._follow_members)
            nursery.start_soon(self._recalled.run, self._pending, self._judge)
            await self._alarm.run()

    # -- what comes in --------------------------------------------------------------------------

    async def _follow_members(self) -> None:
        while True:
            self._handle(ObserversSeen(self._observers()))
            await self._members_changed.wait()
            await trio.sleep(MEMBERS_SETTLE_S)
            self._members_changed = trio.Event()

    def _observers(self) -> dict[str, Observer]:
        found = {self._self.node: self._self}
        if self._gossip is None:
            return found
        for member in self._gossip.view().members:
            node = member.identity.node
            found[node] = Observer(
                node,
                counts=member.status is Status.ALIVE,
                locality=self._voice.locality_of(node),
                address=member.identity.address.rpartition(":")[0],
            )
        return found

    def _told(self, effect: told.Effect) -> None:
        if isinstance(effect, told.MemberChanged):
            self._members_changed.set()
        elif isinstance(effect, told.RecordHeard) and effect.record.topic in _TOPICS:
            self._handle(RecordHeard(effect.record))

    def _counted(self, outcomes: Mapping[EndpointName, Outcomes]) -> None:
        self._handle(OutcomesCounted(outcomes))

    def _envoy_ejected(self, until_s: EjectedUntil) -> None:
        self._until = until_s
        self._voice.envoy_ejected(until_s)
        self.held_changed()

    # -- what goes out --------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        """Tell the core and do what it asks for; events that this brings about come after it."""
        if self._turns.take(event):
            self._alarm.look_again()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Impose():
                self._imposed = effect.imposed
                self._judge()
            case Say():
                if self._gossip is not None:
                    self._gossip.say(effect.topic, effect.page, effect.body)
            case VerdictChanged():
                self._metrics.verdict(effect)
                level = _LEVELS.get(effect.verdict, "info")
                getattr(log, level)(f"endpoint_{effect.verdict}", **_verdict_facts(effect))

    def _judge(self) -> None:
        imposed = {**self._recalled.imposed, **self._imposed}
        self._voice.judged(imposed)
        self._recalled.write(imposed)

    def _pending(self) -> set[EndpointName]:
        """Endpoints that enough hosts accuse and that wait for the hold-off."""
        rows = self.view().endpoints
        return {(row.destination, row.place) for row in rows if row.state is JudgementState.PENDING}


def _verdict_facts(effect: VerdictChanged) -> dict[str, object]:
    # `level` is the line's own.
    facts = {"times" if name == "level" else name: fact for name, fact in effect.facts.items()}
    return {**_name_facts(effect.destination, effect.place), "reason": effect.reason, **facts}


def _name_facts(destination: Destination, place: Place) -> dict[str, object]:
    return {
        "destination": f"{destination.host}:{destination.port}",
        "endpoint": f"{place.address}:{place.port}",
    }


def _override_facts(override: Override) -> dict[str, object]:
    destination, place = override.destination, override.place
    return {
        "kind": override.kind.value,
        "destination": f"{destination.host}:{destination.port}" if destination else "",
        "endpoint": f"{place.address}:{place.port}" if place else "",
        "for_s": override.for_s,
        "reason": override.reason,
    }
