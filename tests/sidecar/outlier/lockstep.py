"""A few real cores that hear each other at once: looks each half second, no loss, no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sidecar.gossip.records import Record
from sidecar.outlier.events import (
    DestinationsSeen,
    Effect,
    EndpointName,
    EnvoyEjects,
    Event,
    Impose,
    Imposed,
    ObserversSeen,
    OutcomesCounted,
    RecordHeard,
    Say,
    TimePassed,
    VerdictChanged,
)
from sidecar.outlier.model import Destination, DestinationFacts, Observer, Outcomes, Place
from sidecar.outlier.outlier import Outlier
from tests.sidecar.outlier.builders import REVIEWS, facts, members

LOOK_S = 0.5
Fate = Callable[[str, Place], Outcomes]


class Lockstep:
    """Cores n0, n1, ..., one destination, and what their requests meet."""

    def __init__(self, number: int, found: DestinationFacts | None = None) -> None:
        self.now_s = 0.0
        self.observers: dict[str, Observer] = members(number)
        self.facts: dict[Destination, DestinationFacts] = {REVIEWS: found or facts()}
        self.cores = {node: Outlier(node, 1) for node in self.observers}
        self.imposed: dict[str, dict[EndpointName, Imposed]] = {node: {} for node in self.cores}
        self.verdicts: list[tuple[str, VerdictChanged]] = []
        self.said: list[Record] = []
        self._said_s: list[float] = []
        self.cut: set[str] = set()
        """Hosts that nobody hears and that hear nobody."""
        for node in self.cores:
            self.tell(node, DestinationsSeen(self.facts))
            self.tell(node, ObserversSeen(self.observers))

    def tell(self, node: str, event: Event) -> list[Effect]:
        """Hand in an event, and what follows from it everywhere; the effects at this host."""
        effects = self.cores[node].handle(event, self.now_s)
        for effect in effects:
            match effect:
                case Impose():
                    self.imposed[node] = dict(effect.imposed)
                case VerdictChanged():
                    self.verdicts.append((node, effect))
                case Say():
                    self._spread(node, effect)
        return effects

    def run(self, seconds: float, fate: Fate) -> None:
        """Let time pass. Requests go to whatever is not ejected; who tries sends to it as well."""
        for _ in range(round(seconds / LOOK_S)):
            end_s = self.now_s + LOOK_S
            while (due := self._due(end_s)) is not None:
                self.now_s = max(self.now_s, due[0])
                self.tell(due[1], TimePassed())
            self.now_s = end_s
            for node in list(self.cores):
                self.look(node, fate)

    def look(self, node: str, fate: Fate) -> list[Effect]:
        """One look at the counters of one host."""
        outcomes = {
            (destination, one.place): fate(node, one.place)
            for destination, found in self.facts.items()
            for one in found.endpoints
            if self.imposed[node].get((destination, one.place)) is not Imposed.EJECTED
        }
        return self.tell(node, OutcomesCounted(outcomes))

    def everywhere(self, event: Event) -> None:
        """Hand in an event at every host."""
        for node in list(self.cores):
            self.tell(node, event)

    def ejecting(self, name: EndpointName) -> set[str]:
        """The hosts that send it nothing."""
        return {node for node, found in self.imposed.items() if found.get(name) is Imposed.EJECTED}

    def locally(self, node: str, *names: EndpointName) -> None:
        """This host's own Envoy has ejected these now."""
        self.tell(node, EnvoyEjects(frozenset(names)))

    def newest(self) -> list[Record]:
        """The newest record of each page, as anti-entropy would tell a joiner."""
        found = {
            (one.topic, one.node, one.page): (one, said_s)
            for one, said_s in zip(self.said, self._said_s, strict=True)
        }
        return [
            replace(one, age_ms=round((self.now_s - said_s) * 1000))
            for one, said_s in found.values()
        ]

    def _spread(self, node: str, say: Say) -> None:
        version = len(self.said) + 1
        one = Record(say.topic, node, say.page, 1, version, say.body, b"", b"")
        self.said.append(one)
        self._said_s.append(self.now_s)
        for other in self.cores:
            if other != node and not {node, other} & self.cut:
                self.tell(other, RecordHeard(one))

    def _due(self, before_s: float) -> tuple[float, str] | None:
        found = [
            (at_s, node)
            for node, core in self.cores.items()
            if (at_s := core.deadline()) is not None and at_s < before_s
        ]
        return min(found, default=None)
