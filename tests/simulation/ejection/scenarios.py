"""The scenarios of the study, S1 to S13: what fails, for whom, for how long."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from sidecar.outlier.model import EjectionPolicy
from tests.simulation.ejection.envoy import EnvoySettings
from tests.simulation.ejection.faults import Fault, Kind
from tests.simulation.ejection.liars import all_endpoints, lie
from tests.simulation.ejection.mesh import POLICY, Arm, Mesh, Setup, host_name, hosts_named

__all__ = ["SCENARIOS", "WATCHES", "Scenario", "egress_broken", "run"]


BRIEF_S = 150.0
"""When to stop waiting for hosts that do not come to avoid an endpoint."""


@dataclass(frozen=True)
class Scenario:
    """One row of the study."""

    title: str
    faults: Callable[[Setup, random.Random], tuple[Fault, ...]]
    lasts_s: float = 45.0
    destinations: int = 1
    late_share: float = 0.1
    happens: Callable[[Mesh], None] | None = None
    """What else is arranged before time passes."""


def egress_broken(names: frozenset[str], setup: Setup, until_s: float = 60.0) -> Fault:
    """Everything fails for these hosts: their own network, certificates or names are broken."""
    return Fault(
        frozenset(range(setup.endpoints)), until_s=until_s, observers=names, destination=None
    )


def _one(kind: Kind, share: float = 1.0) -> Callable[[Setup, random.Random], tuple[Fault, ...]]:
    return lambda setup, rng: (Fault(frozenset({0}), share=share, kind=kind),)


def _partial(setup: Setup, rng: random.Random) -> tuple[Fault, ...]:
    names = [host_name(number) for number in range(setup.hosts)]
    blind = frozenset(rng.sample(names, round(0.4 * setup.hosts)))
    return (Fault(frozenset({0}), observers=blind),)


def _sick(count: int) -> Callable[[Setup, random.Random], tuple[Fault, ...]]:
    def faults(setup: Setup, rng: random.Random) -> tuple[Fault, ...]:
        zone = range(0, setup.hosts, setup.zones)  # correlated: of one zone
        names = frozenset(host_name(number) for number in rng.sample(zone, count))
        return (egress_broken(names, setup),)

    return faults


def _flapping(setup: Setup, rng: random.Random) -> tuple[Fault, ...]:
    return tuple(
        Fault(frozenset({0}), since_s=float(begins), until_s=begins + 5.0)
        for begins in range(0, 90, 10)
    )


def _split(mesh: Mesh) -> None:
    def part() -> None:
        names = list(mesh.hosts)
        mesh.model.groups = {name: number % 2 for number, name in enumerate(names)}
        for name in names:
            observers = {
                other: type(seen)(
                    other, mesh.model.reaches(other, name), seen.locality, seen.address
                )
                for other, seen in mesh.observers.items()
            }
            mesh.world.at(mesh.world.now_s + 5.0, partial(mesh.see, observers, name))

    mesh.world.at(mesh.zero_s + 20.0, part)


def _restart(mesh: Mesh) -> None:
    mesh.world.at(mesh.zero_s + 15.0, lambda: mesh.stop_core("n0"))
    mesh.world.at(mesh.zero_s + 25.0, lambda: mesh.start_core("n0"))


def _most(setup: Setup, rng: random.Random) -> tuple[Fault, ...]:
    return (Fault(frozenset(range(round(0.8 * setup.endpoints)))),)


SCENARIOS = {
    "S0": Scenario("nothing is wrong", lambda setup, rng: (), lasts_s=120.0),
    "S1": Scenario("one endpoint answers 5xx", _one(Kind.EXTERNAL)),
    "S2": Scenario("one endpoint hangs (time-out 1 s)", _one(Kind.HANG)),
    "S3": Scenario("one endpoint fails half of its requests", _one(Kind.EXTERNAL, 0.5)),
    "S4": Scenario("one endpoint refuses connections", _one(Kind.REFUSED)),
    "S5": Scenario("one endpoint fails for 40 % of the hosts", _partial),
    "S6": Scenario("one host's egress is broken", _sick(1), destinations=2),
    "S7": Scenario("two hosts of one zone have broken egress", _sick(2), destinations=2),
    "S8": Scenario(
        "all endpoints fail 30 % (a dependency)",
        lambda setup, rng: (Fault(frozenset(range(setup.endpoints)), share=0.3),),
        lasts_s=8.0,
    ),
    "S9": Scenario("one endpoint flaps, 5 s bad, 5 s good", _flapping, lasts_s=90.0),
    "S10": Scenario(
        "S1, records late (30 % loss), then a split", _one(Kind.EXTERNAL), 45.0, 1, 0.5, _split
    ),
    "S11": Scenario(
        "one endpoint fails for 20 s, then is well",
        lambda setup, rng: (Fault(frozenset({0}), until_s=20.0),),
        lasts_s=60.0,
    ),
    "S12": Scenario(
        "S1, one sidecar is away from 15 to 25 s", _one(Kind.EXTERNAL), happens=_restart
    ),
    "S13": Scenario("80 % of the endpoints answer 5xx", _most),
}
"""By the numbers of the reference; S0 is ours, to count false ejections in."""


def _broken_for_ever(setup: Setup, rng: random.Random) -> tuple[Fault, ...]:
    return (egress_broken(hosts_named(rng.randrange(setup.hosts)), setup, math.inf),)


def _liars(names: tuple[str, ...], *, endpoints: int | None = None) -> Callable[[Mesh], None]:
    return lambda mesh: lie(mesh, names, all_endpoints(mesh)[:endpoints])


WATCHES = {
    "P1": Scenario("one host's egress is broken", _broken_for_ever, destinations=2),
    "P2": Scenario(
        "one host lies, of every endpoint",
        lambda setup, rng: (),
        destinations=2,
        happens=_liars(("n3",)),
    ),
    "P3": Scenario(
        "two hosts, one less than the quorum, lie of one endpoint",
        lambda setup, rng: (),
        happens=_liars(("n1", "n2"), endpoints=1),
    ),
    "P4": Scenario("one endpoint fails for 40 % of the hosts", _partial),
}
"""What is wrong all the time and must not cost anybody else an endpoint, to count endpoint-hours in."""


def run(
    name: str,
    *,
    seed: int,
    arm: Arm = Arm.SHARED,
    hosts: int = 30,
    rate: float = 1.0,
    endpoints: int = 10,
    retries: int = 0,
    base_error: float = 0.0,
    policy: EjectionPolicy = POLICY,
    lifetime_s: float = 15.0,
    brief: bool = False,
    lasts_s: float | None = None,
) -> Mesh:
    """Run one scenario; the mesh is handed back with its journal.

    Args:
        name: Of the scenario.
        seed: Of everything random.
        arm: What is compared.
        hosts: How many.
        rate: Requests a second of each host to each endpoint.
        endpoints: Of each destination.
        retries: Further attempts of each request.
        base_error: Share of attempts that fail in health.
        policy: Of shared ejection.
        lifetime_s: Of evidence.
        brief: Whether to end as soon as all hosts avoid the first endpoint, or after `BRIEF_S`.
        lasts_s: How long; None: as long as the scenario says.
    """
    scenario = (SCENARIOS | WATCHES)[name]
    bare = Setup(
        hosts=hosts,
        rate=rate,
        endpoints=endpoints,
        destinations=scenario.destinations,
        base_error=base_error,
        envoy=EnvoySettings(retries=retries),
        arm=arm,
        policy=policy,
        lifetime_s=lifetime_s,
        late_share=scenario.late_share,
    )
    faults = scenario.faults(bare, random.Random(seed))
    mesh = Mesh(replace(bare, faults=faults), seed)
    if scenario.happens is not None and arm is Arm.SHARED:
        scenario.happens(mesh)
    while brief and mesh.now_s < BRIEF_S and len(mesh.avoiders(0)) < hosts:
        mesh.run_to(max(mesh.now_s, 0.0) + 0.25)
    if not brief:
        mesh.run_to(scenario.lasts_s if lasts_s is None else lasts_s)
    return mesh
