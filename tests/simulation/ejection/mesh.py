"""N hosts that share ejection, each a real `Outlier` core beside a model of its Envoy, under a virtual clock."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial

from sidecar.mesh.model import HostName, Locality
from sidecar.outlier import events as on
from sidecar.outlier.model import (
    Destination,
    DestinationFacts,
    EjectionPolicy,
    EndpointFact,
    Observer,
    Outcomes,
    Place,
)
from sidecar.outlier.outlier import Outlier
from tests.simulation.ejection.carriers import Carrier, ModelCarrier
from tests.simulation.ejection.envoy import Cluster, EnvoySettings, Journal
from tests.simulation.ejection.faults import Fault, boundaries, chance_of
from tests.simulation.ejection.ideal import Ideal
from tests.simulation.world import World

__all__ = ["Arm", "Mesh", "MeshHost", "Setup", "host_name", "hosts_named"]

PUSH_S = 0.005
"""From the sidecar's decision until its Envoy acts on it."""
POLICY = EjectionPolicy()
ENVOY = EnvoySettings()


class Arm(StrEnum):
    """What is compared."""

    SHARED = "shared"
    """meshd."""
    ALONE = "alone"
    """The same Envoys, each for itself."""
    IDEAL = "ideal"
    """The same thresholds, but everybody knows every outcome at once, and who is really sick (`ideal.py`)."""


@dataclass(frozen=True)
class Setup:
    """One run. Times are seconds, rates are requests per second."""

    hosts: int = 30
    rate: float = 1.0
    """Of each host to each endpoint."""
    endpoints: int = 10
    """Of each destination."""
    destinations: int = 1
    base_error: float = 0.0
    """Share of attempts that fail with 5xx in health."""
    faults: tuple[Fault, ...] = ()
    policy: EjectionPolicy = POLICY
    envoy: EnvoySettings = ENVOY
    arm: Arm = Arm.SHARED
    poll_s: float = 0.5
    """Between two looks at Envoy's counters."""
    warm_s: float = 12.0
    """Traffic in health before the scenario begins."""
    late_share: float = 0.1
    """Of hearers that the first wave of a record misses."""
    zones: int = 3
    lifetime_s: float = 15.0
    """Of evidence that is not renewed."""


@dataclass
class MeshHost:
    """One host."""

    name: str
    clusters: dict[Destination, Cluster]
    core: Outlier | None
    epoch: int = 1
    ejects: frozenset[on.EndpointName] = frozenset()
    armed_for_s: float | None = None
    imposed: Mapping[on.EndpointName, on.Imposed] = field(default_factory=dict)
    verdicts: list[tuple[float, on.VerdictChanged]] = field(default_factory=list)


