"""Objects in etcd steer real requests on every host: the shortest way through everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.harness.etcdctl import etcdctl
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def mesh() -> Iterator[MeshFixture]:
    with reviews_mesh() as (mesh, _):
        yield mesh


def test_a_registered_service_needs_no_object(mesh: MeshFixture) -> None:
    for sidecar in mesh.running():
        answers = Counter(sidecar.ask(REVIEWS).version for _ in range(20))
        assert set(answers) == {"v1", "v2"}


def test_what_is_put_is_in_force_on_every_host(mesh: MeshFixture) -> None:
    for subset in ("v1", "v2", "v1"):
        mesh.put(reviews_to(subset))
        for sidecar in mesh.running():
            assert {sidecar.ask(REVIEWS).version for _ in range(5)} == {subset}


def test_etcdctl_put_of_a_file_changes_where_requests_go(mesh: MeshFixture) -> None:
    mesh.put(reviews_to("v1"))
    rule = reviews_to("v2").split("---")[1]
    etcdctl(mesh.etcd, "put", "/meshd/v1/ns/default/virtualservices/reviews", stdin=rule)
    for sidecar in mesh.running():
        wait_until(lambda s=sidecar: s.ask(REVIEWS).version == "v2", 5, f"{sidecar.node} to ask v2")  # type: ignore[misc]


def test_meshd_put_waits_until_every_host_has_it_in_force(mesh: MeshFixture) -> None:
    mesh.put(reviews_to("v2"))
    done = mesh.meshd("put", "-f", "-", "--wait", stdin=reviews_to("v1"))
    assert done.returncode == 0, done.stdout + done.stderr
    for sidecar in mesh.running():
        assert sidecar.ask(REVIEWS).version == "v1"


def test_the_trace_of_a_sidecar_agrees_with_where_its_requests_go(mesh: MeshFixture) -> None:
    mesh.put(reviews_to("v2"))
    for sidecar in mesh.running():
        trace = sidecar.trace("http://reviews:9080/x")
        assert "reviews" in str(trace)
        assert "v2" in str(trace)
        assert sidecar.ask(REVIEWS).version == "v2"
