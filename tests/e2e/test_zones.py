"""Zone-aware routing: Envoy knows where those are that send as this host does, and keeps requests in their zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    """A service with an endpoint in each of two zones, and a host in each zone that sends to it."""
    with MeshFixture() as mesh:
        near, far = mesh.backend("near"), mesh.backend("far")
        mesh.put(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: stock}}
spec:
  hosts: [stock.example.com]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints:
  - {{address: 127.0.0.1, ports: {{http: {near.port}}}, locality: eu/a}}
  - {{address: 127.0.0.1, ports: {{http: {far.port}}}, locality: eu/b}}
"""
        )
        front = mesh.backend("front")
        one = mesh.sidecar("front-1", mesh.workload(front, 9080), locality="eu/a")
        mesh.sidecar("front-2", mesh.workload(front, 9080), locality="eu/b")
        yield mesh, one


def answers(client: SidecarProcess, count: int = 40) -> Counter[str]:
    return Counter(client.ask("stock.example.com").name for _ in range(count))


def rule(zones: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: stock}}
spec:
  host: stock.example.com
  trafficPolicy: {{loadBalancer: {{simple: ROUND_ROBIN, zoneAwareLbSetting: {zones}}}}}
"""


def test_zones_are_not_looked_at_unless_a_rule_asks_for_it(meshed: Meshed) -> None:
    _, client = meshed
    assert set(answers(client)) == {"near", "far"}


def test_requests_stay_in_their_zone_as_far_as_its_share_goes(meshed: Meshed) -> None:
    mesh, client = meshed
    mesh.put(rule("{minClusterSize: 1}"))
    wait_until(lambda: set(answers(client)) == {"near"}, 45, "the own zone alone to answer")
    mesh.put(rule("{minClusterSize: 3}"))
    assert set(answers(client)) == {"near", "far"}
    mesh.put(rule("{enabled: false, minClusterSize: 1}"))
    assert set(answers(client)) == {"near", "far"}


def test_a_zone_that_has_more_senders_than_it_can_serve_sends_the_rest_on(meshed: Meshed) -> None:
    mesh, client = meshed
    mesh.put(rule("{minClusterSize: 1}"))
    mesh.sidecar("front-3", mesh.workload(mesh.backend("front"), 9080), locality="eu/a")
    wait_until(lambda: set(answers(client)) == {"near", "far"}, 45, "the other zone to answer, too")
    counted = answers(client, 120)
    assert counted["near"] > counted["far"], counted