class Mesh:
    """The hosts, their traffic, and what carries their words.

    Args:
        setup: What to run.
        seed: Of everything random.
        world: A world of gossip to run in; without one, a clock and the model carrier are made.
    """

    def __init__(self, setup: Setup, seed: int, world: World | None = None) -> None:
        self.setup = setup
        self.rng = random.Random(seed * 7919 + 17)
        self.world = world or World(seed)
        self.journal = Journal()
        self.zero_s = self.world.now_s + setup.warm_s
        """When the scenario begins."""
        self.destinations = [
            Destination(HostName(f"service-{number}.default.svc.cluster.local"), 80)
            for number in range(setup.destinations)
        ]
        self.places = [
            [Place(f"10.{10 + d}.{e // 250}.{e % 250 + 1}", 8080) for e in range(setup.endpoints)]
            for d in range(setup.destinations)
        ]
        self.generations = {place: 1 for places in self.places for place in places}
        names = [host_name(number) for number in range(setup.hosts)]
        self.observers = {
            name: Observer(
                name,
                True,
                Locality("r", f"z{number % setup.zones}", ""),
                f"10.0.{number // 250}.{number % 250 + 1}",
            )
            for number, name in enumerate(names)
        }
        self.model = ModelCarrier(self.world, random.Random(self.rng.random()), self.hear, names)
        self.model.late_share = setup.late_share
        self.carrier: Carrier = self.model
        self.hosts = {name: self._host(name) for name in names}
        self._meet()
        for host in self.hosts.values():
            self._begin(host)
        for boundary_s in boundaries(setup.faults):
            self.world.at(self.zero_s + boundary_s, self._meet)
        if setup.arm is Arm.IDEAL:
            Ideal(self).start()

    @property
    def now_s(self) -> float:
        """Seconds since the scenario began; negative before."""
        return self.world.now_s - self.zero_s

    def run_to(self, at_s: float) -> None:
        """Let time pass until so many seconds after the beginning of the scenario; counters are up to date then."""
        self.world.run(self.zero_s + at_s - self.world.now_s)
        for host in self.hosts.values():
            for cluster in host.clusters.values():
                cluster.advance(self.world.now_s)

    def hear(self, name: str, heard: on.RecordHeard) -> None:
        """A record reaches a host."""
        self.give(self.hosts[name], heard)

    def give(self, host: MeshHost, event: on.Event) -> None:
        """Tell a core something, and do what it asks for."""
        if host.core is None:
            return
        core = host.core
        for effect in core.handle(event, self.world.now_s):
            match effect:
                case on.Impose(imposed):
                    self.world.at(self.world.now_s + PUSH_S, partial(self.impose, host, imposed))
                case on.Say():
                    self.carrier.say(host.name, host.epoch, effect)
                case on.VerdictChanged():
                    host.verdicts.append((self.now_s, effect))
        self._arm(host)

    def impose(self, host: MeshHost, imposed: Mapping[on.EndpointName, on.Imposed]) -> None:
        """Envoy gets the health of endpoints."""
        host.imposed = imposed
        for destination, cluster in host.clusters.items():
            here = {place: what for (there, place), what in imposed.items() if there == destination}
            cluster.impose(here, self.world.now_s)

    def avoiders(self, endpoint: int, destination: int = 0) -> set[str]:
        """Hosts that send nothing to an endpoint now."""
        name = self.destinations[destination]
        return {host.name for host in self.hosts.values() if host.clusters[name].avoids(endpoint)}

    def imposers(self, endpoint: int, destination: int = 0) -> set[str]:
        """Hosts on which the mesh's verdict keeps an endpoint out now."""
        key = (self.destinations[destination], self.places[destination][endpoint])
        return {
            host.name for host in self.hosts.values() if host.imposed.get(key) is on.Imposed.EJECTED
        }

    def facts(self) -> dict[Destination, DestinationFacts]:
        """What every sidecar knows of the destinations."""
        return {
            destination: DestinationFacts(
                self.setup.policy,
                tuple(EndpointFact(place, self.generations[place]) for place in sorted(places)),
            )
            for destination, places in zip(self.destinations, self.places, strict=True)
        }

    def see(self, observers: Mapping[str, Observer], of: str) -> None:
        """A host holds the members so."""
        self.give(self.hosts[of], on.ObserversSeen(observers))

    def stop_core(self, name: str) -> None:
        """The sidecar of a host dies; its Envoy serves on with what it was told last."""
        self.hosts[name].core = None

    def start_core(self, name: str) -> None:
        """The sidecar of a host starts anew, in a later life, and hears what the others hold."""
        host = self.hosts[name]
        host.epoch += 1
        host.core = Outlier(name, host.epoch)
        host.armed_for_s = None
        host.ejects = frozenset()
        self.introduce(host)
        self.impose(host, {})
        self.model.catch_up(name)

    def introduce(self, host: MeshHost) -> None:
        """Tell a core of destinations and members."""
        self.give(host, on.DestinationsSeen(self.facts(), self.setup.lifetime_s))
        self.give(host, on.ObserversSeen(self.observers))

    def _host(self, name: str) -> MeshHost:
        clusters = {
            destination: Cluster(
                name,
                destination,
                places,
                rate_per_s=self.setup.rate * len(places),
                rng=random.Random(self.rng.random()),
                settings=self._envoy_settings(),
                journal=self.journal,
                began_s=self.world.now_s,
            )
            for destination, places in zip(self.destinations, self.places, strict=True)
        }
        speaker = self.world.hosts.get(name)
        epoch = speaker.epoch if speaker else 1
        core = Outlier(name, epoch) if self.setup.arm is Arm.SHARED else None
        return MeshHost(name, clusters, core, epoch)

    def _envoy_settings(self) -> EnvoySettings:
        """The ideal decides alone: two detectors would take out more than the cap allows."""
        if self.setup.arm is Arm.IDEAL:
            return replace(self.setup.envoy, consecutive_5xx=1_000_000)
        return self.setup.envoy

    def _begin(self, host: MeshHost) -> None:
        self.introduce(host)
        phase_s = self.rng.random()
        self.world.at(self.world.now_s + phase_s * self.setup.poll_s, lambda: self._poll(host))
        self.world.at(
            self.world.now_s + phase_s * self.setup.envoy.interval_s, lambda: self._tick(host)
        )

    def _poll(self, host: MeshHost) -> None:
        self.world.at(self.world.now_s + self.setup.poll_s, lambda: self._poll(host))
        counts: dict[on.EndpointName, Outcomes] = {}
        ejects: set[on.EndpointName] = set()
        for destination, cluster in host.clusters.items():
            cluster.advance(self.world.now_s)
            counts |= {(destination, place): c for place, c in cluster.take_counts().items()}
            ejects |= {(destination, place) for place in cluster.ejected()}
        if counts:
            self.give(host, on.OutcomesCounted(counts))
        if ejects != host.ejects:
            host.ejects = frozenset(ejects)
            self.give(host, on.EnvoyEjects(host.ejects))

    def _tick(self, host: MeshHost) -> None:
        self.world.at(self.world.now_s + self.setup.envoy.interval_s, lambda: self._tick(host))
        for cluster in host.clusters.values():
            cluster.tick(self.world.now_s)

    def _meet(self) -> None:
        """From now on attempts end as the faults of this time say."""
        for host in self.hosts.values():
            for d, cluster in enumerate(host.clusters.values()):
                cluster.advance(self.world.now_s)
                for e in range(len(cluster.places)):
                    chance, kind = chance_of(
                        self.setup.faults, host.name, (d, e), self.now_s, self.setup.base_error
                    )
                    cluster.meet(e, chance, kind)

    def _arm(self, host: MeshHost) -> None:
        due_s = host.core.deadline() if host.core else None
        if due_s is not None and due_s != host.armed_for_s:
            host.armed_for_s = due_s
            core = host.core
            self.world.at(max(due_s, self.world.now_s), lambda: self._wake(host, core, due_s))

    def _wake(self, host: MeshHost, core: Outlier | None, due_s: float) -> None:
        if host.core is core and core is not None and core.deadline() == due_s:
            host.armed_for_s = None
            self.give(host, on.TimePassed())


def host_name(number: int) -> str:
    """Of a host by its number."""
    return f"n{number}"


def hosts_named(*numbers: int) -> frozenset[str]:
    """Names of hosts by their numbers."""
    return frozenset(host_name(number) for number in numbers)
