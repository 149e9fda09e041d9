"""The whole mesh: hosts with sidecar and Envoy, etcd, network, writers, faults and checkers on one virtual clock."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sidecar.gossip import LAN
from sidecar.gossip import events as heard
from sidecar.node.events import Source
from sidecar.outlier.events import EndpointName, Imposed
from sidecar.outlier.model import Place as Spot
from sidecar.xds.events import SessionState
from store.snapshot import Snapshot
from tests.simulation.whole.checkers import Checker, all_checkers
from tests.simulation.whole.envoy import Envoy
from tests.simulation.whole.faults import Faults
from tests.simulation.whole.host import Disk, Sidecar
from tests.simulation.whole.relaying import Ways
from tests.simulation.whole.store import StoreSite
from tests.simulation.whole.traffic import EVERY_S, Traffic
from tests.simulation.whole.writers import REGISTERS, Writers
from tests.simulation.world import Host
from tests.simulation.world import World as Clock

__all__ = ["Place", "Verdict", "Whole"]

DURATION_S = 120.0
HEAL_AT_S = 95.0
FAULTS_FROM_S = 12.0
STREAMS_A_LIFE = 100_000
LEASES_EVERY_S = 0.25
BACKUP_EVERY_S = 20.0
"""How old an old disk is at least half of the time."""


@dataclass
class Place:
    """One machine."""

    name: str
    disk: Disk
    envoy: Envoy
    traffic: Traffic
    sidecar: Sidecar | None = None
    """None while it does not run."""
    old_disk: Disk = field(default_factory=Disk)
    """What its disk held a while ago."""
    lives: int = 0


@dataclass(frozen=True)
class Verdict:
    """How a run ended."""

    seed: int
    violations: tuple[str, ...]
    revisions: int
    took_s: float | None
    """From healing until all had everything in force."""
    counts: Mapping[str, int] = field(default_factory=dict)


class Whole:
    """One run.

    Args:
        seed: Of everything random.
        hosts: How many.
        checkers: What is looked at; None: all of them.
        has_faults: Whether anything happens to them.
        only: Names of the faults that happen, at the beginning; none: what the seed draws.
    """

    def __init__(
        self,
        seed: int,
        hosts: int = 4,
        checkers: list[Checker] | None = None,
        *,
        has_faults: bool = True,
        only: Sequence[str] = (),
    ) -> None:
        self.seed, self.only = seed, only
        self.rng = random.Random(seed)
        self.checkers = all_checkers() if checkers is None else checkers
        self.clock = Clock(seed, LAN, [self])
        self.clock.trace = _Silent()  # type: ignore[assignment]  # what is sent is of no interest here
        self.began_s = self.clock.now_s
        self.clock.seeds = self._seeds
        self.site = StoreSite(self.clock, seed + 2)
        self.ways = Ways(self)
        self.writers = Writers(self.site, random.Random(seed + 3))
        self.sick: dict[str, float] = {}
        """Hosts whose application answers 5xx, and how often."""
        self._by_address: dict[str, str] = {}
        self.log: list[str] = []
        """Faults, with their times."""
        self.healed_s = HEAL_AT_S
        self.is_healed = False
        self.places = {name: self._place(name) for name in (f"n{i}" for i in range(hosts))}
        self.faults = Faults(self, random.Random(seed + 4)) if has_faults else None
        self.writers.mend()
        for name in self.places:
            self.at(self.rng.uniform(0.0, 2.0), partial(self.start, name))
        self._each(EVERY_S, self._requests)
        self._each(LEASES_EVERY_S, self.site.tick)
        self._each(BACKUP_EVERY_S, self._back_up)

    @property
    def elapsed_s(self) -> float:
        """Virtual seconds since the beginning."""
        return self.clock.now_s - self.began_s

    def at(self, when_s: float, action: object) -> None:
        """Do something so many seconds after the beginning."""
        assert callable(action)
        self.clock.at(self.began_s + when_s, action)

    def run(self) -> Verdict:
        """All of it."""
        self._plan_writes()
        if self.faults is not None:
            self.faults.plan(only=self.only)
        self.at(HEAL_AT_S, self._healed)
        self.clock.run(DURATION_S)
        for checker in self.checkers:
            checker.ended(self)
        took = [getattr(checker, "took_s", None) for checker in self.checkers]
        return Verdict(
            self.seed,
            tuple(text for checker in self.checkers for text in checker.violations),
            self.site.etcd.revision,
            next((one for one in took if one is not None), None),
            dict(self.faults.counts) if self.faults is not None else {},
        )

    # -- what faults do -------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """A fault happens."""
        self.log.append(f"{self.elapsed_s:8.3f} s  {text}")

    def start(self, name: str) -> None:
        """Start a sidecar, unless one runs."""
        place = self.places[name]
        if place.sidecar is None:
            place.lives += 1
            place.sidecar = Sidecar(
                name, self.clock, self.site, self.ways, place.disk, place.envoy, self._watch
            )
            self._by_address[place.sidecar.address] = name
            place.envoy.serve(place.sidecar, place.lives * STREAMS_A_LIFE)
            place.sidecar.begin()

    def kill(self, name: str) -> None:
        """End a sidecar at once."""
        place = self.places[name]
        if place.sidecar is not None:
            place.sidecar.end()
            place.sidecar = None

    def restart_envoy(self, name: str) -> None:
        """Envoy ends and begins anew, with nothing."""
        place = self.places[name]
        place.envoy.end()
        place.envoy, place.traffic = self._envoy(name)
        if place.sidecar is not None:
            place.sidecar.envoy = place.envoy
            place.sidecar.envoy_forgot()
            place.envoy.serve(place.sidecar, place.lives * STREAMS_A_LIFE + 50_000)

    def behind(self) -> list[str]:
        """Who has not everything of the store in force, and why."""
        rows = []
        newest = self.site.etcd.newest
        for name, place in self.places.items():
            sidecar = place.sidecar
            if sidecar is None:
                rows.append(f"{name} does not run")
                continue
            snapshot = sidecar.node.catalog.snapshot
            label = "" if snapshot is None else f"{snapshot.epoch}@{snapshot.revision}"
            if snapshot is None or snapshot.hash != newest.hash:
                status = sidecar.sources.mirror.status
                rows.append(
                    f"{name} has {label or 'nothing'} ({status.state}), not {newest.revision}"
                )
            elif sidecar.session.snapshot().state is not SessionState.IN_FORCE:
                rows.append(f"{name}'s Envoy is {sidecar.session.snapshot().state}")
        registered = {entry.key.rpartition("/")[2] for entry in newest.hosts()}
        if missing := self.places.keys() - registered:
            rows.append(f"not registered: {', '.join(sorted(missing))}")
        return rows

    # -- machinery ------------------------------------------------------------------------------

    def saw(self, world: Clock, host: Host, effect: heard.Effect) -> None:
        """A gossip core tells its host (`tests.simulation.checkers.Checker`)."""
        if isinstance(effect, heard.SendDatagram | heard.CallPeer | heard.AnswerPeer):
            return
        place = self.places.get(host.name)
        if place is not None and place.sidecar is not None and host.runs:
            sidecar = place.sidecar
            world.at(world.now_s, lambda: sidecar.told(effect))

    def looked(self, place: Place) -> None:
        """What an Envoy has in force may be different now."""
        for checker in self.checkers:
            checker.looked(self, place)

    def reaches(self, source: str, spot: Spot) -> bool:
        """Whether a host's connections to an endpoint come to be: to an application whose Envoy runs."""
        target = self.name_at(spot)
        net = self.clock.net
        return target is not None and net.passes(source, target) and net.passes(target, source)

    def name_at(self, spot: Spot) -> str | None:
        """The host of an endpoint."""
        return self._by_address.get(spot.address)

    def _place(self, name: str) -> Place:
        return Place(name, Disk(), *self._envoy(name))

    def _envoy(self, name: str) -> tuple[Envoy, Traffic]:
        envoy = Envoy(
            self.clock, random.Random(self.rng.random()), lambda: self.looked(self.places[name])
        )
        traffic = Traffic(
            envoy,
            random.Random(self.rng.random()),
            partial(self.reaches, name),
            lambda spot: self.sick.get(self.name_at(spot) or "", 0.0),
        )
        envoy.cleared = traffic.cleared
        return envoy, traffic

    def _back_up(self) -> None:
        for place in self.places.values():
            place.old_disk = replace(place.disk)

    def _seeds(self, host: Host) -> list[str]:
        return [other.address for other in self.clock.hosts.values() if other.name != host.name][:3]

    def _requests(self) -> None:
        for place in self.places.values():
            if place.envoy.is_still():
                continue
            batch = place.traffic.batch(self.clock.now_s)
            if place.sidecar is not None:
                place.sidecar.counted(batch.outcomes, batch.until_s)
                names = {self.name_at(spot) for spot in batch.answered}
                place.sidecar.answered(frozenset(name for name in names if name))

    def _plan_writes(self) -> None:
        at_s = 5.0
        while at_s < HEAL_AT_S:
            self.at(at_s, self._write)
            at_s += self.rng.expovariate(1 / 3.0)

    def _write(self) -> None:
        if self.rng.random() < 0.6:
            self.writers.write_pair()
        else:
            self.writers.write_register(self.rng.randrange(REGISTERS))

    def _healed(self) -> None:
        if self.faults is not None:
            self.faults.heal()
        self.is_healed = True
        self.writers.mend()
        self.at(HEAL_AT_S + 1.0, self._accept)
        self._each(0.1, self._look_healed)

    def _accept(self) -> None:
        """A person accepts the epochs that are held; looked at each second."""
        for place in self.places.values():
            if place.sidecar is not None and place.sidecar.sources.accept_epoch():
                self.note(f"the epoch that {place.name} holds is accepted")
        self.clock.at(self.clock.now_s + 1.0, self._accept)

    def _look_healed(self) -> None:
        for checker in self.checkers:
            checker.healed(self)

    def _each(self, pause_s: float, action: object) -> None:
        assert callable(action)

        def again() -> None:
            action()
            self.clock.at(self.clock.now_s + pause_s, again)

        again()

    @property
    def _watch(self) -> _Watch:
        return _Watch(self)


class _Silent:
    def update(self, what: bytes) -> None:
        """Nothing is kept."""


@dataclass(frozen=True)
class _Watch:
    """Hands what a sidecar does to the checkers."""

    whole: Whole

    def took(self, sidecar: Sidecar, snapshot: Snapshot, source: Source) -> None:
        for checker in self.whole.checkers:
            checker.took(self.whole, sidecar, snapshot, source)

    def imposed(self, sidecar: Sidecar, imposed: Mapping[EndpointName, Imposed]) -> None:
        for checker in self.whole.checkers:
            checker.imposed(self.whole, sidecar, imposed)

    def in_force(self, sidecar: Sidecar, label: str) -> None:
        for checker in self.whole.checkers:
            checker.in_force(self.whole, sidecar, label)
