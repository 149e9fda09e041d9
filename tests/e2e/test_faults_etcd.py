"""etcd killed and frozen while requests flow: no request fails, and changes flow again by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import HOSTS, REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as meshed:
        yield meshed


def test_killed_etcd_fails_no_request_and_changes_flow_after_its_restart(meshed: Meshed) -> None:
    mesh, client = meshed
    mesh.put(reviews_to("v1"))
    with client.load(REVIEWS) as load:
        load.wait_for(200)
        mesh.etcd.kill()
        client.wait_status("the loss of etcd", lambda s: s["store"]["state"] != "watching")
        load.wait_for(200)
        mesh.etcd.start()
        revision = mesh.put(reviews_to("v2"), wait=False)
        client.wait_in_force(revision)
        assert client.ask(REVIEWS).version == "v2"
        load.wait_for(200)
    load.assert_none_failed(at_least=600)


def test_put_says_that_the_store_is_unreachable_and_exits_6(meshed: Meshed) -> None:
    mesh, _ = meshed
    mesh.etcd.kill()
    try:
        done = mesh.meshd("--etcd-timeout", "2", "put", "-f", "-", stdin=reviews_to("v1"))
    finally:
        mesh.etcd.start()
    assert done.returncode == 6, done.stdout + done.stderr
    assert mesh.etcd.url in done.stderr
    assert "Traceback" not in done.stderr
    print(done.stderr)


LONG_GONE_S = -4.0
"""By this much a lease has run out for certain: etcd may have taken a renewal (each 1.7 s) whose answer it was frozen
before giving, and would then go on with the old lease, and rightly write nothing again."""


def test_etcd_frozen_beyond_the_life_of_leases_fails_no_request(meshed: Meshed) -> None:
    mesh, client = meshed
    mesh.put(reviews_to("v1"))
    keys = [f"/meshd/v1/hosts/{host}" for host in HOSTS]
    before = {key: mesh.client.get(key) for key in keys}
    assert all(before.values()), before
    with client.load(REVIEWS) as load:
        mesh.etcd.freeze()
        try:
            done = mesh.meshd("--etcd-timeout", "1", "put", "-f", "-", stdin=reviews_to("v2"))
            assert done.returncode == 6, done.stdout + done.stderr
            for host in HOSTS:
                mesh.sidecars[host].wait_status(
                    "the end of the lease",
                    lambda status: status["registration"]["lease_s_left"] < LONG_GONE_S,
                )
        finally:
            mesh.etcd.thaw()
        for key in keys:
            wait_until(
                lambda key=key: (  # type: ignore[misc]
                    (found := mesh.client.get(key))
                    and found.mod_revision > before[key].mod_revision  # type: ignore[union-attr]
                ),
                45,
                f"{key} to be written again",
            )
        revision = mesh.put(reviews_to("v2"))
        assert client.status()["config"]["revision_in_force"] >= revision
        client.wait_status("all hosts back", lambda status: not status["kept_hosts"])
        assert client.ask(REVIEWS).version == "v2"
        load.wait_for(200)
    load.assert_none_failed(at_least=600)
