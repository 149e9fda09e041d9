"""A host that is told only the name of a group: registered from its template, probed by its probe, changed with it."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.echo import EchoBackend
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]
HOST = "carts.example.com"


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with MeshFixture() as mesh:
        mesh.put(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: carts}}
spec:
  hosts: [{HOST}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  workloadSelector: {{labels: {{app: carts}}}}
"""
        )
        yield mesh, mesh.sidecar("client")


def group(app_port: int, *, version: str = "v1", probe: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {{name: carts}}
spec:
  metadata: {{labels: {{app: carts, version: {version}}}, annotations: {{owner: team-a}}}}
  template: {{ports: {{http: {app_port}}}, serviceAccount: carts, locality: eu/a, weight: 3}}
  {probe and f"probe: {probe}"}
"""


def serve(mesh: MeshFixture, node: str, **settings: Any) -> SidecarProcess:
    """A sidecar on a loopback address of its own that knows the name of its group, and no more."""
    address = f"127.{random.randrange(1, 250)}.{random.randrange(250)}.{random.randrange(1, 250)}"
    flags = ["--group", "carts"]
    return mesh.sidecar(node, wait=False, flags=flags, address=address, **settings)


def workload(sidecar: SidecarProcess) -> dict[str, object]:
    (found,) = sidecar.status()["registration"]["workloads"]
    return dict(found)


def test_a_host_joins_its_group_when_the_mesh_has_it_and_follows_its_changes(
    meshed: Meshed,
) -> None:
    mesh, client = meshed
    app = mesh.backend("carts")
    host = serve(mesh, "vm-1")
    host.wait_ready()
    waiting = host.wait_status(
        "the wait for the group", lambda s: "WorkloadGroup" in (s["registration"]["error"] or "")
    )
    assert waiting["registration"]["state"] == "waiting"
    mesh.put(group(app.port))
    wait_until(lambda: client.ask(HOST).status == 200, 45, "the group's host to answer")
    own = workload(host)
    assert own["name"] == "carts-vm-1"
    assert own["labels"] == {"app": "carts", "version": "v1"}
    assert own["annotations"] == {"owner": "team-a"}
    registered = mesh.client.get("/meshd/v1/hosts/vm-1")
    assert registered is not None
    for said in (b'"serviceAccount":"carts"', b'"locality":"eu/a"', b'"weight":3'):
        assert said in registered.value

    mesh.put(
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: teapot}
spec:
  hosts: [teapot.example.com]
  http: [{match: [{sourceLabels: {app: carts, version: v1}}], directResponse: {status: 418}}]
"""
    )
    assert host.ask("teapot.example.com").status == 418
    assert client.ask("teapot.example.com").status != 418

    other = mesh.backend("other")
    mesh.put(group(other.port, version="v2"))
    wait_until(lambda: client.ask(HOST).name == "other", 45, "the template's new port")
    wait_until(
        lambda: workload(host)["labels"] == {"app": "carts", "version": "v2"}, 45, "new labels"
    )
    mesh.meshd("delete", "workloadgroup", "carts")
    mesh.settle()
    assert client.ask(HOST).name == "other"
    assert host.end() == 0
    host.remove()


@pytest.mark.parametrize("kind", ["httpGet", "tcpSocket", "exec"])
def test_an_application_that_its_probe_finds_sick_gets_no_request(
    meshed: Meshed, kind: str
) -> None:
    mesh, client = meshed
    well, sick = mesh.backend("well"), listen_port()
    often = "periodSeconds: 1, successThreshold: 1, failureThreshold: 1"

    def probe(port: int) -> str:
        look = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        how = {
            "httpGet": f"{{port: {port}, path: /ready}}",
            "tcpSocket": f"{{port: {port}}}",
            "exec": f'{{command: [{sys.executable}, "-c", "{look}"]}}',
        }[kind]
        return f"{{{kind}: {how}, {often}, timeoutSeconds: 5}}"

    mesh.put(group(well.port, probe=probe(sick)))
    allowed = {"ttl_s": 5, "exec_probes": True}
    host = serve(mesh, f"vm-{kind.lower()}", registration=allowed)
    host.wait_ready()
    host.wait_status("registration", lambda s: s["registration"]["state"] == "registered")
    mesh.settle()
    assert workload(host)["health"] == "unhealthy"
    assert client.ask(HOST).status == 503
    with EchoBackend("ready", port=sick):
        wait_until(lambda: client.ask(HOST).name == "well", 45, "a healthy application's answer")
        assert workload(host)["health"] == "healthy"
    wait_until(lambda: client.ask(HOST).status == 503, 45, "the end of requests")
    assert workload(host)["health"] == "unhealthy"
    mesh.meshd("delete", "workloadgroup", "carts")
    host.end()
    host.remove()
    wait_until(lambda: client.ask(HOST).status == 503, 45, "nobody")
