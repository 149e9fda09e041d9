"""Five real sidecars of which three hold a watch on etcd: the others follow them, and take over when they die."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.harness.gossip_settings import gossip, wait_members
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

HOSTS, WATCHERS = 5, 3
HAND_OVER_S = 90.0
"""Hosts that take a watch too many let go of it after 10 s."""


@pytest.fixture
def mesh() -> Iterator[MeshFixture]:
    share = {"relay": {"watch_share": 0.1, "watchers_min": WATCHERS}}
    with MeshFixture(**share) as mesh:
        for version in ("v1", "v2"):
            workload = mesh.workload(mesh.backend("reviews", version), 9080)
            mesh.sidecar(f"s{version}", workload, wait=False, **gossip(mesh))
        for number in range(HOSTS - 2):
            mesh.sidecar(f"s{number}", wait=False, **gossip(mesh))
        for sidecar in mesh.running():
            sidecar.wait_ready()
            wait_members(sidecar, alive=HOSTS - 1)
        mesh.wait_registered(*mesh.running())
        yield mesh


def watchers(mesh: MeshFixture) -> int:
    """Watches that etcd carries, by its own count."""
    found = re.search(
        r"^etcd_debugging_mvcc_watcher_total (\d+)", mesh.etcd.http_get("/metrics"), re.MULTILINE
    )
    return int(found[1]) if found else -1


def following(mesh: MeshFixture) -> list[SidecarProcess]:
    """Those that hold none."""
    return [one for one in mesh.running() if one.status()["store"]["state"] == "unwatched"]


def test_few_hold_a_watch_and_the_others_have_each_change_soon(mesh: MeshFixture) -> None:
    wait_until(lambda: watchers(mesh) == WATCHERS, HAND_OVER_S, f"{WATCHERS} watches at etcd")
    followers = following(mesh)
    assert len(followers) == HOSTS - WATCHERS
    for subset in ("v2", "v1", "v2"):
        began_s = time.monotonic()
        mesh.put(reviews_to(subset))
        print(f"in force everywhere after {time.monotonic() - began_s:.2f} s")
        assert followers[0].ask(REVIEWS).version == subset
    for follower in followers:
        config = follower.status()["config"]
        assert (config["source"], config["sync"], config["age_s"]) == ("peers", "peers", None)
        shown = mesh.meshd("status", follower.node)
        assert shown.returncode == 0, shown
        assert "not followed" not in shown.stdout
    waited = mesh.meshd("delete", "virtualservice", "reviews", "--yes", "--wait")
    assert waited.returncode == 0, waited


def test_when_watchers_die_others_take_over(mesh: MeshFixture) -> None:
    wait_until(lambda: watchers(mesh) == WATCHERS, HAND_OVER_S, f"{WATCHERS} watches at etcd")
    followers = following(mesh)
    victims = [one for one in mesh.running() if one not in followers][:2]
    for victim in victims:
        victim.kill()
    wait_until(lambda: not following(mesh), HAND_OVER_S, "the followers to take a watch")
    began_s = time.monotonic()
    revision = mesh.put(reviews_to("v2"), wait=False)
    for follower in followers:
        follower.wait_in_force(revision)
    print(f"in force at the new watchers after {time.monotonic() - began_s:.2f} s")
    for victim in victims:
        victim.start().wait_ready()
    wait_until(lambda: watchers(mesh) == WATCHERS, HAND_OVER_S, f"{WATCHERS} watches again")
    mesh.put(reviews_to("v1"))
