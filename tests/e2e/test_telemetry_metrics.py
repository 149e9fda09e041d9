"""Request metrics with Istio's names and labels, counted by both Envoys and read from the sidecars' `/metrics`."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.xds.compile.access_logs import SERIES_MAX
from tests.harness.echo import TcpEcho
from tests.harness.load import send
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.scraped import COUNTED_S, counted, scrape, value
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as (mesh, client):
        mesh.put(reviews_to("v1"))
        yield mesh, client


def test_both_sides_count_a_request_with_istios_labels(meshed: Meshed) -> None:
    mesh, client = meshed
    assert client.ask(REVIEWS).version == "v1"
    counted(
        client,
        "istio_requests_total",
        1,
        reporter="source",
        source_workload="client",
        source_workload_namespace="default",
        destination_service="reviews.default.svc.cluster.local",
        destination_service_name="reviews",
        destination_service_namespace="default",
        destination_subset="v1",
        destination_version="v1",
        request_protocol="http",
        response_code="200",
        response_flags="-",
    )
    counted(
        mesh.sidecars["h1"],
        "istio_requests_total",
        1,
        reporter="destination",
        destination_workload="reviews-h1",
        destination_workload_namespace="default",
        destination_version="v1",
        destination_service="reviews.default.svc.cluster.local",
        destination_service_name="reviews",
        response_code="200",
        connection_security_policy="none",
    )


def test_durations_and_sizes_are_histograms(meshed: Meshed) -> None:
    _, client = meshed
    before = value(client, "istio_request_bytes_sum")
    assert client.ask(REVIEWS, method="POST", body=b"x" * 1000).status == 200
    wait_until(
        lambda: value(client, "istio_request_bytes_sum") - before > 950,  # buckets are not exact
        COUNTED_S,
        "the bytes of the request",
    )
    for name in ("istio_request_duration_milliseconds", "istio_response_bytes"):
        total = value(client, f"{name}_count", reporter="source")
        assert total >= 1
        assert value(client, f"{name}_bucket", le="+Inf") == total


def test_prometheus_reads_the_whole_page(meshed: Meshed) -> None:
    _, client = meshed
    _, text = client.page("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["istio_requests"].type == "counter"
    assert families["istio_request_duration_milliseconds"].type == "histogram"
    assert "meshd_envoy_up" in families


def test_errors_are_told_apart_by_code_and_flags(meshed: Meshed) -> None:
    mesh, client = meshed
    assert client.ask(REVIEWS, "/?status=503").status == 503
    counted(client, "istio_requests_total", 1, response_code="503", response_flags="-")
    assert client.ask("reviews:1234").status >= 400
    mesh.put(reviews_to("v3"))
    assert client.ask(REVIEWS).status == 503
    wait_until(
        lambda: (
            value(client, "istio_requests_total", response_flags="UH")
            + value(client, "istio_requests_total", response_flags="NC")
        ),
        COUNTED_S,
        f"the flag of a request without endpoint: {scrape(client)}",
    )
    mesh.put(reviews_to("v1"))


def test_connections_are_counted_with_their_bytes(meshed: Meshed) -> None:
    mesh, _ = meshed
    port = listen_port()
    with TcpEcho("db") as db:
        mesh.put(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: db}}
spec:
  hosts: [db.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: {port}, name: tcp, protocol: TCP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{tcp: {db.port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: tcp}}
spec:
  workloadSelector: {{labels: {{app: tcp}}}}
  egress:
  - port: {{number: {port}, protocol: TCP, name: db}}
    hosts: ["./db.example.com"]
  - hosts: ["*/*"]
"""
        )
        host = mesh.sidecar("tcp", labels={"app": "tcp"})
        with socket.create_connection(("127.0.0.1", port), timeout=20) as stream:
            stream.sendall(b"hello\n")
            assert stream.makefile("rb").readline() == b"db: hello\n"
            labels = {
                "reporter": "source",
                "source_app": "tcp",
                "destination_service": "db.example.com",
                "request_protocol": "tcp",
            }
            counted(host, "istio_tcp_connections_opened_total", 1, **labels)
            assert value(host, "istio_tcp_connections_closed_total") == 0
        counted(host, "istio_tcp_connections_closed_total", 1, **labels)
        counted(host, "istio_tcp_received_bytes_total", 6, **labels)
        counted(host, "istio_tcp_sent_bytes_total", 10, **labels)


def test_a_mesh_may_do_without_and_a_host_may_say_otherwise(meshed: Meshed) -> None:
    mesh, client = meshed
    own = mesh.sidecar("own", telemetry={"metrics": "on"})
    mesh.put(
        "apiVersion: meshd.io/v1\nkind: MeshConfig\nmetadata: {name: mesh}\nspec: {requestMetrics: false}\n"
    )
    before = value(client, "istio_requests_total")
    for sidecar in (client, own):
        assert sidecar.ask(REVIEWS, "/?status=202").status == 202
    counted(own, "istio_requests_total", 1, response_code="202")
    assert value(client, "istio_requests_total", response_code="202") == 0, before
    mesh.delete("meshconfig", "mesh")
    assert client.ask(REVIEWS, "/?status=202").status == 202
    counted(client, "istio_requests_total", 1, response_code="202")


def test_what_strangers_say_cannot_make_envoy_grow(meshed: Meshed) -> None:
    """Straight to the inbound port, as nobody in the mesh does, each time as another workload."""
    mesh, _ = meshed
    backend = mesh.backend("bounded")
    workload = mesh.workload(backend, 9080)
    host = mesh.sidecar("bounded", workload)
    port = workload["ports"][0]["inbound_port"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=45)
    for number in range(SERIES_MAX + 100):
        headers = {"x-meshd-peer": f"w{number};default;a;v;a;v"}
        assert send(connection, "bounded", headers=headers).status == 200
    connection.close()
    counted = [one for one in scrape(host) if one.name == "istio_requests_total"]
    assert len(counted) == SERIES_MAX


def test_turning_it_off_and_on_fails_no_request(meshed: Meshed) -> None:
    mesh, client = meshed
    with client.load(REVIEWS) as load:
        load.wait_for(50)
        for is_on in ("false", "true"):
            mesh.put(
                "apiVersion: meshd.io/v1\nkind: MeshConfig\nmetadata: {name: mesh}\n"
                f"spec: {{requestMetrics: {is_on}}}\n"
            )
            load.wait_for(200)
    load.assert_none_failed(400)
