"""Who is named in metrics as source and as destination: by certificate, by word, at gateways; and who is told of it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness.echo import EchoBackend, TcpEcho
from tests.harness.identities import MeshAuthority, spiffe
from tests.harness.load import Reply, send
from tests.harness.mesh import MeshFixture
from tests.harness.scraped import counted
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

REVIEWS = "reviews.default:9080"
PEER = "x-meshd-peer"
FORGED = {PEER: "admin;kube-system;admin;v9;admin;v9"}


@dataclass
class Meshed:
    """A server, a client host with a workload context with identity and one without, and an egress gateway."""

    mesh: MeshFixture
    server: SidecarProcess
    client: SidecarProcess
    gateway: SidecarProcess
    ports: dict[str, int]
    """By context, and the gateway's server."""
    outside: EchoBackend

    def ask(self, port: str, host: str, **options: object) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=45)
        try:
            return send(connection, host, **options)  # type: ignore[arg-type] # named by tests
        finally:
            connection.close()


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    ports = {name: listen_port() for name in ("web", "batch", "egress", "db")}
    with MeshFixture() as mesh, EchoBackend("outside") as outside, TcpEcho("db") as db:
        authority = MeshAuthority()
        for account, namespace in (("reviews", "default"), ("web", "shop")):
            authority.workload(mesh.root / "ids" / account, spiffe(account, namespace))
        server = mesh.sidecar(
            "server",
            mesh.workload(mesh.backend("reviews", "v1"), 9080),
            mesh.workload(db, ports["db"], "TCP"),
            service_account="reviews",
            identity={"directory": str(mesh.root / "ids" / "reviews")},
        )
        web = {
            "name": "web",
            "namespace": "shop",
            "service_account": "web",
            "labels": {"app": "web", "version": "v7"},
            "outbound_port": ports["web"],
            "identity": {"directory": str(mesh.root / "ids" / "web")},
        }
        batch = {"name": "batch", "namespace": "jobs", "outbound_port": ports["batch"]}
        client = mesh.sidecar("client", contexts=[web, batch])
        gateway = mesh.sidecar("egress", role="gateway", labels={"istio": "egress"})
        mesh.put(f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: outside}}
spec:
  hosts: [outside.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {outside.port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default, namespace: shop}}
spec:
  egress:
  - port: {{number: {ports["db"]}, protocol: TCP, name: db}}
    hosts: ["default/*"]
  - hosts: ["*/*"]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: egress}}
spec:
  selector: {{istio: egress}}
  servers: [{{port: {{number: {ports["egress"]}, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: outside}}
spec:
  hosts: [outside.example.com]
  gateways: [egress]
  http: [{{route: [{{destination: {{host: outside.example.com, port: {{number: 80}}}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: inside}}
spec:
  hosts: [inside.example.com]
  gateways: [egress]
  http: [{{route: [{{destination: {{host: reviews.default.svc.cluster.local}}}}]}}]
""")
        yield Meshed(mesh, server, client, gateway, ports, outside)


def test_mutual_tls_proves_who_asks_and_who_answers(meshed: Meshed) -> None:
    assert meshed.ask("web", REVIEWS, path="/?status=201").status == 201
    counted(
        meshed.server,
        "istio_requests_total",
        1,
        response_code="201",
        source_principal=spiffe("web", "shop"),
        source_workload_namespace="shop",
        source_workload="web",
        source_app="web",
        source_version="v7",
        source_canonical_service="web",
        connection_security_policy="mutual_tls",
        destination_workload="reviews-server",
    )
    counted(
        meshed.client,
        "istio_requests_total",
        1,
        response_code="201",
        source_workload="web",
        destination_principal=spiffe("reviews"),
        connection_security_policy="mutual_tls",
    )


def test_without_a_certificate_the_peers_word_is_taken_and_contexts_are_told_apart(
    meshed: Meshed,
) -> None:
    assert meshed.ask("batch", REVIEWS, path="/?status=202").status == 202
    counted(
        meshed.server,
        "istio_requests_total",
        1,
        response_code="202",
        source_principal="unknown",
        source_workload="batch",
        source_workload_namespace="jobs",
        source_canonical_revision="latest",
        connection_security_policy="none",
    )


def test_an_application_cannot_say_that_it_is_another(meshed: Meshed) -> None:
    reply = meshed.ask("batch", REVIEWS, path="/?status=200", headers=FORGED)
    assert reply.seen["headers"][PEER].startswith("batch;jobs;")


def test_connections_are_counted_by_who_opened_them(meshed: Meshed) -> None:
    with socket.create_connection(("127.0.0.1", meshed.ports["db"]), timeout=20) as stream:
        stream.sendall(b"hello\n")
        assert stream.makefile("rb").readline() == b"db: hello\n"
    counted(
        meshed.server,
        "istio_tcp_received_bytes_total",
        6,
        reporter="destination",
        source_principal=spiffe("web", "shop"),
        source_workload_namespace="shop",
        destination_workload="db-server",
        connection_security_policy="mutual_tls",
    )
    counted(
        meshed.client,
        "istio_tcp_sent_bytes_total",
        10,
        reporter="source",
        source_workload="web",
        destination_service_name="db",
        destination_principal=spiffe("reviews"),
    )


class TestGateway:
    def test_a_gateway_counts_as_source_for_hosts_outside(self, meshed: Meshed) -> None:
        reply = meshed.ask("egress", "outside.example.com")
        assert reply.name == "outside"
        counted(
            meshed.gateway,
            "istio_requests_total",
            1,
            reporter="source",
            source_workload="egress",
            destination_service="outside.example.com",
            destination_service_name="outside.example.com",
            destination_service_namespace="default",
            response_code="200",
        )

    def test_nobody_outside_hears_of_workloads_whatever_clients_send(self, meshed: Meshed) -> None:
        for port in ("egress", "batch"):
            reply = meshed.ask(port, "outside.example.com", headers=FORGED)
            assert reply.name == "outside"
            assert PEER not in reply.seen["headers"]

    def test_a_stranger_at_a_gateway_cannot_say_that_it_is_a_workload(self, meshed: Meshed) -> None:
        reply = meshed.ask("egress", "inside.example.com", path="/?status=200", headers=FORGED)
        assert reply.seen["headers"][PEER].startswith("egress;default;")


def test_where_nothing_is_counted_nothing_is_said(meshed: Meshed) -> None:
    meshed.mesh.put(
        "apiVersion: meshd.io/v1\nkind: MeshConfig\nmetadata: {name: mesh}\n"
        "spec: {requestMetrics: false}\n"
    )
    assert PEER not in meshed.ask("batch", REVIEWS).seen["headers"]
    meshed.mesh.delete("meshconfig", "mesh")
    assert PEER in meshed.ask("batch", REVIEWS).seen["headers"]
