"""Services of every kind by requests: sockets, names, single workloads; and nearness when endpoints fail."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with MeshFixture() as mesh:
        yield mesh, mesh.sidecar("client", locality="eu/a", labels={"app": "client"})


def entry(name: str, resolution: str, endpoints: str, port: int = 80, more: str = "") -> str:
    listed = f"endpoints: [{endpoints}]" if endpoints else ""
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.example.com]
  location: MESH_INTERNAL
  resolution: {resolution}
  ports: [{{number: {port}, name: http, protocol: HTTP}}]
  {listed}
  {more}
"""


def answers(client: SidecarProcess, host: str, count: int = 30) -> Counter[str]:
    return Counter(client.ask(host).name or "none" for _ in range(count))


class _OnSocket(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture
def socket_path(tmp_path: Path) -> Iterator[Path]:
    """A server on a unix socket that answers `socket`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"name": "socket", "version": ""}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "socket"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named there
            pass

    path = tmp_path / "app.sock"
    with _OnSocket(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def test_an_endpoint_may_be_a_unix_socket(meshed: Meshed, socket_path: Path) -> None:
    mesh, client = meshed
    mesh.put(entry("onsocket", "STATIC", f'{{address: "unix://{socket_path}"}}'))
    assert answers(client, "onsocket.example.com", 3) == {"socket": 3}


@pytest.mark.parametrize("resolution", ["DNS", "DNS_ROUND_ROBIN"])
def test_an_endpoint_may_be_a_name(meshed: Meshed, resolution: str) -> None:
    mesh, client = meshed
    app = mesh.backend("named")
    name = resolution.lower().replace("_", "")
    mesh.put(entry(name, resolution, f"{{address: localhost, ports: {{http: {app.port}}}}}"))
    wait_until(lambda: client.ask(f"{name}.example.com").name == "named", 30, "the name")


def test_a_workload_entry_with_a_name_counts_for_dns_and_one_with_an_address_for_both(
    meshed: Meshed,
) -> None:
    mesh, client = meshed
    by_name, by_address = mesh.backend("byname"), mesh.backend("byaddress")
    selector = "workloadSelector: {labels: {app: picked}}"
    workloads = "".join(
        f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, labels: {{app: picked}}}}
spec: {{address: {address}, ports: {{http: {port}}}}}
"""
        for name, address, port in (
            ("by-name", "localhost", by_name.port),
            ("by-address", "127.0.0.1", by_address.port),
        )
    )
    mesh.put(
        entry("picked", "DNS", "", more=selector),
        entry("static", "STATIC", "", more=selector) + workloads,
    )
    assert set(answers(client, "static.example.com")) == {"byaddress"}
    wait_until(
        lambda: set(answers(client, "picked.example.com")) == {"byname", "byaddress"},
        30,
        "both workloads",
    )


def test_another_region_takes_over_from_endpoints_that_fail(meshed: Meshed) -> None:
    mesh, client = meshed
    near, far, farther = mesh.backend("near"), mesh.backend("far"), mesh.backend("farther")
    endpoints = ", ".join(
        f"{{address: 127.0.0.1, ports: {{http: {app.port}}}, locality: {locality}}}"
        for app, locality in ((near, "eu/a"), (far, "us/a"), (farther, "asia/a"))
    )
    mesh.put(
        entry("regions", "STATIC", endpoints),
        """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: regions}
spec:
  host: regions.example.com
  trafficPolicy:
    loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}
    outlierDetection: {consecutive5xxErrors: 1, interval: 0.5s, baseEjectionTime: 30s, maxEjectionPercent: 100}
""",
    )
    assert answers(client, "regions.example.com") == {"near": 30}
    assert client.ask("regions.example.com", "/?status=503").status == 503
    wait_until(lambda: answers(client, "regions.example.com", 5) == {"far": 5}, 30, "the failover")


def test_a_retry_goes_to_another_region_where_it_is_asked_to(meshed: Meshed) -> None:
    mesh, client = meshed
    near, far = mesh.backend("near"), mesh.backend("far")
    endpoints = ", ".join(
        f"{{address: 127.0.0.1, ports: {{http: {app.port}}}, locality: {locality}}}"
        for app, locality in ((near, "eu/a"), (far, "us/a"))
    )
    mesh.put(
        entry("retried", "STATIC", endpoints),
        """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: retried}
spec: {host: retried.example.com, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 100}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: retried}
spec:
  hosts: [retried.example.com]
  http:
  - match: [{uri: {prefix: /far}}]
    retries: {attempts: 3, retryOn: "503", retryRemoteLocalities: true}
    route: [{destination: {host: retried.example.com}}]
  - retries: {attempts: 3, retryOn: "503"}
    route: [{destination: {host: retried.example.com}}]
""",
    )
    assert client.ask("retried.example.com", "/near?status=503").status == 503
    assert far.hits == 0
    assert client.ask("retried.example.com", "/far?status=503").status == 503
    assert far.hits >= 1
    assert near.hits >= 5


def test_weights_of_localities_are_those_of_the_mesh_where_no_rule_has_its_own(
    meshed: Meshed,
) -> None:
    mesh, client = meshed
    here, there = mesh.backend("here"), mesh.backend("there")
    endpoints = ", ".join(
        f"{{address: 127.0.0.1, ports: {{http: {app.port}}}, locality: {locality}}}"
        for app, locality in ((here, "eu/a"), (there, "us/a"))
    )
    mesh.put(
        entry("spread", "STATIC", endpoints),
        """
apiVersion: meshd.io/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {localityLbSetting: {distribute: [{from: eu/*, to: {eu/a: 10, us/a: 90}}]}}
""",
    )
    counted = answers(client, "spread.example.com", 200)
    assert counted["there"] > 150, counted
    assert counted["here"] > 2, counted
    mesh.meshd("delete", "meshconfig", "mesh")
    mesh.settle()
