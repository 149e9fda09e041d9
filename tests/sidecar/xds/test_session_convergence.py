"""Whatever happens on the way, Envoy ends with what is desired."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.xds.events import SessionState
from tests.harness.fake_envoy import (
    CDS,
    EDS,
    LDS,
    RDS,
    VHDS,
    FakeEnvoy,
    Wire,
    change,
    resource,
)

TYPES = (CDS, CDS, LDS, RDS, VHDS)  # clusters twice: most rules are about them
NAMES = {
    CDS: ("a", "b", "c", "d"),
    LDS: ("in", "out"),
    RDS: ("outbound",),
    VHDS: ("outbound/a", "outbound/b", "outbound/c"),
}
VERSIONS = ("1", "2", "3", "bad", "worse")

put = st.tuples(
    st.sampled_from(("put", "put", "away")),
    st.lists(
        st.sampled_from(TYPES).flatmap(
            lambda t: st.tuples(st.just(t), st.sampled_from(NAMES[t]), st.sampled_from(VERSIONS))
        ),
        min_size=1,
        max_size=5,
    ),
)
drop = st.tuples(
    st.just("drop"),
    st.lists(
        st.sampled_from(TYPES).flatmap(
            lambda t: st.tuples(st.just(t), st.sampled_from(NAMES[t]), st.just(""))
        ),
        min_size=1,
        max_size=3,
    ),
)
health = st.tuples(
    st.just("health"),
    st.lists(
        st.tuples(st.just(EDS), st.sampled_from(NAMES[CDS]), st.sampled_from(("1", "2", "3"))),
        min_size=1,
        max_size=3,
    ),
)
reconnect = st.tuples(
    st.sampled_from(("reconnect", "fresh", "forgetful", "lying")),
    st.lists(
        st.tuples(st.sampled_from(TYPES), st.sampled_from(("a", "b", "surplus")), st.just("?")),
        max_size=2,
    ),
)
nothing: list[tuple[str, str, str]] = []
wait = st.tuples(st.just("wait"), st.just(nothing))
steps = st.lists(st.one_of(put, put, drop, health, reconnect, wait), min_size=3, max_size=25)


class World:
    """A session, a client, and what the client should end with."""

    def __init__(self, semantic: bool) -> None:
        self.wire = Wire()
        self.envoy = FakeEnvoy(self.wire, bad={"bad", "worse"}, semantic=semantic)
        self.desired: dict[tuple[str, str], str] = {}
        self.revision = 0

    def desire(self, puts: list[tuple[str, str]], gone: list[tuple[str, str]]) -> None:
        self.revision += 1
        upserts = [resource(t, n, self.desired[t, n]) for t, n in puts]  # type: ignore[arg-type] # types
        effects = self.wire.handle(
            change(f"e@{self.revision}", *upserts, remove=gone)  # type: ignore[arg-type] # types
        )
        self.envoy.take(effects)

    def step(self, verb: str, items: list[tuple[str, str, str]]) -> None:
        if verb == "away":  # A change while no stream is open.
            self.wire.close()
            self.step("put", items)
            self.envoy.connect()
        elif verb == "put":
            puts = []
            for type_url, name, version in items:
                self.desired[type_url, name] = version
                puts.append((type_url, name))
                if type_url == CDS and (EDS, name) not in self.desired:
                    self.desired[EDS, name] = "1"
                    puts.append((EDS, name))
            self.desire(list(dict.fromkeys(puts)), [])
        elif verb == "drop":
            gone = [(t, n) for t, n, _ in items if self.desired.pop((t, n), "")]
            for type_url, name in list(gone):
                if type_url == CDS and self.desired.pop((EDS, name), ""):
                    gone.append((EDS, name))
            self.desire([], gone)
        elif verb == "health":
            known = [(t, n, v) for t, n, v in items if (t, n) in self.desired]
            self.desired.update({(t, n): v for t, n, v in known})
            self.desire([(t, n) for t, n, _ in known], [])
        elif verb == "wait":
            self.envoy.take(self.wire.wait(0.7))
        else:
            self.reconnect(verb, items)

    def reconnect(self, verb: str, items: list[tuple[str, str, str]]) -> None:
        self.wire.close()
        envoy = self.envoy
        if verb == "fresh":
            for held in envoy.held.values():
                held.clear()
            envoy.watched.clear()
            envoy.warming.clear()
        for type_url, name, version in items:
            if verb == "forgetful":
                envoy.held[type_url].pop(name, None)  # type: ignore[index] # a TypeUrl
            elif verb == "lying" and type_url != RDS:
                envoy.held[type_url][name] = version  # type: ignore[index] # a TypeUrl
        if verb == "forgetful":
            envoy.watched &= set(envoy.held[CDS])
        envoy.connect()

    def settle(self) -> None:
        for _ in range(40):
            if self.envoy.warming:  # A client whose clusters are warm asks for clusters again (M3).
                self.envoy.take(self.wire.wait(0.1))
            self.envoy.take(self.wire.wait(0.5))
            if not self.envoy.asked_clusters and not self.envoy.warming:
                self.envoy.ask_clusters()


@settings(max_examples=300)
@given(steps, st.booleans())
def test_every_history_ends_with_envoy_at_the_desired_state(
    history: list[tuple[str, list[tuple[str, str, str]]]], semantic: bool
) -> None:
    world = World(semantic)
    world.desire([], [])
    world.envoy.connect()
    for verb, items in history:
        world.step(verb, items)
    world.settle()
    envoy = world.envoy
    assert not envoy.warming
    assert not envoy.withheld
    assert world.wire.session.snapshot().state is SessionState.IN_FORCE
    assert world.wire.session.snapshot().in_force == f"e@{world.revision}"
    good = {key: v for key, v in world.desired.items() if v not in envoy.bad}
    for (type_url, name), version in good.items():
        if type_url == EDS and name not in envoy.watched:
            continue
        assert envoy.held[type_url].get(name) == version, (type_url, name)  # type: ignore[index] # a TypeUrl
    for type_url in (CDS, LDS, VHDS):
        surplus = set(envoy.held[type_url]) - {n for t, n in world.desired if t == type_url}
        if type_url is not CDS or not any(
            world.wire.session.snapshot().rejected[i].type_url in (LDS, RDS, VHDS)
            for i in range(len(world.wire.session.snapshot().rejected))
        ):
            assert not surplus, type_url


@settings(max_examples=80)
@given(steps)
def test_refused_versions_are_sent_a_bounded_number_of_times(
    history: list[tuple[str, list[tuple[str, str, str]]]],
) -> None:
    world = World(semantic=False)
    world.desire([], [])
    world.envoy.connect()
    for verb, items in history:
        world.step(verb, items)
    before = sum(n for key, n in world.envoy.sent_by_version.items() if key[2] in world.envoy.bad)
    world.settle()
    world.settle()
    after = sum(n for key, n in world.envoy.sent_by_version.items() if key[2] in world.envoy.bad)
    assert after - before <= 3 * len(history)
    world.envoy.sent_by_version.clear()
    world.settle()
    assert not world.envoy.sent_by_version, "nothing is sent when nothing happens"
