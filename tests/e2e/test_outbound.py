"""The ways in which an application can ask for a host through its sidecar, and what happens to hosts nobody named."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.harness.echo import EchoBackend, TcpEcho
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as (mesh, client):
        mesh.put(reviews_to("v2"))
        yield mesh, client


@pytest.fixture
def stranger() -> Iterator[EchoBackend]:
    """An application that no object names."""
    with EchoBackend("stranger") as backend:
        yield backend


def service_entry(host: str, backend_port: int, *ports: tuple[int, str]) -> str:
    """A STATIC service with one endpoint on loopback, and these (number, protocol) ports."""
    listed = [f"{{number: {n}, name: p{n}, protocol: {p}}}" for n, p in ports]
    targets = ", ".join(f"p{number}: {backend_port}" for number, _ in ports)
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host.replace(".", "-")}}}
spec:
  hosts: [{host}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{", ".join(listed)}]
  endpoints: [{{address: 127.0.0.1, ports: {{{targets}}}}}]
"""


def outbound_policy(mode: str) -> str:
    return f"""
apiVersion: meshd.io/v1
kind: MeshConfig
metadata: {{name: mesh}}
spec: {{outboundTrafficPolicy: {{mode: {mode}}}}}
"""


@contextlib.contextmanager
def tunnel(sidecar: SidecarProcess, authority: str) -> Iterator[tuple[int, socket.socket]]:
    """A CONNECT to `authority`: the status that it got, and the connection."""
    with socket.create_connection(("127.0.0.1", sidecar.port), timeout=20) as stream:
        stream.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += stream.recv(1)
        yield int(head.split()[1]), stream


@pytest.mark.parametrize(
    "authority",
    [
        "reviews:9080",
        "reviews.default:9080",
        "reviews.default.svc:9080",
        "reviews.default.svc.cluster.local:9080",
        "REVIEWS:9080",
    ],
)
def test_host_header_and_proxy_request_are_routed_alike(meshed: Meshed, authority: str) -> None:
    _, client = meshed
    plain = client.ask(authority, "/x?y=1")
    proxied = client.ask(authority, f"http://{authority}/x?y=1")
    assert plain.version == proxied.version == "v2"
    assert plain.seen["path"] == proxied.seen["path"] == "/x?y=1"


def test_a_proxy_request_is_routed_by_its_url_not_by_its_host_header(meshed: Meshed) -> None:
    _, client = meshed
    assert client.ask("somebody.else", "http://reviews:9080/").version == "v2"


class TestWithoutPort:
    def test_the_only_http_port_is_taken(self, meshed: Meshed) -> None:
        _, client = meshed
        assert client.ask("reviews").version == "v2"
        assert client.ask("reviews", "http://reviews/").version == "v2"

    def test_port_80_goes_before_others(self, meshed: Meshed, stranger: EchoBackend) -> None:
        mesh, client = meshed
        entry = service_entry("two.example.com", stranger.port, (80, "HTTP"), (8080, "HTTP"))
        mesh.put(entry)
        assert client.ask("two.example.com").name == "stranger"
        assert client.ask("two.example.com:8080").name == "stranger"

    def test_several_ports_without_80_are_not_guessed_between(
        self, meshed: Meshed, stranger: EchoBackend
    ) -> None:
        mesh, client = meshed
        entry = service_entry("odd.example.com", stranger.port, (8080, "HTTP"), (9090, "HTTP"))
        mesh.put(entry)
        refused = client.ask("odd.example.com")
        assert refused.status == 404
        assert "8080" in client.trace("http://odd.example.com/")["answer"]
        assert client.ask("odd.example.com:9090").name == "stranger"


