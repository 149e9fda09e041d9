"""Declared listeners of gateways and Sidecars come, change and go with the objects that declare them."""

from __future__ import annotations

import pytest

from sidecar.mesh.model import MeshChange
from sidecar.xds import protos as pb
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.resource import TypeUrl
from tests.harness.catalogs import documents_of
from tests.harness.service_entries import service
from tests.harness.worlds import GATEWAY, WEB, World

LDS, RDS, VHDS = TypeUrl.LISTENER, TypeUrl.ROUTES, TypeUrl.VIRTUAL_HOST

SERVERS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  selector: {istio: ingress}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [HOST]}]
"""
RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front, namespace: default}
spec: {hosts: [HOST], gateways: [gw], http: [{route: [{destination: {host: a}}]}]}
"""
DECLARED = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec: {egress: [{port: {number: PORT, protocol: PROTOCOL, name: p}, hosts: ['*/*']}]}
"""


class Edge:
    def __init__(self, *texts: str, gateway: bool = True) -> None:
        self.world = World(GATEWAY if gateway else WEB)
        self.builder = Builder(BuilderSettings({}))
        self.builder.update(self.world.views, MeshChange(everything=True), "0")
        self.put(*texts)

    def put(self, *texts: str) -> None:
        for document in (document for text in texts for document in documents_of(text)):
            change = self.world.change(document)
            self.change = self.builder.update(self.world.views, change, "n")

    def delete(self, key: str) -> None:
        change = self.world.change(key)
        self.change = self.builder.update(self.world.views, change, "n")

    def names(self, kind: TypeUrl) -> list[str]:
        return list(self.builder.resources[kind])

    def base(self, route_config: str) -> list[str]:
        found = self.builder.resources[RDS][route_config]
        return [vh.name for vh in pb.RouteConfiguration.FromString(found.body).virtual_hosts]


def test_a_gateway_pushes_its_hosts_one_by_one_under_a_base_that_answers_404() -> None:
    edge = Edge(
        service("a", (1, "v1")),
        RULES.replace("HOST", "www.example.com"),
        SERVERS.replace("HOST", "'*'"),
    )
    assert edge.names(LDS) == ["0.0.0.0_8080"]
    assert edge.base("http.8080") == ["not_found"]
    assert edge.names(VHDS) == ["http.8080/www.example.com:8080"]


def test_a_rule_for_every_host_is_the_base() -> None:
    edge = Edge(
        service("a", (1, "v1")), SERVERS.replace("HOST", "'*'"), RULES.replace("HOST", "'*'")
    )
    assert edge.names(VHDS) == []
    (name,) = edge.base("http.8080")
    assert name != "not_found"


def test_a_rule_change_leaves_the_listener_of_a_gateway_alone() -> None:
    edge = Edge(
        service("a", (1, "v1")), SERVERS.replace("HOST", "'*'"), RULES.replace("HOST", "one.test")
    )
    edge.put(RULES.replace("HOST", "two.test"))
    assert set(edge.change.upserts) == set(edge.change.removals) == {VHDS}


def test_a_gateway_that_goes_takes_everything_along() -> None:
    edge = Edge(
        service("a", (1, "v1")), SERVERS.replace("HOST", "'*'"), RULES.replace("HOST", "one.test")
    )
    edge.delete("ns/default/gateways/gw")
    assert (edge.names(LDS), edge.names(RDS), edge.names(VHDS)) == ([], [], [])
    assert TypeUrl.CLUSTER in edge.change.removals


def test_a_gateway_is_for_gateways_alone() -> None:
    edge = Edge(service("a", (1, "v1")), SERVERS.replace("HOST", "'*'"), gateway=False)
    assert edge.names(LDS) == []


@pytest.mark.parametrize(("protocol", "routes"), [("HTTP", ["9080"]), ("TCP", [])])
def test_a_declared_egress_listener_comes_and_goes(protocol: str, routes: list[str]) -> None:
    declared = DECLARED.replace("PORT", "9080").replace("PROTOCOL", protocol)
    edge = Edge(service("a", (1, "v1"), protocol=protocol), declared, gateway=False)
    assert edge.names(LDS) == ["egress_127.0.0.1_9080"]
    assert edge.names(RDS) == routes
    assert "outbound|9080||a.default.svc.cluster.local" in edge.names(TypeUrl.CLUSTER)
    edge.delete("ns/default/sidecars/default")
    assert (edge.names(LDS), edge.names(RDS), edge.names(VHDS)) == ([], [], [])
    assert "outbound|9080||a.default.svc.cluster.local" not in edge.names(TypeUrl.CLUSTER)


def test_a_declared_listener_follows_the_services_that_it_imports() -> None:
    declared = DECLARED.replace("PORT", "9080").replace("PROTOCOL", "TCP")
    edge = Edge(declared, gateway=False)
    assert edge.names(LDS) == []
    edge.put(service("a", (1, "v1"), protocol="TCP"))
    assert edge.names(LDS) == ["egress_127.0.0.1_9080"]
