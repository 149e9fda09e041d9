"""A host that starts while etcd is away: the last known good serves within a second or so, and says how old it is."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]
COLD_START_MAX_S = 8.0
"""Python, Envoy and the mesh from disk: about a second on an idle machine; a busy test machine gets eight."""


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as meshed:
        yield meshed


@pytest.fixture
def without_etcd(meshed: Meshed) -> Iterator[Meshed]:
    """The client's host is down, its disk has reviews going to v2, and etcd is away."""
    mesh, client = meshed
    client.wait_last_good(mesh.put(reviews_to("v2")))
    client.remove()
    mesh.etcd.kill()
    yield meshed
    if mesh.etcd.process is None:
        mesh.etcd.start()
    if client.process is None:
        client.start()
    client.wait_ready()


def test_requests_are_served_from_disk_within_a_second_or_so(without_etcd: Meshed) -> None:
    mesh, client = without_etcd
    began = time.monotonic()
    client.start()
    wait_until(lambda: client.ask(REVIEWS).status == 200, COLD_START_MAX_S, "the first answer")
    print(f"first answer {time.monotonic() - began:.2f} s after exec, with etcd away")
    assert {client.ask(REVIEWS).version for _ in range(10)} == {"v2"}
    client.wait_ready()
    status = client.status()
    assert status["config"]["source"] == "disk"
    assert status["config"]["age_s"] > 0
    assert status["store"]["state"] != "watching"
    assert status["store"]["error"]
    shown = mesh.meshd("status", client.node)
    assert "disk" in shown.stdout, shown.stdout


def test_changes_flow_by_themselves_when_etcd_is_back(without_etcd: Meshed) -> None:
    mesh, client = without_etcd
    client.start().wait_ready()
    with client.load(REVIEWS) as load:
        mesh.etcd.start()
        revision = mesh.put(reviews_to("v1"))
        assert client.wait_in_force(revision)
        assert client.ask(REVIEWS).version == "v1"
        load.wait_for(20)
    load.assert_none_failed()
    status = client.status()
    assert status["config"]["source"] == "etcd"
    assert status["config"]["age_s"] is None


def test_a_torn_file_is_refused_and_the_one_before_serves(without_etcd: Meshed) -> None:
    _, client = without_etcd
    newest = client.data_dir / "last-known-good.meshd"
    assert newest.with_name("last-known-good.before.meshd").exists()
    newest.write_bytes(newest.read_bytes()[:-100])
    client.start().wait_ready()
    assert client.ask(REVIEWS).status == 200
    assert newest.name in client.status()["last_known_good"]["refused"]


def test_without_etcd_and_disk_it_is_not_ready_and_says_why(without_etcd: Meshed) -> None:
    mesh, client = without_etcd
    for file in client.data_dir.glob("last-known-good*"):
        file.write_bytes(b"not ours")
    client.start()
    wait_until(lambda: client.page("/healthz")[0] == 200, 20, "the sidecar's status API")
    assert client.page("/readyz")[0] == 503
    status = client.status()
    assert status["config"]["source"] == "none"
    assert status["last_known_good"]["refused"]
    mesh.etcd.start()
    client.wait_ready()
    assert client.ask(REVIEWS).version == "v2"