class TestUnknownHosts:
    def test_allow_any_lets_them_through(self, meshed: Meshed, stranger: EchoBackend) -> None:
        mesh, client = meshed
        mesh.put(outbound_policy("ALLOW_ANY"))
        for host in (f"127.0.0.1:{stranger.port}", f"localhost:{stranger.port}"):
            assert client.ask(host).name == "stranger"
            assert client.ask(host, f"http://{host}/").name == "stranger"

    def test_registry_only_refuses_them_at_once_and_allow_any_brings_them_back(
        self, meshed: Meshed, stranger: EchoBackend
    ) -> None:
        mesh, client = meshed
        host = f"127.0.0.1:{stranger.port}"
        mesh.put(outbound_policy("REGISTRY_ONLY"))
        assert client.ask(host).status == 502
        with tunnel(client, host) as (status, _):
            assert status in (502, 404, 403)
        assert client.ask("reviews:9080").version == "v2"
        mesh.put(outbound_policy("ALLOW_ANY"))
        assert client.ask(host).name == "stranger"

    def test_a_sidecar_object_says_otherwise_for_its_workloads(
        self, meshed: Meshed, stranger: EchoBackend
    ) -> None:
        mesh, client = meshed
        mesh.put(
            outbound_policy("ALLOW_ANY"),
            """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
""",
        )
        assert client.ask(f"127.0.0.1:{stranger.port}").status == 502
        mesh.delete("sidecar", "default")
        assert client.ask(f"127.0.0.1:{stranger.port}").name == "stranger"

    def test_a_request_to_the_listener_itself_is_no_loop(self, meshed: Meshed) -> None:
        mesh, client = meshed
        mesh.put(outbound_policy("ALLOW_ANY"))
        before = client.envoy_stats("http.outbound.downstream_rq_total")
        for host in (f"127.0.0.1:{client.port}", f"localhost:{client.port}"):
            assert client.ask(host).status >= 400
        after = client.envoy_stats("http.outbound.downstream_rq_total")
        assert sum(after.values()) - sum(before.values()) < 10


class TestConnect:
    def test_a_tunnel_to_a_service_of_the_mesh(self, meshed: Meshed) -> None:
        _, client = meshed
        with tunnel(client, "reviews:9080") as (status, stream):
            assert status == 200
            stream.sendall(b"GET /t HTTP/1.1\r\nHost: reviews\r\nConnection: close\r\n\r\n")
            answer = b""
            while chunk := stream.recv(65536):
                answer += chunk
        assert b'"name": "reviews"' in answer

    def test_a_tunnel_to_a_tcp_service(self, meshed: Meshed) -> None:
        mesh, client = meshed
        with TcpEcho("db") as db:
            mesh.put(service_entry("db.example.com", db.port, (5432, "TCP")))
            with tunnel(client, "db.example.com:5432") as (status, stream):
                assert status == 200
                stream.sendall(b"select 1\n")
                assert stream.makefile("rb").readline() == b"db: select 1\n"

    def test_a_tunnel_to_a_host_that_nobody_named(
        self, meshed: Meshed, stranger: EchoBackend
    ) -> None:
        mesh, client = meshed
        mesh.put(outbound_policy("ALLOW_ANY"))
        with tunnel(client, f"127.0.0.1:{stranger.port}") as (status, stream):
            assert status == 200
            stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert stream.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_tcp_service_has_a_listener_where_a_sidecar_object_says_so(meshed: Meshed) -> None:
    mesh, client = meshed
    with TcpEcho("db") as db:
        port = listen_port()
        mesh.put(
            service_entry("tcp.example.com", db.port, (port, "TCP")),
            f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: tcp}}
spec:
  workloadSelector: {{labels: {{app: client}}}}
  egress:
  - port: {{number: {port}, protocol: TCP, name: db}}
    bind: 127.0.0.1
    hosts: ["./tcp.example.com"]
  - hosts: ["*/*"]
""",
        )
        assert not client.status()["rejected"]
        client_of_db = mesh.sidecar("dbclient", labels={"app": "client"})
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as stream:
                stream.sendall(b"hello\n")
                assert stream.makefile("rb").readline() == b"db: hello\n"
            assert client_of_db.ask("reviews:9080").version == "v2"
            mesh.meshd("delete", "sidecar", "tcp")
            mesh.settle()
            wait_until(lambda: _is_closed(port), 45, f"the end of the listener on {port}")
        finally:
            client_of_db.remove()


def _is_closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
