"""What a DestinationRule says of connections that nobody reads, seen from both ends of them."""

from __future__ import annotations

import socket
import socketserver
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.echo import EchoBackend, TcpEcho
from tests.harness.mesh import MeshFixture
from tests.harness.server_thread import ServerThread
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]


@dataclass
class TunnelProxy:
    """An HTTP proxy that takes one request a connection, then answers lines itself, in the target's place."""

    requests: list[str] = field(default_factory=list)
    """Request line and `host` of each."""

    def __enter__(self) -> TunnelProxy:
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                head = [line.decode().strip() for line in iter(self.rfile.readline, b"\r\n")]
                hosts = [line for line in head if line.lower().startswith("host:")]
                proxy.requests.append(" ".join((head[0], *hosts)))
                chunked = any("chunked" in line.lower() for line in head)
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                for line in self.rfile:
                    if not (chunked and line.strip() in (b"", b"6")):
                        self.wfile.write(b"through: " + line)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._serving = ServerThread(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.end()


@dataclass
class Wired:
    """A client whose Sidecar opens two ports for services of TCP."""

    mesh: MeshFixture
    client: SidecarProcess
    db: int
    proxy: TunnelProxy


@pytest.fixture(scope="module")
def wired() -> Iterator[Wired]:
    with MeshFixture() as mesh, TcpEcho("a") as one, TcpEcho("b") as two, TunnelProxy() as proxy:
        port = listen_port()
        mesh.put(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: db}}
spec:
  hosts: [db.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: {port}, name: db, protocol: TCP}}]
  endpoints:
  - {{address: 127.0.0.1, ports: {{db: {one.port}}}}}
  - {{address: 127.0.0.1, ports: {{db: {two.port}}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: proxy}}
spec:
  hosts: [proxy.example.com]
  resolution: STATIC
  ports: [{{number: 3128, name: proxy, protocol: TCP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{proxy: {proxy.port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default}}
spec:
  egress:
  - port: {{number: {port}, protocol: TCP, name: db}}
    bind: 127.0.0.1
    hosts: ["*/db.example.com"]
  - hosts: ["*/*"]
"""
        )
        yield Wired(mesh, mesh.sidecar("client"), port, proxy)


def policy(host: str, text: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {host.partition(".")[0]}}}
spec: {{host: {host}, trafficPolicy: {text}}}
"""


def via_proxy() -> str:
    return """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db}
spec:
  hosts: [db.example.com]
  tcp: [{route: [{destination: {host: proxy.example.com, port: {number: 3128}}}]}]
"""


def say(port: int, text: str) -> str:
    """One line there, and the line that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as stream:
        stream.sendall(text.encode() + b"\n")
        return stream.makefile("rb").readline().decode().strip()


def test_an_idle_connection_is_closed_after_its_time(wired: Wired) -> None:
    wired.mesh.put(policy("db.example.com", "{connectionPool: {tcp: {idleTimeout: 0.3s}}}"))
    with socket.create_connection(("127.0.0.1", wired.db), timeout=20) as stream:
        stream.sendall(b"hello\n")
        reader = stream.makefile("rb")
        assert reader.readline().strip().endswith(b": hello")
        assert reader.readline() == b""
    stats = wired.client.envoy_stats(r"^tcp\.egress\.idle_timeout$")
    assert stats["tcp.egress.idle_timeout"] == 1


def test_a_connection_lives_no_longer_than_it_may(wired: Wired) -> None:
    wired.mesh.put(
        policy("db.example.com", "{connectionPool: {tcp: {maxConnectionDuration: 0.3s}}}")
    )
    with socket.create_connection(("127.0.0.1", wired.db), timeout=20) as stream:
        assert stream.recv(1) == b""
    name = "tcp.egress.max_downstream_connection_duration"
    assert wired.client.envoy_stats(rf"^{name}$")[name] == 1


def test_one_client_address_goes_to_one_endpoint(wired: Wired) -> None:
    wired.mesh.put(
        policy("db.example.com", "{loadBalancer: {consistentHash: {useSourceIp: true}}}")
    )
    assert len({say(wired.db, "x") for _ in range(20)}) == 1
    wired.mesh.put(policy("db.example.com", "{loadBalancer: {simple: ROUND_ROBIN}}"))
    assert len({say(wired.db, "x") for _ in range(20)}) == 2


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ("targetHost: db.example.com, targetPort: 3306", "CONNECT db.example.com:3306 HTTP/1.1"),
        (
            'protocol: POST, targetHost: "fd00::1", targetPort: 22',
            "POST / HTTP/1.1 host: [fd00::1]:22",
        ),
    ],
)
def test_bytes_travel_inside_a_request_to_the_proxy(
    wired: Wired, settings: str, asked: str
) -> None:
    wired.mesh.put(via_proxy(), policy("proxy.example.com", f"{{tunnel: {{{settings}}}}}"))
    assert say(wired.db, "hello") == "through: hello"
    assert wired.proxy.requests[-1].startswith(asked)


def test_a_wildcard_of_tls_is_looked_up_by_the_server_name_of_each_client(
    wired: Wired, tmp_path: Path
) -> None:
    certificate, key = Authority(tmp_path).server_of("a.localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with EchoBackend("found", tls=context) as backend:
        wired.mesh.put(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: anywhere}}
spec:
  hosts: ["*.localhost"]
  resolution: DYNAMIC_DNS
  ports: [{{number: {backend.port}, name: tls, protocol: TLS}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: lookup}}
spec:
  workloadSelector: {{labels: {{app: lookup}}}}
  egress:
  - port: {{number: {backend.port}, protocol: TLS, name: tls}}
    bind: 127.0.0.2
    hosts: ["*/*.localhost"]
"""
        )
        client = wired.mesh.sidecar("lookup", labels={"app": "lookup"})
        trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        try:
            with (
                socket.create_connection(("127.0.0.2", backend.port), timeout=20) as stream,
                trusting.wrap_socket(stream, server_hostname="a.localhost") as secured,
            ):
                secured.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert secured.recv(65536).startswith(b"HTTP/1.1 200")
        finally:
            client.remove()
