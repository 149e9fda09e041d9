"""What a Sidecar says of the ports of local applications and of traffic to strangers, seen by requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness.echo import EchoBackend
from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]


@dataclass
class Shop:
    """One host that serves `shop` and a client of it."""

    mesh: MeshFixture
    client: SidecarProcess
    other: EchoBackend
    """An application that nothing registers."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with MeshFixture() as mesh:
        labels = {"app": "shop"}
        mesh.sidecar(
            "shop", mesh.workload(mesh.backend("shop"), 9080, labels=labels), labels=labels
        )
        yield Shop(mesh, mesh.sidecar("client", labels={"app": "client"}), mesh.backend("other"))


def sidecar(app: str, spec: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {app}}}
spec:
  workloadSelector: {{labels: {{app: {app}}}}}
{spec}
"""


def test_a_default_endpoint_is_where_the_application_listens(shop: Shop) -> None:
    assert shop.client.ask("shop:9080").name == "shop"
    listener = f"""
  ingress:
  - port: {{number: 9080, protocol: HTTP, name: http}}
    defaultEndpoint: 127.0.0.1:{shop.other.port}
"""
    shop.mesh.put(sidecar("shop", listener))
    assert shop.client.ask("shop:9080").name == "other"
    shop.mesh.delete("sidecar", "shop")
    assert shop.client.ask("shop:9080").name == "shop"


def test_a_port_that_nothing_is_registered_for_is_opened(shop: Shop) -> None:
    port = listen_port()
    listener = f"""
  ingress:
  - port: {{number: {port}, protocol: HTTP, name: http}}
    bind: 127.0.0.1
    defaultEndpoint: 127.0.0.1:{shop.other.port}
"""
    shop.mesh.put(sidecar("shop", listener))
    assert shop.client.ask(f"127.0.0.1:{port}").name == "other"


@pytest.mark.parametrize(
    "spec",
    [
        "  inboundConnectionPool: {http: {http2MaxRequests: 1}}",
        """
  ingress:
  - port: {number: 9080, protocol: HTTP, name: http}
    defaultEndpoint: PLACE
    connectionPool: {http: {http2MaxRequests: 1}}
  inboundConnectionPool: {http: {http2MaxRequests: 100}}
""",
    ],
    ids=["inboundConnectionPool", "connectionPool"],
)
def test_an_application_gets_no_more_requests_at_once_than_its_limit(shop: Shop, spec: str) -> None:
    spec = spec.replace("PLACE", f"127.0.0.1:{shop.other.port}")
    shop.mesh.put(sidecar("shop", spec))
    statuses: list[int] = []

    def slow() -> None:
        statuses.append(shop.client.ask("shop:9080", "/?delay_s=0.5").status)

    threads = [threading.Thread(target=slow) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 503, 503, 503]


def test_the_limits_of_a_rule_for_the_service_hold_before_its_own_application(shop: Shop) -> None:
    shop.mesh.meshd("delete", "sidecar", "shop")
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 3s, maxConnections: 3}}}}
"""
    shop.mesh.put(rule)
    stats = shop.mesh.sidecars["shop"].envoy_stats(r"inbound.*default.remaining_cx")
    assert 3 in stats.values()


def test_an_egress_proxy_takes_what_nobody_named(shop: Shop) -> None:
    proxy = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: proxy}}
spec:
  hosts: [proxy.example.com]
  resolution: STATIC
  ports: [{{number: 3128, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {shop.other.port}}}}}]
"""
    policy = """
  outboundTrafficPolicy:
    mode: ALLOW_ANY
    egressProxy: {host: proxy.example.com, port: {number: 3128}}
"""
    shop.mesh.put(proxy, sidecar("client", policy))
    answer = shop.client.ask("nobody.example.com", "/x")
    assert (answer.status, answer.name) == (200, "other")
    assert answer.seen["headers"]["host"] == "nobody.example.com"
    assert shop.client.ask("shop:9080").name == "shop"
