"""When the mesh ejects, and when it must not: requirements 47 to 51 and 55, with ablations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.outlier import poison, votes
from sidecar.outlier.model import Destination, EjectionPolicy, Observer, Place
from sidecar.outlier.view import JudgementState
from tests.simulation.ejection.envoy import EnvoySettings
from tests.simulation.ejection.faults import Fault
from tests.simulation.ejection.figures import imposed_anywhere, quorum_met_s
from tests.simulation.ejection.liars import all_endpoints, lie
from tests.simulation.ejection.mesh import Mesh, MeshHost, Setup, hosts_named
from tests.simulation.ejection.scenarios import egress_broken

HOLD_OFF_S = EjectionPolicy().hold_off_s
FEW = Setup(hosts=12, endpoints=4)
"""As many hosts as make the quorum three."""


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_47_a_bad_endpoint_is_out_everywhere_soon_after_a_quorum_has_seen_it(
    seed: int, rate: float
) -> None:
    mesh = Mesh(Setup(rate=rate, faults=(Fault(frozenset({0})),)), seed)
    mesh.run_to(10.0)
    assert len(mesh.avoiders(0)) == 30
    last_s = max(when_s for when_s, _, _ in imposed_anywhere(mesh))
    assert last_s <= quorum_met_s(mesh, 3) + mesh.setup.poll_s + HOLD_OFF_S + 1.0
    assert {endpoint for _, _, endpoint in imposed_anywhere(mesh)} == {0}


def test_47_with_one_accuser_less_than_the_quorum_never(seed: int) -> None:
    fault = Fault(frozenset({0}), observers=hosts_named(3, 7))
    mesh = Mesh(replace(FEW, faults=(fault,)), seed)
    mesh.run_to(60.0)
    assert imposed_anywhere(mesh) == []


@pytest.mark.parametrize("rate", [0.3, 3.0])
def test_48_a_poisoned_observer_ejects_nothing(seed: int, rate: float, deep: bool) -> None:
    setup = Setup(hosts=10, rate=rate, endpoints=4, destinations=2, base_error=0.05)
    mesh = Mesh(setup, seed)
    lie(mesh, ["n3"], all_endpoints(mesh))
    mesh.run_to(600.0 if deep else 30.0)
    assert imposed_anywhere(mesh) == []


def test_48_a_host_whose_own_egress_broke_ejects_nothing(seed: int) -> None:
    setup = replace(FEW, destinations=2)
    setup = replace(setup, faults=(egress_broken(hosts_named(4), setup),))
    mesh = Mesh(setup, seed)
    mesh.run_to(60.0)
    assert imposed_anywhere(mesh) == []


def test_49_colluding_observers_below_the_quorum_eject_nothing(seed: int) -> None:
    mesh = Mesh(FEW, seed)
    lie(mesh, ["n1", "n2"], all_endpoints(mesh)[:1])
    mesh.run_to(30.0)
    assert imposed_anywhere(mesh) == []


def test_49_lies_about_the_past_do_not_shorten_the_hold_off(seed: int) -> None:
    mesh = Mesh(replace(FEW, rate=0.3), seed)
    lie(mesh, ["n1", "n2", "n3", "n4"], all_endpoints(mesh)[:1], for_s=120.0)
    mesh.run_to(HOLD_OFF_S * 0.9)
    assert imposed_anywhere(mesh) == []


def test_49_a_quorum_within_one_zone_ejects_nothing(seed: int) -> None:
    mesh = Mesh(replace(FEW, rate=0.1), seed)
    lie(mesh, ["n0", "n3", "n6", "n9"], all_endpoints(mesh)[:1])
    mesh.run_to(30.0)
    assert imposed_anywhere(mesh) == []


def test_49_observers_of_one_address_are_one(seed: int) -> None:
    mesh = Mesh(replace(FEW, rate=0.1), seed)
    for name in ("n1", "n2", "n3", "n4"):
        one = mesh.observers[name]
        mesh.observers[name] = Observer(name, one.counts, one.locality, "10.0.0.99")
    for name in mesh.hosts:
        mesh.see(mesh.observers, name)
    lie(mesh, ["n1", "n2", "n3", "n4"], all_endpoints(mesh)[:1])
    mesh.run_to(30.0)
    assert imposed_anywhere(mesh) == []


def _one_zone_lies(seed: int) -> Mesh:
    """A third of the hosts, all of one zone, accuse an endpoint that the others try rarely."""
    mesh = Mesh(Setup(hosts=18, endpoints=4, rate=0.05), seed)
    lie(mesh, ["n0", "n3", "n6", "n9", "n12", "n15"], all_endpoints(mesh)[:1], for_s=1.0)
    mesh.run_to(10.0)
    return mesh


def test_48_ablation_without_diversity_one_zone_ejects(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert imposed_anywhere(_one_zone_lies(seed)) == []
    monkeypatch.setattr(votes, "_is_diverse", lambda *_: True)
    assert imposed_anywhere(_one_zone_lies(seed)) != []


def _lowered_bar(seed: int) -> Mesh:
    """Two liars accuse all they know; a third of the hosts really cannot reach one of those endpoints.

    It takes four accusers, and a third of those with a say: the liars' votes decide, unless they are not believed.
    """
    fault = Fault(frozenset({0}), observers=hosts_named(4, 5, 6))
    policy = EjectionPolicy(quorum=4, agreement=0.3)
    mesh = Mesh(replace(FEW, rate=3.0, policy=policy, faults=(fault,)), seed)
    lie(mesh, ["n1", "n2"], all_endpoints(mesh), from_s=-4.0, for_s=1.0)
    mesh.run_to(8.0)
    return mesh


def test_48_ablation_believed_liars_lower_the_bar(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert imposed_anywhere(_lowered_bar(seed)) == []
    monkeypatch.setattr(poison, "_CONTRADICTED_MIN", 1000)
    assert imposed_anywhere(_lowered_bar(seed)) != []


@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_50_what_fails_for_two_in_five_stays_in_use_for_the_others(
    seed: int, rate: float, deep: bool
) -> None:
    for run in range(3 if deep else 1):  # with two rates and twenty seeds more than a hundred runs
        mesh = _partly_reachable(rate, seed + 100 * run, EjectionPolicy())
        assert imposed_anywhere(mesh) == []
        blind = mesh.setup.faults[0].observers or frozenset()
        assert mesh.avoiders(0) <= blind
        assert len(mesh.avoiders(0)) >= 10, "their own Envoys keep out what fails for them"


def test_50_ablation_without_a_hold_off_accusations_outrun_successes(seed: int) -> None:
    mesh = _partly_reachable(10.0, seed, EjectionPolicy(hold_off_s=0.0))
    blind = mesh.setup.faults[0].observers or frozenset()
    assert any(host not in blind for _, host, _ in imposed_anywhere(mesh))


def _partly_reachable(rate: float, seed: int, policy: EjectionPolicy) -> Mesh:
    blind = frozenset(f"n{(7 * number + seed) % 30}" for number in range(12))
    faults = (Fault(frozenset({0}), observers=blind),)
    mesh = Mesh(Setup(rate=rate, endpoints=4, faults=faults, policy=policy), seed)
    mesh.run_to(20.0 if rate <= 1 else 5.0)
    return mesh


def test_50_late_counter_evidence_overturns_a_wrong_verdict(seed: int) -> None:
    blind = hosts_named(*range(5))
    fault = Fault(frozenset({0}), observers=blind)
    mesh = Mesh(replace(FEW, rate=1.0, faults=(fault,)), seed)
    mesh.model.groups = {name: 1 for name in mesh.hosts if name not in blind}
    mesh.run_to(8.0)
    assert mesh.imposers(0) == blind, "those who hear only each other agree"
    mesh.model.groups = {}
    for name in mesh.hosts:
        mesh.model.catch_up(name)
    mesh.run_to(10.0)
    assert mesh.imposers(0) == set()


def test_51_when_most_endpoints_fail_at_once_at_least_half_stay_in_use(seed: int) -> None:
    mesh = Mesh(Setup(hosts=10, endpoints=10, faults=(Fault(frozenset(range(8))),)), seed)
    for second in range(2, 41, 2):
        mesh.run_to(float(second))
        for host in mesh.hosts.values():
            cluster = host.clusters[mesh.destinations[0]]
            assert sum(cluster.avoids(e) for e in range(10)) <= 5


def test_51_of_more_than_the_cap_allows_all_choose_the_same(seed: int) -> None:
    apart_s = 32.0  # longer than the guard against mass ejections looks back
    faults = tuple(Fault(frozenset({e}), since_s=apart_s * e) for e in range(4))
    policy = EjectionPolicy(max_ejection_share=0.3, base_ejection_s=200.0)
    envoy = EnvoySettings(max_ejection_share=0.3)
    mesh = Mesh(Setup(hosts=10, faults=faults, policy=policy, envoy=envoy), seed)
    mesh.run_to(3 * apart_s + 15.0)
    places = mesh.places[0]
    assert {_ejected(host) for host in mesh.hosts.values()} == {frozenset(places[:3])}
    for host in mesh.hosts.values():
        assert sum(host.clusters[mesh.destinations[0]].avoids(e) for e in range(10)) <= 3


def _ejected(host: MeshHost) -> frozenset[Place]:
    """What the mesh has ejected, as this host judges."""
    assert host.core is not None
    states = (JudgementState.EJECTED, JudgementState.TRIAL)
    return frozenset(one.place for one in host.core.view().endpoints if one.state in states)


@pytest.mark.parametrize("endpoints", [1, 2])
def test_51_the_last_endpoint_is_never_ejected(seed: int, endpoints: int) -> None:
    everything = Fault(frozenset(range(endpoints)))
    never = EnvoySettings(max_ejection_share=0.5, consecutive_5xx=10**6)
    mesh = Mesh(Setup(hosts=10, endpoints=endpoints, faults=(everything,), envoy=never), seed)
    for second in range(1, 60, 2):
        mesh.run_to(float(second))
        assert all(len(host.imposed) < endpoints for host in mesh.hosts.values())


def test_55_an_address_that_another_workload_took_over_is_innocent(seed: int) -> None:
    mesh = Mesh(replace(FEW, faults=(Fault(frozenset({0}), until_s=8.0),)), seed)
    mesh.run_to(8.0)
    assert len(mesh.imposers(0)) == 12
    _replace_workload(mesh, mesh.destinations[0], mesh.places[0][0])
    mesh.run_to(9.0)
    assert mesh.imposers(0) == set()
    mesh.run_to(40.0)
    assert mesh.avoiders(0) == set()


def _replace_workload(mesh: Mesh, destination: Destination, place: Place) -> None:
    """The endpoint is removed and another one takes its address; configuration tells everybody."""
    mesh.generations[place] += 1
    for host in mesh.hosts.values():
        number = mesh.places[0].index(place)
        host.clusters[destination].replace(number, place, mesh.world.now_s)
        mesh.introduce(host)
