"""What must hold, each as an object of its own that sees what sidecars do and looks at every Envoy after each step.

A violation is a text with time and host; a run that has one fails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.node.events import Source
from sidecar.outlier.events import EndpointName, Imposed
from store.snapshot import Epoch, Snapshot
from tests.simulation.whole.writers import PAIR, REGISTERS, generation_in, register_authority

if TYPE_CHECKING:
    from tests.simulation.whole.host import Sidecar
    from tests.simulation.whole.world import Place, Whole

__all__ = [
    "CapsHold",
    "Checker",
    "Converges",
    "InForceIsTrue",
    "NeverEmpty",
    "NothingLost",
    "RevisionsGrow",
    "SameContent",
    "WholeChanges",
    "all_checkers",
]

VIOLATIONS_KEPT = 5
CONVERGES_S = 10.0
"""Where packets to etcd vanished until the end of the faults, the Mirror does not know that the way is free: it gives a
stream up that is not answered for 5 s, and tries again within 3 s."""
PUSHED_S = 1.0
"""So long the Envoys of all hosts may take to be told of an ejection, or of its end."""
SETTLED_S = 5.0
"""By then all hosts have started."""


@dataclass
class Checker:
    """Sees everything, and asks for nothing."""

    violations: list[str] = field(default_factory=list)
    """What was seen that must not be."""

    def took(self, whole: Whole, sidecar: Sidecar, snapshot: Snapshot, source: Source) -> None:
        """A sidecar takes a snapshot in."""

    def imposed(
        self, whole: Whole, sidecar: Sidecar, imposed: Mapping[EndpointName, Imposed]
    ) -> None:
        """A sidecar imposes this on endpoints."""

    def in_force(self, whole: Whole, sidecar: Sidecar, label: str) -> None:
        """A sidecar says that its Envoy has this in force."""

    def looked(self, whole: Whole, place: Place) -> None:
        """What an Envoy has in force may be different now."""

    def healed(self, whole: Whole) -> None:
        """Faults have ended; told again and again from then on."""

    def ended(self, whole: Whole) -> None:
        """The run is over."""

    def found(self, whole: Whole, where: str, text: str) -> None:
        """Note a violation."""
        if len(self.violations) < VIOLATIONS_KEPT:
            self.violations.append(
                f"{whole.elapsed_s:.3f} s, {where}: {type(self).__name__}: {text}"
            )


@dataclass
class RevisionsGrow(Checker):
    """No process goes back within an epoch, nor to an epoch before."""

    _last: dict[tuple[str, int], tuple[Epoch, int]] = field(default_factory=dict)

    def took(self, whole: Whole, sidecar: Sidecar, snapshot: Snapshot, source: Source) -> None:
        """A sidecar takes a snapshot in."""
        key = (sidecar.name, sidecar.disk.epoch)
        before = self._last.get(key)
        if before is not None:
            epoch, revision = before
            if snapshot.epoch == epoch and snapshot.revision < revision:
                self.found(whole, sidecar.name, f"{revision} was followed by {snapshot.revision}")
            if snapshot.epoch.life < epoch.life:
                self.found(whole, sidecar.name, f"{epoch} was followed by {snapshot.epoch}")
        self._last[key] = (snapshot.epoch, snapshot.revision)


@dataclass
class SameContent(Checker):
    """What a host holds as a revision is what etcd held at that revision."""

    def took(self, whole: Whole, sidecar: Sidecar, snapshot: Snapshot, source: Source) -> None:
        """A sidecar takes a snapshot in."""
        told = whole.site.held.get((snapshot.epoch.cluster_id, snapshot.revision))
        if told is None:
            self.found(
                whole, sidecar.name, f"{snapshot!r} from {source}: no such revision ever was"
            )
        elif snapshot.hash not in told:
            self.found(whole, sidecar.name, f"{snapshot!r} from {source} is not what etcd held")


@dataclass
class WholeChanges(Checker):
    """Both routes of a change set are of one generation, and lead to a cluster that is there with endpoints."""

    def looked(self, whole: Whole, place: Place) -> None:
        """What an Envoy has in force may be different now."""
        probes = [place.envoy.probe(authority) for authority in PAIR]
        told = [probe.answer.generation for probe in probes]
        if all(told):
            if len(set(told)) > 1:
                self.found(whole, place.name, f"generations {told} are mixed")
            for probe in probes:
                if probe.outcome == "no cluster" and not _has_no_service(whole, place):
                    self.found(whole, place.name, f"{probe.answer.cluster} is named and not there")


def _has_no_service(whole: Whole, place: Place) -> bool:
    """Whether a host knows of nobody who is registered, and never did: there is no service yet.

    So it is at the very beginning; and for one that starts with an empty disk when etcd is restored from then.
    """
    is_beginning = whole.elapsed_s < SETTLED_S
    return is_beginning or (place.sidecar is not None and not place.sidecar.has_had_hosts)


@dataclass
class InForceIsTrue(Checker):
    """What a sidecar says is in force its Envoy answers by: the change set of just that revision."""

    def in_force(self, whole: Whole, sidecar: Sidecar, label: str) -> None:
        """A sidecar says that its Envoy has this in force."""
        snapshot = sidecar.node.catalog.snapshot
        if snapshot is None or label != f"{snapshot.epoch}@{snapshot.revision}":
            return
        wanted = [generation_in(snapshot, authority) for authority in PAIR]
        told = [sidecar.envoy.probe(authority).answer.generation for authority in PAIR]
        if told != wanted:
            self.found(whole, sidecar.name, f"{label} is generation {wanted}, Envoy answers {told}")


@dataclass
class NeverEmpty(Checker):
    """What an Envoy once served it goes on serving as long as it lives."""

    def looked(self, whole: Whole, place: Place) -> None:
        """What an Envoy has in force may be different now."""
        outcomes = [place.envoy.probe(authority).outcome for authority in PAIR]
        if all(outcome == "served" for outcome in outcomes):
            place.envoy.was_served = True
        elif place.envoy.was_served and not _has_no_service(whole, place):
            self.found(whole, place.name, f"{' and '.join(PAIR)}: {' and '.join(outcomes)}")


@dataclass
class CapsHold(Checker):
    """No more endpoints are ejected by the mesh than `maxEjectionPercent` allows, and never the last one."""

    def imposed(
        self, whole: Whole, sidecar: Sidecar, imposed: Mapping[EndpointName, Imposed]
    ) -> None:
        """A sidecar imposes this on endpoints."""
        for destination, facts in sidecar.node.participants.facts.items():
            usable = {row.place for row in facts.endpoints if row.takes_requests}
            out = {
                place
                for (there, place), word in imposed.items()
                if there == destination and word is Imposed.EJECTED and place in usable
            }
            share = facts.policy.max_ejection_share
            allowed = min(max(0, len(usable) - 1), max(1, math.floor(share * len(usable) + 1e-9)))
            if len(out) > allowed:
                self.found(
                    whole,
                    sidecar.name,
                    f"{len(out)} of {len(usable)} endpoints are ejected, allowed are {allowed}",
                )


@dataclass
class Converges(Checker):
    """After healing all hosts come to what the store holds, and their Envoys to having it in force, within a time."""

    within_s: float = CONVERGES_S
    took_s: float | None = None
    """How long it took."""
    well_s: float = 0.0
    """When it was so last."""

    def healed(self, whole: Whole) -> None:
        """Look whether it is so."""
        behind = whole.behind()
        passed_s = whole.elapsed_s - whole.healed_s
        if not behind:
            self.well_s = whole.elapsed_s
            if self.took_s is None:
                self.took_s = passed_s
        elif passed_s > self.within_s and self.took_s is None:
            self.took_s = math.inf
            self.found(whole, "mesh", f"{passed_s:.1f} s after healing: {'; '.join(behind)}")

    def ended(self, whole: Whole) -> None:
        """The run is over."""
        # An ejection that ends just now is a push like any other.
        behind = whole.behind()
        if behind and whole.elapsed_s - self.well_s > PUSHED_S:
            self.found(whole, "mesh", f"at the end: {'; '.join(behind)}")


@dataclass
class NothingLost(Checker):
    """At the end every Envoy answers with the last acknowledged value of each register, and the last change set."""

    def ended(self, whole: Whole) -> None:
        """The run is over."""
        writers = whole.writers
        for place in whole.places.values():
            for number in range(REGISTERS):
                probe = place.envoy.probe(register_authority(number))
                wanted = str(writers.acknowledged.get(number, 0))
                if probe.answer.body != wanted:
                    self.found(
                        whole,
                        place.name,
                        f"register {number} is {probe.answer.body!r} ({probe.outcome}), acknowledged was {wanted}",
                    )
            told = place.envoy.probe(PAIR[0]).answer.generation
            if told != str(writers.generation):
                self.found(
                    whole, place.name, f"generation {told!r}, acknowledged was {writers.generation}"
                )


def all_checkers() -> list[Checker]:
    """One of each."""
    return [
        RevisionsGrow(),
        SameContent(),
        WholeChanges(),
        InForceIsTrue(),
        NeverEmpty(),
        CapsHold(),
        Converges(),
        NothingLost(),
    ]
