"""Another etcd behind the same address, with some hosts cut off from it: held, accepted, followed; never to and fro."""

from __future__ import annotations

import shutil
from functools import partial

import pytest

from tests.e2e.test_relay_follow import Meshed, meshed
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

__all__ = ["meshed"]

FOLLOWED_WITHIN_S = 150.0
"""A host that only peers tell of another etcd waits 30 s, in which its own may come back."""


def _serves(sidecar: SidecarProcess, version: str) -> bool:
    return sidecar.ask(REVIEWS).version == version


def cluster_of(sidecar: SidecarProcess) -> str:
    return str(sidecar.status()["config"]["epoch"]).partition(".")[0]


@pytest.fixture
def replaced(meshed: Meshed) -> tuple[Meshed, str]:
    """The far host is cut off; etcd was replaced by an empty one at the same address. And the old one's cluster id."""
    mesh = meshed.mesh
    before = cluster_of(meshed.near)
    meshed.cut_off()
    mesh.etcd.kill()
    shutil.rmtree(mesh.etcd.directory / f"{mesh.etcd.name}.data")
    mesh.etcd.flags = (*mesh.etcd.flags, "--initial-cluster-token", "another")
    mesh.etcd.start()
    return meshed, before


def test_an_empty_etcd_is_held_everywhere_until_a_person_accepts_it(
    replaced: tuple[Meshed, str],
) -> None:
    meshed, before = replaced
    mesh, near, far = meshed.mesh, meshed.near, meshed.far
    near_too = mesh.sidecars["near-v2"]
    for sidecar in (near, near_too):
        sidecar.wait_status("the hold", lambda now: now["config"]["sync"] == "held", 60)
        assert sidecar.ask(REVIEWS).version == "v1", "what was in force stays"
        assert cluster_of(sidecar) == before
    shown = mesh.meshd("epoch", "show")
    assert shown.returncode == 1
    assert "near-v1 holds off etcd" in shown.stdout + shown.stderr, shown
    assert far.ask(REVIEWS).version == "v1"

    mesh.put(reviews_to("v2"), wait=False)
    accepted = mesh.meshd("epoch", "accept", "near-v1", "near-v2")
    assert accepted.returncode == 0, accepted
    for sidecar in (near, near_too):
        sidecar.wait_status(
            "the other etcd", lambda now: not now["config"]["epoch"].startswith(before), 60
        )
        wait_until(partial(_serves, sidecar, "v2"), 60, "its content")
    after = cluster_of(near)
    # The far host hears of it from peers alone. What it has is all there (changed, not gone): it follows by itself.
    wait_until(lambda: cluster_of(far) == after, FOLLOWED_WITHIN_S, "the far host to follow")
    wait_until(lambda: far.ask(REVIEWS).version == "v2", 60, "its content there")
    assert far.status()["config"]["sync"] == "peers"

    # Its own way to etcd comes back: nothing goes to and fro.
    meshed.way.connect()
    far.wait_status("etcd", lambda now: now["store"]["state"] == "watching", 60)
    for subset in ("v1", "v2", "v1"):
        mesh.put(reviews_to(subset))
        for sidecar in mesh.running():
            assert cluster_of(sidecar) == after
            assert sidecar.ask(REVIEWS).version == subset
    lives = {str(sidecar.status()["config"]["epoch"]) for sidecar in mesh.running()}
    assert lives == {f"{after}.2"}, "each has changed once"
    assert mesh.meshd("epoch", "show").returncode == 0
