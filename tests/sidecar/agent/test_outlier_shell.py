"""The shell of shared ejection between a scripted node, Envoy and gossip; the core is the real one."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import structlog
import trio
from prometheus_client import CollectorRegistry
from trio.testing import MockClock

from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.outcomes import OutcomesSource
from sidecar.agent.outlier_memory import SYNC_S, read_imposed, write_imposed
from sidecar.agent.outlier_metrics import OutlierMetrics
from sidecar.agent.outlier_shell import OutlierShell
from sidecar.gossip import GossipView, Identity, Status
from sidecar.gossip import events as told
from sidecar.gossip.records import Record, Topic
from sidecar.gossip.view import MemberView
from sidecar.mesh.model import HostName, Locality
from sidecar.node.events import ParticipantsChanged
from sidecar.node.participants import ObservedCluster
from sidecar.outlier.events import (
    EndpointName,
    Imposed,
    Override,
    OverrideKind,
)
from sidecar.outlier.model import (
    Destination,
    DestinationFacts,
    EjectionPolicy,
    EndpointFact,
    Outcomes,
    Place,
)
from sidecar.outlier.view import JudgementState
from sidecar.xds.local_ejections import EjectedUntil
from store.errors import InputError

A = Destination(HostName("a"), 80)
PLACES = tuple(Place(f"10.0.0.{number}", 80) for number in range(1, 5))
BAD: EndpointName = (A, PLACES[0])
CLUSTER = "outbound|80||a"
TAKING_PART = ParticipantsChanged(
    {A: DestinationFacts(EjectionPolicy(), tuple(EndpointFact(at, 7) for at in PLACES))},
    {CLUSTER: ObservedCluster(A)},
)


@dataclass
class Middle:
    """The node's place."""

    judgements: list[Mapping[EndpointName, Imposed]] = field(default_factory=list)
    ejections: list[EjectedUntil] = field(default_factory=list)
    held: set[tuple[str, Place]] = field(default_factory=set)

    def judged(self, imposed: Mapping[EndpointName, Imposed]) -> None:
        self.judgements.append(imposed)

    def envoy_ejected(self, until_s: EjectedUntil) -> None:
        self.ejections.append(until_s)

    def held_ejections(self) -> set[tuple[str, Place]]:
        return self.held

    def locality_of(self, node: str) -> Locality:
        return Locality("r", node)


EMPTY = GossipView(
    Identity("h0", "10.1.0.0:7946", 5), 0, (), 0, 0, 0, 0, None, has_left=False, counters=()
)


class Mesh:
    """Gossip's place, for several shells at once: what one says all others hear at once."""

    def __init__(self) -> None:
        self.shells: dict[str, Voice] = {}


class Voice:
    """One member of it."""

    def __init__(self, mesh: Mesh, node: str) -> None:
        self.node = node
        self.said: list[Record] = []
        self.callbacks: list[Callable[[told.Effect], None]] = []
        self._mesh = mesh
        mesh.shells[node] = self

    def view(self) -> GossipView:
        members = tuple(
            MemberView(
                Identity(other, f"10.1.0.{other[1:]}:7946", 5), Status.ALIVE, 0, 0.0, (), False
            )
            for other in sorted(self._mesh.shells)
            if other != self.node
        )
        return replace(EMPTY, identity=Identity(self.node, "", 5), members=members)

    def listen(self, callback: Callable[[told.Effect], None]) -> None:
        self.callbacks.append(callback)

    def say(self, topic: Topic, page: int, body: bytes) -> None:
        record = Record(topic, self.node, page, 5, len(self.said) + 1, body, b"k" * 32, b"s" * 64)
        self.said.append(record)
        for other in self._mesh.shells.values():
            if other is not self:
                other.hear(record)

    def hear(self, record: Record) -> None:
        for callback in self.callbacks:
            callback(told.RecordHeard(record))


@dataclass
class Host:
    """One shell with all that it talks to."""

    shell: OutlierShell
    middle: Middle
    count: Callable[[Mapping[EndpointName, Outcomes]], None]
    eject: Callable[[EjectedUntil], None]
    registry: CollectorRegistry
    memory: Path

    def imposed(self) -> Mapping[EndpointName, Imposed]:
        return self.middle.judgements[-1] if self.middle.judgements else {}

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"meshd_outlier_{name}", labels)


def make_host(folder: Path, node: str = "h0", voice: Voice | None = None) -> Host:
    middle, registry = Middle(), CollectorRegistry()
    hooks: dict[str, Callable[..., None]] = {}

    def source(
        counted: Callable[[Mapping[EndpointName, Outcomes]], None],
        ejected: Callable[[EjectedUntil], None],
    ) -> OutcomesSource:
        hooks.update(counted=counted, ejected=ejected)
        return OutcomesSource(AdminClient(folder / "none.sock"), lambda _: None, counted, ejected)

    memory = folder / f"{node}.json"
    shell = OutlierShell(
        node,
        locality=Locality("r", node),
        address=f"10.1.0.{node[1:]}",
        voice=middle,
        source=source,
        gossip=voice,
        memory=memory,
        metrics=OutlierMetrics(registry),
    )
    return Host(shell, middle, hooks["counted"], hooks["ejected"], registry, memory)


@asynccontextmanager
async def running(*hosts: Host) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for host in hosts:
            host.shell.recall()
            nursery.start_soon(host.shell.run)
        for host in hosts:
            host.shell.follow(TAKING_PART)
        await trio.sleep(SYNC_S * 2)
        yield
        nursery.cancel_scope.cancel()


