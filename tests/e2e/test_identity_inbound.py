"""One port of a workload with an identity: plain text, peers' mutual TLS, the application's own TLS, side by side."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.harness.echo import EchoBackend, TcpEcho
from tests.harness.identities import MeshAuthority, spiffe
from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]


class Greeter(socketserver.ThreadingTCPServer):
    """A server that speaks first."""

    daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"welcome\n")
            self.wfile.write(self.rfile.readline())

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Calls(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Answers a unary call with what the client's certificate was said to be."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        told = dict(details.invocation_metadata).get("x-forwarded-client-cert", "")
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: str(told).encode())


@dataclass
class Meshed:
    """A host whose applications speak all sorts of protocols, and a client, both with an identity."""

    mesh: MeshFixture
    client: SidecarProcess
    ids: Path
    inbound: dict[str, int]
    """Inbound port of each application."""

    def tls(self, port: int, *, offers: str = "", shows: str = "") -> ssl.SSLSocket:
        """A TLS connection; `offers` by ALPN, `shows` the certificate of a workload."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(str(self.ids / "web" / "root-cert.pem"))
        if offers:
            context.set_alpn_protocols([offers])
        if shows:
            own = self.ids / shows
            context.load_cert_chain(str(own / "cert-chain.pem"), str(own / "key.pem"))
        plain = socket.create_connection(("127.0.0.1", port), 20)
        return context.wrap_socket(plain, server_hostname="app.example.com")


def workload(
    service: str, port: int, protocol: str, app_port: int, inbound: int
) -> dict[str, object]:
    ports = [{"number": port, "protocol": protocol, "app_port": app_port, "inbound_port": inbound}]
    return {"service": service, "ports": ports}


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with MeshFixture() as mesh, TcpEcho("echo") as echo, Greeter() as greeter:
        authority, ids = MeshAuthority(), mesh.root / "ids"
        for account in ("app", "web"):
            authority.workload(ids / account, spiffe(account))
        own = authority.workload(ids / "own", "app.example.com")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(str(own / "cert-chain.pem"), str(own / "key.pem"))
        calls = grpc.server(futures.ThreadPoolExecutor(2), handlers=(Calls(),))
        calls_port = calls.add_insecure_port("127.0.0.1:0")
        calls.start()
        inbound = {name: listen_port() for name in ("echo", "secure", "greeter", "mysql", "calls")}
        with EchoBackend("secure", tls=context) as secure:
            mesh.sidecar(
                "server",
                workload("echo", 7000, "TCP", echo.port, inbound["echo"]),
                workload("secure", 8443, "HTTPS", secure.port, inbound["secure"]),
                workload("greeter", 7001, "TCP", greeter.port, inbound["greeter"]),
                workload("mysql", 3306, "MYSQL", greeter.port, inbound["mysql"]),
                workload("calls", 9000, "GRPC", calls_port, inbound["calls"]),
                service_account="app",
                identity={"directory": str(ids / "app")},
            )
            identity = {"directory": str(ids / "web")}
            client = mesh.sidecar(
                "client", service_account="web", identity=identity, labels={"app": "client"}
            )
            yield Meshed(mesh, client, ids, inbound)
        calls.stop(None)
        greeter.shutdown()


def test_bytes_come_in_plain_text_and_in_mutual_tls(meshed: Meshed) -> None:
    port = meshed.inbound["echo"]
    with socket.create_connection(("127.0.0.1", port), 20) as plain:
        plain.sendall(b"hello\n")
        assert plain.recv(100) == b"echo: hello\n"
    with meshed.tls(port, offers="istio", shows="web") as secure:
        secure.sendall(b"hello\n")
        assert secure.recv(100) == b"echo: hello\n"


def test_a_peer_without_a_certificate_gets_nothing(meshed: Meshed) -> None:
    with pytest.raises(OSError), meshed.tls(meshed.inbound["echo"], offers="istio") as secure:
        secure.sendall(b"hello\n")
        if not secure.recv(100):
            raise ConnectionResetError("closed")


def test_the_applications_own_tls_reaches_it_unopened(meshed: Meshed) -> None:
    with meshed.tls(meshed.inbound["secure"]) as secure:
        certificate = secure.getpeercert() or {}
        assert ("DNS", "app.example.com") in certificate["subjectAltName"]
        secure.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert secure.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("name", ["greeter", "mysql"])
def test_a_server_that_speaks_first_is_heard(meshed: Meshed, name: str) -> None:
    with socket.create_connection(("127.0.0.1", meshed.inbound[name]), 20) as plain:
        assert plain.recv(100) == b"welcome\n"
        plain.sendall(b"thanks\n")
        assert plain.recv(100) == b"thanks\n"


def test_calls_of_grpc_travel_in_mutual_tls_by_themselves(meshed: Meshed) -> None:
    with grpc.insecure_channel(
        f"127.0.0.1:{meshed.client.port}",
        options=[("grpc.default_authority", "calls.default:9000")],
    ) as channel:
        call = channel.unary_unary("/echo/Call")
        assert f"URI={spiffe('web')}" in call(b"", timeout=20).decode()


def test_the_sidecar_reaches_a_tcp_service_in_mutual_tls(meshed: Meshed) -> None:
    port = listen_port()
    meshed.mesh.put(f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: client}}
spec:
  workloadSelector: {{labels: {{app: client}}}}
  egress:
  - port: {{number: {port}, protocol: TCP, name: echo}}
    hosts: ["*/echo.default.svc.cluster.local"]
  - hosts: ["*/*"]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: echo}}
spec:
  hosts: [echo.default.svc.cluster.local]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{{number: {port}, targetPort: 7000, name: echo, protocol: TCP}}]
  workloadSelector: {{labels: {{}}}}
""")
    with socket.create_connection(("127.0.0.1", port), 20) as line:
        line.sendall(b"hello\n")
        assert line.recv(100) == b"echo: hello\n"
    cluster = f"cluster.outbound|{port}||echo.default.svc.cluster.local.ssl.handshake"
    assert meshed.client.envoy_stats("ssl.handshake").get(cluster) == 1
