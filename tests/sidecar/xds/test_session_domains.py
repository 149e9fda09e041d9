"""Domains move between virtual hosts while clusters warm: never had twice, and never unserved on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from sidecar.xds.events import Effect, SendResponse
from sidecar.xds.resource import Resource, TypeUrl
from tests.harness.fake_envoy import CDS, EDS, LDS, RDS, VHDS, FakeEnvoy, Wire, change, resource

HOSTS = ("x", "y", "z")
DOMAINS = ("1", "2", "3")

Owners = dict[str, str]
"""Host of each domain."""
move = st.tuples(
    st.dictionaries(st.sampled_from(DOMAINS), st.sampled_from(HOSTS), max_size=3),
    st.dictionaries(st.sampled_from(HOSTS), st.booleans(), max_size=3),
)
steps = st.lists(st.one_of(move, st.just("warm"), st.just("wait")), min_size=2, max_size=14)


@dataclass
class Watching(FakeEnvoy):
    """A client that looks at its domains after each response."""

    domains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    steady: set[str] = field(default_factory=set)
    """Domains that were served and are to be served ever since."""

    def served(self) -> Counter[str]:
        return Counter(domain for held in self.domains.values() for domain in held)

    def _apply(self, type_url: TypeUrl, response: SendResponse, bad: set[str]) -> list[Effect]:
        if type_url is VHDS:
            for name in response.removed:
                self.domains.pop(name, None)
            self.domains.update({item.name: item.domains for item in response.resources})
            served = self.served()
            assert not [d for d, count in served.items() if count > 1], f"had twice: {response}"
            assert self.steady <= served.keys(), f"unserved: {response}"
        return super()._apply(type_url, response, bad)


class World:
    """Hosts with domains, each waiting for a cluster that is warm or one that is not."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.envoy = Watching(self.wire)
        self.owners: Owners = {}
        self.given: dict[str, Resource] = {}
        self.revision = 0
        self.clusters = 0
        self.cold: list[str] = []
        start = [
            resource(CDS, "a"),
            resource(EDS, "a"),
            resource(LDS, "in"),
            resource(RDS, "outbound"),
        ]
        self.desire(start, [])
        self.envoy.connect()

    def desire(self, put: list[Resource], gone: list[tuple[TypeUrl, str]]) -> None:
        self.revision += 1
        self.envoy.take(self.wire.handle(change(f"e@{self.revision}", *put, remove=gone)))

    def move(self, owners: Owners, waits: dict[str, bool]) -> None:
        self.envoy.steady &= set(owners)
        put: list[Resource] = []
        wanted: dict[str, Resource] = {}
        for host in HOSTS:
            domains = tuple(sorted(domain for domain, owner in owners.items() if owner == host))
            if not domains:
                continue
            needs = "a"
            if waits.get(host):
                self.clusters += 1
                needs = f"c{self.clusters}"
                put.append(resource(CDS, needs))
                self.cold.append(needs)
            name = f"outbound/{host}"
            made = resource(VHDS, name, f"{domains}{needs}")
            wanted[name] = replace(made, domains=domains, needs=frozenset({needs}))
        gone = [(VHDS, name) for name in self.given.keys() - wanted.keys()]
        put += [one for name, one in wanted.items() if self.given.get(name) != one]
        self.owners, self.given = owners, wanted
        self.desire(put, gone)
        self.note()

    def warm(self) -> None:
        self.desire([resource(EDS, name) for name in self.cold], [])
        self.cold.clear()
        self.note()

    def wait(self) -> None:
        self.envoy.take(self.wire.wait(0.9))
        self.note()

    def note(self) -> None:
        """From now on a domain that is served has to be, as long as it is to be."""
        self.envoy.steady |= self.envoy.served().keys() & self.owners.keys()


@given(steps)
def test_a_domain_is_had_once_and_always_served(
    steps: list[tuple[Owners, dict[str, bool]] | str],
) -> None:
    world = World()
    for step in steps:
        if step == "warm":
            world.warm()
        elif step == "wait":
            world.wait()
        else:
            assert isinstance(step, tuple)
            world.move(*step)
    world.warm()
    for _ in range(8):
        world.wait()
    assert world.envoy.served() == Counter(world.owners.keys())
