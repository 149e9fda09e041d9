"""Traffic that leaves the mesh through an egress gateway: client, gateway, stranger; by the gateway's own policy."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.echo import EchoBackend
from tests.harness.identities import MeshAuthority, spiffe
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]


@dataclass
class Way:
    """Out of the mesh."""

    mesh: MeshFixture
    client: SidecarProcess
    gateway: SidecarProcess
    stranger: EchoBackend


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    with MeshFixture() as mesh:
        port = listen_port()
        stranger = mesh.backend("stranger")
        mesh.put(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: stranger}}
spec:
  hosts: [stranger.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {stranger.port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: egress}}
spec:
  selector: {{istio: egress}}
  servers:
  - port: {{number: 80, name: http, protocol: HTTP}}
    bind: 127.0.0.1
    hosts: [stranger.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: stranger}}
spec:
  hosts: [stranger.example.com]
  gateways: [mesh, egress]
  http:
  - name: to-gateway
    match: [{{gateways: [mesh], port: 80}}]
    route: [{{destination: {{host: egress, port: {{number: 80}}, subset: all}}}}]
  - name: out
    match: [{{gateways: [egress], port: 80}}]
    headers: {{request: {{set: {{x-egress: "yes"}}}}}}
    route: [{{destination: {{host: stranger.example.com, port: {{number: 80}}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: egress}}
spec: {{host: egress, subsets: [{{name: all}}]}}
---
apiVersion: meshd.io/v1
kind: MeshConfig
metadata: {{name: mesh}}
spec: {{outboundTrafficPolicy: {{mode: REGISTRY_ONLY}}}}
"""
        )
        gate = {"service": "egress", "ports": [{"number": 80, "app_port": port}]}
        gateway = mesh.sidecar("gate", gate, role="gateway", labels={"istio": "egress"})
        yield Way(mesh, mesh.sidecar("client"), gateway, stranger)


def rule(text: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: stranger}}
spec: {{host: stranger.example.com, trafficPolicy: {text}}}
"""


def counted(sidecar: SidecarProcess, cluster: str) -> int:
    """Requests that a host's Envoy sent to a cluster."""
    rows = sidecar.envoy_stats(r"^cluster\..*upstream_rq_total$")
    return sum(value for name, value in rows.items() if cluster in name)


def test_a_request_leaves_by_the_gateway(way: Way) -> None:
    answer = way.client.ask("stranger.example.com", "/x")
    assert (answer.status, answer.name) == (200, "stranger")
    assert answer.seen["headers"]["x-egress"] == "yes"
    assert answer.seen["headers"]["host"] == "stranger.example.com"
    assert counted(way.client, "stranger.example.com") == 0
    assert counted(way.client, "egress.default.svc.cluster.local") >= 1
    assert counted(way.gateway, "stranger.example.com") >= 1


def test_other_strangers_do_not_leave(way: Way) -> None:
    assert way.client.ask("nobody.example.com").status == 502


def test_limits_for_the_stranger_hold_at_the_gateway(way: Way) -> None:
    way.mesh.put(rule("{connectionPool: {http: {http2MaxRequests: 1}}}"))
    before = way.stranger.hits
    statuses: list[int] = []

    def slow() -> None:
        statuses.append(way.client.ask("stranger.example.com", "/?delay_s=0.5").status)

    threads = [threading.Thread(target=slow) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 503, 503]
    assert way.stranger.hits == before + 1


def test_the_gateway_begins_tls_to_the_stranger(way: Way, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server_of("stranger.example.com"))
    with EchoBackend("secure", tls=context) as secure:
        way.mesh.put(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: stranger}}
spec:
  hosts: [stranger.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {secure.port}}}}}]
