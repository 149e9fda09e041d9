"""An etcd of three members, killed one by one while requests flow: changes arrive by themselves, no request fails."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from meshd.cli import exits
from tests.harness.clustered import ClusterMesh
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

FOLLOW_S = 15.0
"""How long a change may take that is put while a member is gone, election and a busy machine included."""

Meshed = tuple[ClusterMesh, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    """Host vm-1 serves both versions of reviews."""
    with ClusterMesh() as mesh:
        workloads = [
            mesh.workload(mesh.backend("reviews", version), 9080, name=f"reviews-{version}")
            for version in ("v1", "v2")
        ]
        yield mesh, mesh.sidecar("vm-1", *workloads)


def assert_followed(mesh: ClusterMesh, host: SidecarProcess, subset: str) -> None:
    """What is put now is in force by itself within seconds."""
    began = time.monotonic()
    revision = mesh.put(reviews_to(subset), wait=False)
    host.wait_in_force(revision)
    took_s = time.monotonic() - began
    print(f"put and in force after {took_s:.2f} s")
    assert took_s < FOLLOW_S
    assert host.ask(REVIEWS).version == subset


def test_the_watched_member_may_be_killed(meshed: Meshed) -> None:
    mesh, host = meshed
    mesh.put(reviews_to("v1"))
    with host.load(REVIEWS) as load:
        load.wait_for(50)
        watched = mesh.watched()
        watched.kill()
        assert_followed(mesh, host, "v2")
        assert mesh.watched() is not watched
        load.wait_for(50)
    load.assert_none_failed(at_least=100)
    watched.start()


def test_the_leader_may_be_killed(meshed: Meshed) -> None:
    mesh, host = meshed
    mesh.put(reviews_to("v1"))
    with host.load(REVIEWS) as load:
        load.wait_for(50)
        leader = mesh.leader()
        leader.kill()
        assert_followed(mesh, host, "v2")
        load.wait_for(50)
    load.assert_none_failed(at_least=100)
    leader.start()
    host.wait_status("its lease", lambda s: s["registration"]["state"] == "registered")


def test_a_frozen_member_is_left_for_another(meshed: Meshed) -> None:
    """Nothing breaks then: only silence tells, which takes pings and time (some 13 s at most)."""
    mesh, host = meshed
    mesh.put(reviews_to("v1"))
    watched = mesh.watched()
    with host.load(REVIEWS) as load:
        watched.freeze()
        try:
            revision = mesh.put(reviews_to("v2"), wait=False)
            began = time.monotonic()
            host.wait_in_force(revision)
            print(f"followed another member after {time.monotonic() - began:.2f} s")
            assert host.ask(REVIEWS).version == "v2"
        finally:
            watched.thaw()
    load.assert_none_failed(at_least=50)


def test_without_a_quorum_status_says_so_while_requests_go_on_and_all_follows_its_return(
    meshed: Meshed,
) -> None:
    mesh, host = meshed
    mesh.put(reviews_to("v1"))
    watched = mesh.watched()
    others = [member for member in mesh.members if member is not watched]
    with host.load(REVIEWS) as load:
        for member in others:
            member.kill()
        said = host.wait_status(
            "the loss of the quorum", lambda s: s["store"]["state"] == "backoff"
        )
        assert "has no leader" in said["store"]["error"] or "no answer" in said["store"]["error"]
        assert host.wait_status("its age", lambda s: s["config"]["age_s"])
        shown = mesh.meshd("status")
        assert shown.returncode == exits.NO
        assert "the store is not followed" in shown.stdout
        refused = mesh.meshd(
            "--etcd", ",".join(mesh.urls), "--etcd-timeout", "2", "put", "-f", "-",
            stdin=reviews_to("v2"),
        )  # fmt: skip
        assert refused.returncode == exits.UNREACHABLE, refused.stdout + refused.stderr
        load.wait_for(50)
        assert host.ask(REVIEWS).version == "v1"
        for member in others:
            member.start(wait=False)
        for member in others:
            member.wait_ready()
        assert_followed(mesh, host, "v2")
        host.wait_status("its lease", lambda s: s["registration"]["state"] == "registered")
        load.wait_for(50)
    load.assert_none_failed(at_least=200)


@pytest.mark.parametrize("away", [1, 2, 3])
def test_a_sidecar_starts_whatever_members_are_away(meshed: Meshed, away: int) -> None:
    """apache/apisix#5115, #10191: a gateway did not start because one of three members was down."""
    mesh, _ = meshed
    client = mesh.sidecars.get("vm-2") or mesh.sidecar("vm-2")
    client.wait_last_good(mesh.put(reviews_to("v2")))
    client.remove()
    gone = mesh.members[:away]
    for member in gone:
        member.kill()
    try:
        began = time.monotonic()
        client.start().wait_ready()
        wait_until(lambda: client.ask(REVIEWS).version == "v2", FOLLOW_S, "an answer")
        print(f"{away} of 3 members away: served {time.monotonic() - began:.2f} s after exec")
        if away == 1:
            assert_followed(mesh, client, "v1")
        else:
            assert client.status()["config"]["source"] == "disk"
    finally:
        for member in gone:
            member.start(wait=False)
        for member in gone:
            member.wait_ready()
    assert_followed(mesh, client, "v2")
