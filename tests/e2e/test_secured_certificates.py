"""An etcd with TLS, client certificates and roles: who may do what, shown by a sidecar's and people's own doings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from meshd.cli import exits
from tests.harness.reviews import REVIEWS, reviews_to
from tests.harness.secured import SecuredMesh
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

KEY = "/meshd/v1/ns/default/virtualservices/reviews"
MESH_CONFIG = """
apiVersion: meshd.io/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
"""

Meshed = tuple[SecuredMesh, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    """Host vm-1 serves both versions of reviews; ann publishes in `default`, and nowhere else."""
    with SecuredMesh() as mesh:
        mesh.host("vm-1")
        mesh.publisher("ann", "default")
        workloads = [
            mesh.workload(mesh.backend("reviews", version), 9080, name=f"reviews-{version}")
            for version in ("v1", "v2")
        ]
        yield mesh, mesh.sidecar("vm-1", *workloads)


def test_a_sidecar_with_its_hosts_role_registers_and_serves(meshed: Meshed) -> None:
    mesh, host = meshed
    assert host.status()["registration"]["state"] == "registered"
    mesh.put(reviews_to("v2"))
    assert {host.ask(REVIEWS).version for _ in range(5)} == {"v2"}


def restart_without_disk(host: SidecarProcess) -> None:
    host.kill()
    shutil.rmtree(host.data_dir)
    host.kill_envoy()
    host.start().wait_ready()


def test_it_recalls_the_last_valid_value_from_an_old_revision(meshed: Meshed) -> None:
    mesh, host = meshed
    for subset in ("v1", "v2"):
        mesh.put(reviews_to(subset))
    mesh.etcdctl("put", KEY, "spec: [1", user="admin")
    restart_without_disk(host)
    (row,) = host.wait_status("the last valid value", serves_an_earlier_value)["quarantined"]
    assert row["key"] == "ns/default/virtualservices/reviews"
    assert {host.ask(REVIEWS).version for _ in range(5)} == {"v2"}
    mesh.put(reviews_to("v2"))


def serves_an_earlier_value(status: dict[str, Any]) -> bool:
    served = [row for row in status["quarantined"] if row["serving_revision"]]
    return bool(served) and status["config"]["state"] == "in-force"


def test_it_recalls_from_history_what_etcd_has_compacted(meshed: Meshed) -> None:
    mesh, host = meshed
    for subset in ("v2", "v1", "v2"):
        mesh.put(reviews_to(subset))
    mesh.etcdctl("put", KEY, "spec: [1", user="admin")
    mesh.etcdctl("compact", str(mesh.client.list_prefix(mesh.client.settings.prefix).revision))
    restart_without_disk(host)
    host.wait_status("the last generation in history", serves_an_earlier_value)
    assert {host.ask(REVIEWS).version for _ in range(5)} == {"v1"}
    mesh.put(reviews_to("v2"))


def test_the_users_of_hosts_write_nothing_but_their_registration(meshed: Meshed) -> None:
    mesh, _ = meshed
    for words in (("put", "-f", "-"), ("delete", "vs", "reviews")):
        ran = mesh.meshd(*words, user="vm-1", stdin=reviews_to("v1"))
        assert ran.returncode == exits.UNREACHABLE, ran.stdout + ran.stderr
        assert "vm-1" in ran.stderr
        assert "VirtualService/default/reviews" in ran.stderr or KEY in ran.stderr


def test_a_publisher_does_everything_in_his_namespace(meshed: Meshed) -> None:
    mesh, host = meshed
    mesh.put(reviews_to("v2"))
    ann = "ann"
    shop = mesh.meshd("validate", "--live", "-f", "-", user=ann, stdin=reviews_to("v3"))
    assert shop.returncode == exits.NO, shop.stdout + shop.stderr
    assert "subset" in shop.stdout
    assert "namespace default alone" in shop.stderr
    assert mesh.meshd("diff", "-f", "-", user=ann, stdin=reviews_to("v1")).returncode == exits.NO
    ran = mesh.meshd("validate", "--live", "-f", "-", user=ann, stdin=reviews_to("v1"))
    assert ran.returncode == exits.OK, ran.stdout + ran.stderr
    ran = mesh.meshd("put", "-f", "-", "--wait", "-m", "to v1", user=ann, stdin=reviews_to("v1"))
    assert ran.returncode == exits.OK, ran.stdout + ran.stderr
    assert host.ask(REVIEWS).version == "v1"
    ran = mesh.meshd("get", "vs", "-o", "name", user=ann)
    assert ran.stdout == "VirtualService/default/reviews\n", ran.stderr
    ran = mesh.meshd("history", "-n", "default", "-o", "json", user=ann)
    newest = json.loads(ran.stdout)[0]
    assert (newest["author"], newest["message"]) == ("ann@desk", "to v1")
    ran = mesh.meshd("history", "vs/reviews", "--limit", "1", "-o", "json", user=ann)
    assert json.loads(ran.stdout)[0]["change"] == newest["change"], ran.stderr
    ran = mesh.meshd("rollback", "-n", "default", newest["change"], "--wait", user=ann)
    assert ran.returncode == exits.OK, ran.stdout + ran.stderr
    assert host.ask(REVIEWS).version == "v2"
    ran = mesh.meshd("delete", "vs", "reviews", "--wait", user=ann)
    assert ran.returncode == exits.OK, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["put", "-f", "-"],
        ["diff", "-f", "-"],
        ["get", "vs"],
        ["get", "vs", "reviews"],
        ["delete", "vs", "reviews"],
        ["history"],
        ["history", "vs/reviews"],
        ["validate", "--live", "-f", "-"],
    ],
    ids=" ".join,
)
def test_a_publisher_is_told_clearly_that_another_namespace_is_not_his(
    meshed: Meshed, words: list[str]
) -> None:
    mesh, _ = meshed
    ran = mesh.meshd(*words, "-n", "shop", user="ann", stdin=reviews_to("v1"))
    assert ran.returncode == exits.UNREACHABLE, ran.stdout + ran.stderr
    assert ran.stdout == ""
    assert "permission denied" in ran.stderr
    assert "ann.pem" in ran.stderr
    assert "shop" in ran.stderr


def test_mesh_config_is_the_administrators(meshed: Meshed) -> None:
    mesh, host = meshed
    ran = mesh.meshd("put", "-f", "-", user="ann", stdin=MESH_CONFIG)
    assert ran.returncode == exits.UNREACHABLE, ran.stdout + ran.stderr
    assert "/meshd/v1/mesh" in ran.stderr
    assert "ann.pem" in ran.stderr
    assert host.ask("nobody.example").status == 503, "sent on, and found nowhere"
    ran = mesh.meshd("put", "-f", "-", "--wait", user="admin", stdin=MESH_CONFIG)
    assert ran.returncode == exits.OK, ran.stdout + ran.stderr
    assert host.ask("nobody.example").status == 502, "not in the registry"