""",
            rule(f"{{tls: {{mode: SIMPLE, caCertificates: {authority.ca}}}}}"),
        )
        answer = way.client.ask("stranger.example.com")
        assert (answer.status, answer.name) == (200, "secure")


def test_the_client_waits_out_a_gateway_that_leaves(way: Way) -> None:
    assert way.gateway.end() == 0
    way.gateway.remove()
    wait_until(lambda: way.client.ask("stranger.example.com").status == 503, 45, "no gateway")


@pytest.fixture(scope="module")
def secured() -> Iterator[Way]:
    """The same with an identity for each: one port of the gateway is plain, the other takes mutual TLS alone."""
    with MeshFixture() as mesh:
        authority = MeshAuthority()
        ids = {}
        for account in ("web", "egress"):
            ids[account] = {"directory": str(mesh.root / "ids" / account)}
            authority.workload(mesh.root / "ids" / account, spiffe(account))
        plain, mutual = listen_port(), listen_port()
        stranger = mesh.backend("stranger")
        mesh.put(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: stranger}}
spec:
  hosts: [stranger.example.com, other.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {stranger.port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: egress}}
spec:
  selector: {{istio: egress}}
  servers:
  - port: {{number: 80, name: http, protocol: HTTP}}
    bind: 127.0.0.1
    hosts: [other.example.com]
  - port: {{number: 443, name: https, protocol: HTTPS}}
    bind: 127.0.0.1
    hosts: [stranger.example.com]
    tls: {{mode: ISTIO_MUTUAL}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: egress}}
spec:
  host: egress
  subsets:
  - name: stranger
    trafficPolicy:
      portLevelSettings:
      - {{port: {{number: 443}}, tls: {{mode: ISTIO_MUTUAL, sni: stranger.example.com}}}}
---
{through("stranger", 443)}
---
{through("other", 80, subset="")}
"""
        )
        gate = {
            "service": "egress",
            "ports": [
                {"number": 80, "app_port": plain},
                {"number": 443, "app_port": mutual, "protocol": "HTTPS"},
            ],
        }
        gateway = mesh.sidecar(
            "gate",
            gate,
            role="gateway",
            labels={"istio": "egress"},
            service_account="egress",
            identity=ids["egress"],
        )
        client = mesh.sidecar("client", service_account="web", identity=ids["web"])
        yield Way(mesh, client, gateway, stranger)


def through(name: str, port: int, subset: str = "stranger") -> str:
    """A host's way through the gateway's port."""
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{name}.example.com]
  gateways: [mesh, egress]
  http:
  - match: [{{gateways: [mesh], port: 80}}]
    route: [{{destination: {{host: egress, port: {{number: {port}}}, subset: "{subset}"}}}}]
  - match: [{{gateways: [egress], port: {port}}}]
    route: [{{destination: {{host: {name}.example.com, port: {{number: 80}}}}}}]
"""


def test_a_plain_server_of_a_gateway_with_an_identity_is_spoken_to_in_plain_text(
    secured: Way,
) -> None:
    answer = secured.client.ask("other.example.com")
    assert (answer.status, answer.name) == (200, "stranger")


def test_a_gateway_takes_mutual_tls_of_the_mesh(secured: Way) -> None:
    answer = secured.client.ask("stranger.example.com")
    assert (answer.status, answer.name) == (200, "stranger")
    stats = secured.gateway.envoy_stats(r"ssl\.handshake$")
    assert sum(value for name, value in stats.items() if name.startswith("listener.")) >= 1


def test_tls_that_nobody_reads_leaves_by_the_gateway(tmp_path: Path) -> None:
    """A client's own TLS by its server name: a port of its Sidecar, a PASSTHROUGH server, the stranger."""
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server_of("stranger.example.com"))
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    with MeshFixture() as mesh, EchoBackend("stranger", tls=context) as stranger:
        own, port = listen_port(), listen_port()
        mesh.put(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: stranger}}
spec:
  hosts: [stranger.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: {own}, name: tls, protocol: TLS}}]
  endpoints: [{{address: 127.0.0.1, ports: {{tls: {stranger.port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: egress}}
spec:
  selector: {{istio: egress}}
  servers:
  - port: {{number: 443, name: tls, protocol: TLS}}
    bind: 127.0.0.1
    hosts: [stranger.example.com]
    tls: {{mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: stranger}}
spec:
  hosts: [stranger.example.com]
  gateways: [mesh, egress]
  tls:
  - match: [{{gateways: [mesh], port: {own}, sniHosts: [stranger.example.com]}}]
    route: [{{destination: {{host: egress, port: {{number: 443}}}}}}]
  - match: [{{gateways: [egress], port: 443, sniHosts: [stranger.example.com]}}]
    route: [{{destination: {{host: stranger.example.com, port: {{number: {own}}}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default}}
spec:
  egress:
  - port: {{number: {own}, protocol: TLS, name: tls}}
    bind: 127.0.0.1
    hosts: ["*/stranger.example.com"]
  - hosts: ["*/*"]
"""
        )
        gate = {
            "service": "egress",
            "ports": [{"number": 443, "app_port": port, "protocol": "TLS"}],
        }
        gateway = mesh.sidecar("gate", gate, role="gateway", labels={"istio": "egress"})
        mesh.sidecar("client")
        with (
            socket.create_connection(("127.0.0.1", own), timeout=20) as stream,
            trusting.wrap_socket(stream, server_hostname="stranger.example.com") as secured,
        ):
            secured.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert secured.recv(65536).startswith(b"HTTP/1.1 200")
        rows = gateway.envoy_stats(r"^cluster\..*stranger.*upstream_cx_total$")
        assert sum(rows.values()) == 1
