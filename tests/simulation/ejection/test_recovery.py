"""How ejections end: requirements 52 and 53, expiry, trials, staged return, restarts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from sidecar.outlier.events import Imposed
from sidecar.outlier.imposing import RETURN_S
from sidecar.outlier.model import EjectionPolicy
from sidecar.outlier.phases import TRIAL_STEP_S
from sidecar.outlier.votes import WITNESSES
from tests.simulation.ejection.faults import Fault
from tests.simulation.ejection.figures import spans
from tests.simulation.ejection.mesh import Mesh, Setup
from tests.simulation.ejection.scenarios import run

BASE_S = EjectionPolicy().base_ejection_s
HOLD_OFF_S = EjectionPolicy().hold_off_s
JITTER = 0.2
TRIAL_S = 2 * TRIAL_STEP_S
"""Within which twelve hosts with a request a second have decided a trial."""
FEW = Setup(hosts=12, endpoints=4)


def test_52_a_healed_endpoint_is_back_everywhere_soon_after_its_hold(seed: int) -> None:
    mesh = Mesh(replace(FEW, faults=(Fault(frozenset({0}), until_s=20.0),)), seed)
    mesh.run_to(20.0)
    assert len(mesh.avoiders(0)) == 12
    mesh.run_to(BASE_S * (1 + JITTER) + HOLD_OFF_S + TRIAL_S + RETURN_S + 3.0)
    assert mesh.avoiders(0) == set()
    failed = [when_s for when_s, *_ in mesh.journal.failures if when_s - mesh.zero_s > 20.0]
    assert failed == [], "it returned well"


def test_52_it_returns_in_stages(seed: int) -> None:
    mesh = run("S11", seed=seed, hosts=12, endpoints=4)
    returned = sorted(
        parts[-1][1] for (_, _, e), parts in spans(mesh, ("mesh", "trial")).items() if e == 0
    )
    assert len(returned) == 12
    assert 1.0 < returned[-1] - returned[0] < TRIAL_S + RETURN_S + 3.0, "not all at once"


def test_52_two_try_first_and_never_more_than_it_takes(seed: int) -> None:
    mesh = Mesh(replace(FEW, rate=3.0, faults=(Fault(frozenset({0}), until_s=60.0),)), seed)
    mesh.run_to(50.0)
    tried = spans(mesh, ("trial",))
    first_s = min(parts[0][0] for parts in tried.values())
    assert sum(parts[0][0] < first_s + 1.0 for parts in tried.values()) == WITNESSES
    # Whose own Envoy still has it ejected sends nothing: others take over, and no request fails by that.
    met = {
        host
        for when_s, host, _, e in mesh.journal.failures
        if e == 0 and when_s > mesh.zero_s + first_s
    }
    assert 0 < len(met) <= 2 * WITNESSES, "a failed trial takes in nobody else"
    assert mesh.avoiders(0) == set(mesh.hosts)


def test_53_a_flapping_endpoint_is_ejected_once_a_hold_and_each_hold_is_longer(seed: int) -> None:
    mesh = run("S9", seed=seed, hosts=12, endpoints=4)
    mine = sorted(
        begins
        for (host, _, e), parts in spans(mesh, ("mesh",)).items()
        if host == "n5" and e == 0
        for begins, _ in parts
    )
    for (earlier_s, later_s), level in zip(pairwise(mine), range(10), strict=False):
        assert later_s - earlier_s >= BASE_S * 2**level * (1 - JITTER)
    assert mine


def test_a_restarted_sidecar_holds_what_evidence_backs_and_nothing_else(seed: int) -> None:
    mesh = Mesh(replace(FEW, faults=(Fault(frozenset({0})),)), seed)
    mesh.run_to(15.0)
    assert "n0" in mesh.imposers(0)
    mesh.stop_core("n0")
    mesh.run_to(17.0)
    mesh.start_core("n0")
    mesh.run_to(19.0)
    assert "n0" in mesh.imposers(0)


def test_an_ejection_does_not_outlive_its_evidence(seed: int) -> None:
    mesh = Mesh(replace(FEW, faults=(Fault(frozenset({0}), until_s=10.0),)), seed)
    mesh.run_to(9.0)
    held = mesh.imposers(0)
    assert held
    for name in sorted(mesh.hosts)[1:]:
        mesh.stop_core(name)
    mesh.run_to(9.0 + 15.0 + 1.0)
    alone = mesh.hosts["n0"]
    assert Imposed.EJECTED not in alone.imposed.values()
