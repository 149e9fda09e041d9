"""A gateway sidecar: plain HTTP that redirects, HTTPS that wants the client's certificate, TCP handed on."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.echo import TcpEcho
from tests.harness.load import Reply, send
from tests.harness.processes import wait_until
from tests.harness.secured import SecuredMesh
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

SHOP = "shop.example.com"
GATEWAYS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: plain, namespace: edge}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: PLAIN, name: http, protocol: HTTP}
    bind: 127.0.0.1
    hosts: [shop.example.com]
    tls: {httpsRedirect: true}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: secure, namespace: edge}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: SECURE, name: https, protocol: HTTPS}
    bind: 127.0.0.1
    hosts: [shop.example.com]
    tls: {mode: MUTUAL, credentialName: shop}
"""
LINES = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: lines, namespace: edge}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: LISTEN, name: tcp, protocol: TCP}
    bind: 127.0.0.1
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: lines}
spec:
  hosts: ["*"]
  gateways: [edge/lines]
  tcp:
  - route: [{destination: {host: lines.internal}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: lines}
spec:
  hosts: [lines.internal]
  ports: [{number: 7000, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {tcp: ECHO}}]
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  gateways: [edge/plain, edge/secure]
  http:
  - match: [{uri: {prefix: /cart}}]
    route: [{destination: {host: cart}}]
  - route: [{destination: {host: shop}}]
"""


class _Https(http.client.HTTPConnection):
    """HTTPS to a port of loopback under a server name."""

    def __init__(self, port: int, name: str, context: ssl.SSLContext) -> None:
        super().__init__("127.0.0.1", port, timeout=20.0)
        self._name, self._context = name, context

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        try:
            self.sock = self._context.wrap_socket(plain, server_hostname=self._name)
        except OSError:
            plain.close()
            raise


@dataclass
class Edge:
    """The mesh, its gateway and how to reach it."""

    mesh: SecuredMesh
    gateway: SidecarProcess
    public: Authority
    """Signs the shop's certificate and its clients'."""
    credentials: Path
    plain: int
    secure: int

    def http(self, path: str, host: str = SHOP) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.plain, timeout=20.0)
        try:
            return send(connection, host, path)
        finally:
            connection.close()

    def https(self, path: str, user: str = "", authority: Authority | None = None) -> Reply:
        """Ask as a user with a certificate of `authority`; without one when no user is named."""
        context = ssl.create_default_context(cafile=str(self.public.ca))
        if user:
            context.load_cert_chain(*(authority or self.public).client(user))
        connection = _Https(self.secure, SHOP, context)
        try:
            return send(connection, SHOP, path)
        finally:
            connection.close()


def write_credential(folder: Path, authority: Authority) -> None:
    """`tls.crt`, `tls.key` and `ca.crt` of the shop."""
    folder.mkdir(parents=True)
    cert, key = authority.server_of(SHOP)
    for name, source in (("ca.crt", authority.ca), ("tls.key", key), ("tls.crt", cert)):
        (folder / name).write_bytes(source.read_bytes())


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with SecuredMesh() as mesh:
        for node in ("vm-1", "gw"):
            mesh.host(node)
        workloads = [mesh.workload(mesh.backend(name), 8080) for name in ("shop", "cart")]
        mesh.sidecar("vm-1", *workloads)
        public = Authority(mesh.root / "public")
        credentials = mesh.root / "credentials"
        write_credential(credentials / "shop", public)
        gateway = mesh.sidecar(
            "gw",
            role="gateway",
            labels={"istio": "ingress"},
            envoy={"credentials": str(credentials)},
        )
        made = Edge(mesh, gateway, public, credentials, listen_port(), listen_port())
        objects = GATEWAYS.replace("PLAIN", str(made.plain)).replace("SECURE", str(made.secure))
        mesh.put(objects, RULE)
        yield made


def test_plain_requests_are_sent_to_https(edge: Edge) -> None:
    moved = edge.http("/cart?x=1")
    assert (moved.status, moved.headers["location"]) == (301, f"https://{SHOP}/cart?x=1")
    assert edge.http("/", host="other.example.com").status == 404


def test_a_client_with_a_certificate_of_the_ca_is_served_by_the_rules(edge: Edge) -> None:
    assert edge.https("/", user="ann").name == "shop"
    assert edge.https("/cart/1", user="ann").name == "cart"


def test_a_client_without_a_certificate_or_with_a_strangers_is_turned_away(edge: Edge) -> None:
    strangers = Authority(edge.mesh.root / "strangers")
    assert edge.https("/").status == 0
    assert edge.https("/", user="eve", authority=strangers).status == 0


def test_the_trace_of_the_gateway_agrees(edge: Edge) -> None:
    for path, name in (("/", "shop"), ("/cart/1", "cart")):
        url, port = f"https://{SHOP}{path}", str(edge.secure)
        ran = edge.mesh.meshd("trace", "--from", "gw", "--gateway-port", port, "GET", url)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert f"{name}.default.svc.cluster.local" in ran.stdout


def test_a_changed_rule_keeps_connections_and_a_deleted_gateway_closes_its_port(edge: Edge) -> None:
    context = ssl.create_default_context(cafile=str(edge.public.ca))
    context.load_cert_chain(*edge.public.client("ann"))
    connection = _Https(edge.secure, SHOP, context)
    try:
        assert send(connection, SHOP, "/cart").name == "cart"
        used = connection.sock
        edge.mesh.put(RULE.replace("host: cart", "host: shop"))
        assert send(connection, SHOP, "/cart").name == "shop"
        assert connection.sock is used
    finally:
        connection.close()
    assert edge.mesh.meshd("delete", "gateway", "plain", "-n", "edge", "--wait").returncode == 0
    wait_until(lambda: edge.http("/").status == 0, 20, "the plain port to be closed")
    assert edge.https("/", user="ann").name == "shop"


def test_lines_of_tcp_are_handed_on(edge: Edge) -> None:
    port = listen_port()
    with TcpEcho("lines") as echo:
        objects = LINES.replace("LISTEN", str(port)).replace("ECHO", str(echo.port))
        ran = edge.mesh.meshd("put", "-f", "-", "--wait", stdin=objects)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        with socket.create_connection(("127.0.0.1", port), 20.0) as line:
            line.sendall(b"hello\n")
            assert line.recv(100) == b"lines: hello\n"


def test_no_field_of_these_objects_is_said_to_be_without_effect(edge: Edge) -> None:
    objects = GATEWAYS.replace("PLAIN", "8080").replace("SECURE", "8443")
    ran = edge.mesh.meshd("validate", "-f", "-", stdin=f"{objects}---\n{RULE}")
    assert ran.returncode == 0, ran.stdout
    assert "no effect" not in ran.stdout


def test_renewed_certificates_are_taken_up_under_their_own_name(edge: Edge) -> None:
    renewed = Authority(edge.mesh.root / "renewed")
    write_credential(edge.credentials / "shop-2", renewed)
    for name in ("ca.crt", "tls.crt", "tls.key"):
        (edge.credentials / "shop-2" / name).rename(edge.credentials / "shop" / name)
    old, edge.public = edge.public, renewed
    wait_until(lambda: edge.https("/", user="bob").status == 200, 20, "the renewed certificate")
    edge.public = old
    assert edge.https("/", user="ann").status == 0