async def traffic(*hosts: Host, rounds: int = 12) -> None:
    """Half a second each: the first endpoint fails at every host, the others answer."""
    for _ in range(rounds):
        for host in hosts:
            host.count(
                {
                    (A, place): Outcomes(external=2) if place == PLACES[0] else Outcomes(ok=5)
                    for place in PLACES
                    if host.imposed().get((A, place)) is None
                }
            )
        await trio.sleep(0.5)


async def test_hosts_that_all_fail_with_an_endpoint_leave_it_out_and_say_so(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    mesh = Mesh()
    hosts = [make_host(tmp_path, f"h{n}", Voice(mesh, f"h{n}")) for n in range(3)]
    async with running(*hosts):
        await traffic(*hosts)
        for host in hosts:
            assert host.middle.judgements[-1] == {BAD: Imposed.EJECTED}
            assert read_imposed(host.memory) == {BAD: Imposed.EJECTED}
            labels = {"cluster": "outbound|80||a", "reason": "quorum", "origin": "gossip"}
            assert host.metric("ejections_total", **labels) == 1
            assert host.metric("endpoint_ejected", cluster=CLUSTER, endpoint="10.0.0.1:80") == 1
            assert host.metric("endpoint_ejected", cluster=CLUSTER, endpoint="10.0.0.2:80") is None
            (row,) = host.shell.view().endpoints
            assert {one.node for one in row.witnesses} == {"h0", "h1", "h2"}
        assert all(record.topic is Topic.EVIDENCE for record in mesh.shells["h0"].said)


async def test_without_gossip_nothing_is_imposed_whatever_fails(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host = make_host(tmp_path)
    write_imposed(host.memory, {BAD: Imposed.EJECTED})
    async with running(host):
        await traffic(host)
        assert not any(host.middle.judgements)
        with pytest.raises(InputError, match="gossip is off"):
            host.shell.operator_said(Override(OverrideKind.PAUSE, None, None, 60.0))


async def test_what_was_imposed_before_a_restart_holds_for_a_second(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host = make_host(tmp_path, voice=Voice(Mesh(), "h0"))
    write_imposed(host.memory, {BAD: Imposed.EJECTED})
    async with trio.open_nursery() as nursery:
        host.shell.recall()
        nursery.start_soon(host.shell.run)
        await trio.sleep(SYNC_S * 0.95)
        assert host.middle.judgements == [{BAD: Imposed.EJECTED}]
        await trio.sleep(SYNC_S * 0.1)
        assert host.middle.judgements == [{BAD: Imposed.EJECTED}, {}]
        nursery.cancel_scope.cancel()
    assert read_imposed(host.memory) == {}


async def test_an_ejection_with_evidence_outlives_the_restart_of_one_host(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    mesh = Mesh()
    hosts = [make_host(tmp_path, f"h{n}", Voice(mesh, f"h{n}")) for n in range(3)]
    async with running(*hosts):
        await traffic(*hosts)
        voice = Voice(mesh, "h0")
        again = make_host(tmp_path, "h0", voice)
        async with trio.open_nursery() as nursery:
            again.shell.recall()
            again.shell.follow(TAKING_PART)
            nursery.start_soon(again.shell.run)
            for other in ("h1", "h2"):
                newest = {record.page: record for record in mesh.shells[other].said}
                for record in newest.values():
                    voice.hear(record)
                await trio.sleep(SYNC_S * 0.1)
                (row,) = again.shell.view().endpoints
                is_judged = row.state is JudgementState.EJECTED
                assert (is_judged, row.imposed) == (other == "h2", Imposed.EJECTED)
            await trio.sleep(SYNC_S * 3)
            assert all(judged == {BAD: Imposed.EJECTED} for judged in again.middle.judgements)
            nursery.cancel_scope.cancel()


async def test_a_broken_memory_is_told_and_forgotten(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host = make_host(tmp_path, voice=Voice(Mesh(), "h0"))
    host.memory.write_text("nonsense")
    with structlog.testing.capture_logs() as lines:
        async with running(host):
            assert not any(host.middle.judgements)
    assert "imposed_not_recalled" in [line["event"] for line in lines]


async def test_ejections_of_envoy_and_those_held_for_it_are_one_to_the_core(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    host = make_host(tmp_path, voice=Voice(Mesh(), "h0"))
    labels = {"cluster": CLUSTER, "reason": "detector", "origin": "local"}
    async with running(host):
        host.eject({(CLUSTER, PLACES[0]): math.inf, ("other", PLACES[1]): math.inf})
        assert len(host.middle.ejections) == 1
        (row,) = host.shell.view().endpoints
        assert (row.place, row.locally_ejected) == (PLACES[0], True)
        assert host.metric("ejected_endpoints", cluster=CLUSTER) == 1
        host.middle.held = {(CLUSTER, PLACES[0])}
        host.eject({})
        assert [one.locally_ejected for one in host.shell.view().endpoints] == [True]
        assert host.metric("ejections_total", **labels) == 1
        host.middle.held = set()
        host.shell.held_changed()
        assert not any(one.locally_ejected for one in host.shell.view().endpoints)
        assert host.metric("ejected_endpoints", cluster=CLUSTER) is None


async def test_an_operators_word_is_told_to_the_mesh(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    mesh = Mesh()
    hosts = [make_host(tmp_path, f"h{n}", Voice(mesh, f"h{n}")) for n in range(3)]
    async with running(*hosts):
        hosts[1].shell.operator_said(Override(OverrideKind.PAUSE, None, None, 600.0, "drill"))
        assert [record.topic for record in mesh.shells["h1"].said] == [Topic.OVERRIDES]
        await traffic(*hosts)
        assert not any(any(host.middle.judgements) for host in hosts)
        (pause,) = hosts[0].shell.view().overrides
        assert (pause.node, pause.reason) == ("h1", "drill")
