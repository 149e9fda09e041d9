"""A host's workloads make services by themselves; leaving is a step that no request notices."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]
SHOP = "shop:9080"


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with MeshFixture() as mesh:
        yield mesh, mesh.sidecar("client")


def run_shop(mesh: MeshFixture, node: str, version: str) -> SidecarProcess:
    """`meshd-sidecar run --service shop --port 9080 --app-port N -- app`, on a loopback address of its own."""
    port = listen_port()
    app = (sys.executable, "-m", "tests.harness.echo", "shop", version, str(port))
    address = f"127.{random.randrange(1, 250)}.{random.randrange(250)}.{random.randrange(1, 250)}"
    flags = f"--service shop --port 9080 --app-port {port} --address {address} -l version={version}"
    return mesh.sidecar(node, app=app, flags=flags.split(), address=address)


def versions(client: SidecarProcess, count: int = 20) -> set[str]:
    return {client.ask(SHOP).version for _ in range(count)}


def test_an_application_with_its_sidecar_is_a_service_without_any_object(meshed: Meshed) -> None:
    mesh, client = meshed
    assert client.ask(SHOP).status != 200
    shop = run_shop(mesh, "s1", "v1")
    wait_until(lambda: client.ask(SHOP).status == 200, 45, "the application to answer")
    assert versions(client) == {"v1"}
    assert versions(shop) == {"v1"}
    assert mesh.client.get("/meshd/v1/hosts/s1") is not None
    (workload,) = shop.status()["registration"]["workloads"]
    assert workload["service"] == "shop"
    assert shop.end() == 0


def test_leaving_withdraws_in_order_and_drops_no_request(meshed: Meshed) -> None:
    mesh, client = meshed
    first = run_shop(mesh, "s1", "v1")
    second = run_shop(mesh, "s2", "v2")
    wait_until(lambda: versions(client) == {"v1", "v2"}, 45, "both applications to answer")
    with client.load(SHOP, "/?delay_s=0.02", workers=4) as load:
        load.wait_for(100)
        assert {reply.version for reply in load.replies} == {"v1", "v2"}
        assert first.end(signal.SIGTERM) == 0
        assert mesh.client.get("/meshd/v1/hosts/s1") is None
        mesh.settle()
        load.wait_for(100)
    load.assert_none_failed(at_least=200)
    assert versions(client) == {"v2"}
    assert first.envoy_pid() is None
    status = client.status()
    assert not status["kept_hosts"]
    assert status["hosts"] == 1
    assert second.end() == 0


def test_the_sidecar_ends_as_its_application_did(meshed: Meshed) -> None:
    mesh, _ = meshed
    app = (sys.executable, "-c", "raise SystemExit(3)")
    sidecar = mesh.sidecar("s3", wait=False, app=app)
    assert sidecar.process is not None
    assert sidecar.process.wait(30) == 3
    sidecar.process = None
    assert sidecar.envoy_pid() is None


def test_a_host_that_dies_is_kept_for_its_grace_since_expiry_is_only_evidence(
    meshed: Meshed,
) -> None:
    mesh, client = meshed
    workloads = [mesh.workload(mesh.backend("cart", version), 9080) for version in ("v1", "v2")]
    dying = mesh.sidecar("c1", workloads[0])
    mesh.sidecar("c2", workloads[1])
    dying.remove()
    status = client.wait_status("a kept host", lambda status: status["kept_hosts"], 45)
    assert [row["host"] for row in status["kept_hosts"]] == ["c1"]
    assert {client.ask("cart:9080").version for _ in range(20)} == {"v2"}
