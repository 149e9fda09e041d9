"""Shared ejection over the real gossip cores: requirements 47, 52 and 54, loss and splits (S10), a stolen host."""

from __future__ import annotations

import random
from dataclasses import replace

from sidecar.gossip.records import Record, Topic
from sidecar.gossip.signing import Signer
from sidecar.outlier.events import Say
from sidecar.outlier.imposing import RETURN_S
from sidecar.outlier.model import EjectionPolicy
from tests.simulation.ejection.faults import Fault
from tests.simulation.ejection.figures import imposed_anywhere, quorum_met_s
from tests.simulation.ejection.gossiping import gossiping_mesh
from tests.simulation.ejection.liars import accusation, all_endpoints, pages
from tests.simulation.ejection.mesh import Arm, Setup
from tests.simulation.world import MESH

HOLD_OFF_S = EjectionPolicy().hold_off_s
LIFETIME_S = 15.0
ONE = Setup(faults=(Fault(frozenset({0})),))
FEW = replace(ONE, hosts=12, endpoints=4)


def test_47_over_gossip_a_bad_endpoint_is_out_everywhere_soon_after_a_quorum_saw_it(
    seed: int,
) -> None:
    mesh, _ = gossiping_mesh(ONE, seed)
    mesh.run_to(8.0)
    last_s = max(when_s for when_s, _, _ in imposed_anywhere(mesh))
    assert len(mesh.avoiders(0)) == 30
    assert last_s <= quorum_met_s(mesh, 3) + mesh.setup.poll_s + HOLD_OFF_S + 1.0


def test_s10_a_third_of_the_packets_lost_costs_little(seed: int) -> None:
    mesh, _ = gossiping_mesh(ONE, seed)
    mesh.world.net.loss = 0.3
    mesh.run_to(10.0)
    last_s = max(when_s for when_s, _, _ in imposed_anywhere(mesh))
    assert len(mesh.avoiders(0)) == 30
    assert last_s <= quorum_met_s(mesh, 3) + mesh.setup.poll_s + HOLD_OFF_S + 3.0


def test_52_on_the_far_side_of_a_split_an_ejection_dies_with_its_evidence(seed: int) -> None:
    mesh, _ = gossiping_mesh(replace(FEW, rate=1.0), seed)
    mesh.run_to(10.0)
    assert len(mesh.avoiders(0)) == 12
    mesh.world.net.split(["n0"], [name for name in mesh.hosts if name != "n0"])
    mesh.run_to(10.0 + LIFETIME_S + 1.0 + RETURN_S)
    assert "n0" not in mesh.imposers(0)
    assert len(mesh.imposers(0)) >= 8, "the other side still has its evidence"
    mesh.world.net.heal()
    mesh.run_to(50.0)
    assert len(mesh.avoiders(0)) >= 8, (
        "after the heal they agree again: out, but for those who try it"
    )


def test_54_without_gossip_it_is_as_with_envoys_alone(seed: int) -> None:
    cut, _ = gossiping_mesh(FEW, seed)
    for source in cut.hosts:
        cut.world.net.deaf.add(source)
    cut.run_to(60.0)
    alone, _ = gossiping_mesh(replace(FEW, arm=Arm.ALONE), seed)
    alone.run_to(60.0)
    assert len(cut.journal.failures) <= 1.05 * len(alone.journal.failures)
    assert cut.journal.requests == alone.journal.requests


def test_a_stolen_host_that_forges_the_rows_of_others_ejects_nothing(seed: int) -> None:
    mesh, carrier = gossiping_mesh(Setup(hosts=12, rate=0.3), seed)
    thief = Signer.from_seed(random.Random(seed).randbytes(32))
    mesh.run_to(0.0)
    accused = all_endpoints(mesh)[:4]
    for step in range(5):
        now_s = mesh.world.now_s
        rows = [accusation(mesh, name, now_s) for name in accused]
        for victim in ("n1", "n2", "n5", "n7"):
            for page, body in enumerate(pages(rows, now_s)):
                epoch = mesh.hosts[victim].epoch
                forged = Record(Topic.EVIDENCE, victim, page, epoch, 100 + step, body, b"", b"")
                carrier.smuggle(thief.sign(forged, MESH), by="n4")
        mesh.run_to(mesh.now_s + 2.0)
    assert imposed_anywhere(mesh) == []
    assert {refusal.node for _, refusal in carrier.refused} >= {"n1", "n2", "n5", "n7"}


def test_what_a_host_says_itself_reaches_all(seed: int) -> None:
    mesh, carrier = gossiping_mesh(Setup(hosts=10), seed)
    mesh.run_to(0.0)
    now_s = mesh.world.now_s
    body = pages([accusation(mesh, all_endpoints(mesh)[0], now_s)], now_s)[0]
    carrier.say("n3", 1, Say(Topic.EVIDENCE, 7, body))
    mesh.run_to(1.0)
    assert set(carrier.heard) == set(mesh.hosts) - {"n3"}
