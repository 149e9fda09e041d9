"""Gateways of the mesh: mutual TLS that ends there (ISTIO_MUTUAL), and that is passed on by name (AUTO_PASSTHROUGH)."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.identities import MeshAuthority, spiffe
from tests.harness.load import Reply, send
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

REVIEWS = "reviews.default.svc.cluster.local"
GATEWAYS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ends}
spec:
  selector: {istio: edge}
  servers:
  - port: {number: ENDS, name: https, protocol: HTTPS}
    bind: 127.0.0.1
    hosts: ["ended.example.com"]
    tls: {mode: ISTIO_MUTUAL}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ends}
spec:
  hosts: [ended.example.com]
  gateways: [ends]
  http: [{route: [{destination: {host: reviews}}]}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: passes}
spec:
  selector: {istio: edge}
  servers:
  - port: {number: PASSES, name: tls, protocol: TLS}
    bind: 127.0.0.1
    hosts: ["*.local"]
    tls: {mode: AUTO_PASSTHROUGH}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: through}
spec:
  hosts: [ended.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: ENDS}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ends}
spec: {host: ended.example.com, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: ended.example.com}}}
"""
FAR = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far}
spec:
  hosts: [far.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: PASSES}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: far}
spec:
  host: far.example.com
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: outbound_.9080_._.REVIEWS}}
"""


@dataclass
class Edge:
    """A client, a gateway and a server, each with an identity."""

    mesh: MeshFixture
    client: SidecarProcess
    ids: Path
    """Folder of each one's certificates."""
    ends: int
    """Port where TLS ends."""
    passes: int
    """Port where it is passed on."""

    def tls(self, port: int, name: str, *, shows: str = "web", offers: str = "istio") -> Reply:
        """A request in mutual TLS by hand, under a server name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(str(self.ids / "web" / "root-cert.pem"))
        context.set_alpn_protocols([offers])
        if shows:
            own = self.ids / shows
            context.load_cert_chain(str(own / "cert-chain.pem"), str(own / "key.pem"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            with socket.create_connection(("127.0.0.1", port), 20) as plain:
                connection.sock = context.wrap_socket(plain, server_hostname=name)
                return send(connection, name)
        except OSError as problem:
            return Reply(0, repr(problem))
        finally:
            connection.close()


def told(reply: Reply) -> str:
    """What the application was told of who asks."""
    return str(reply.seen["headers"].get("x-forwarded-client-cert", ""))


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with MeshFixture() as mesh:
        authority, ids = MeshAuthority(), mesh.root / "ids"
        for account in ("reviews", "web", "edge"):
            authority.workload(ids / account, spiffe(account))
        MeshAuthority("strangers").workload(ids / "stranger", spiffe("web"))

        def settings(account: str) -> dict[str, Any]:
            return {"service_account": account, "identity": {"directory": str(ids / account)}}

        workload = mesh.workload(mesh.backend("reviews", "v1"), 9080)
        mesh.sidecar("server", workload, **settings("reviews"))
        mesh.sidecar("edge", role="gateway", labels={"istio": "edge"}, **settings("edge"))
        client = mesh.sidecar("client", **settings("web"))
        made = Edge(mesh, client, ids, listen_port(), listen_port())
        objects = (GATEWAYS + "---" + FAR).replace("REVIEWS", REVIEWS)
        objects = objects.replace("ENDS", str(made.ends)).replace("PASSES", str(made.passes))
        mesh.put(objects)
        yield made


def test_mutual_tls_ends_at_the_gateway_with_its_own_certificate(edge: Edge) -> None:
    chain = told(edge.client.ask("ended.example.com"))
    first, _, last = chain.partition(",")
    assert f"URI={spiffe('web')}" in first
    assert "Cert=" in first
    assert f"URI={spiffe('edge')}" in last


def test_who_shows_no_certificate_of_the_mesh_is_turned_away(edge: Edge) -> None:
    assert edge.tls(edge.ends, "ended.example.com").status == 200
    for shows in ("", "stranger"):
        assert edge.tls(edge.ends, "ended.example.com", shows=shows).status == 0


def test_mutual_tls_is_passed_on_by_name_and_the_server_sees_the_client_itself(edge: Edge) -> None:
    assert f"URI={spiffe('web')}" in told(edge.client.ask("far.example.com"))
    direct = edge.tls(edge.passes, f"outbound_.9080_._.{REVIEWS}")
    assert f"URI={spiffe('web')}" in told(direct)
    assert "Cert=" not in told(direct)


def test_only_names_of_services_and_only_peers_are_passed_on(edge: Edge) -> None:
    for name in (f"outbound_.9081_._.{REVIEWS}", f"outbound_.9080_.v9_.{REVIEWS}", REVIEWS):
        assert edge.tls(edge.passes, name).status == 0
    assert edge.tls(edge.passes, f"outbound_.9080_._.{REVIEWS}", offers="h2").status == 0


def test_a_subset_has_a_name_as_soon_as_a_rule_defines_it(edge: Edge) -> None:
    name = f"outbound_.9080_.v1_.{REVIEWS}"
    assert edge.tls(edge.passes, name).status == 0
    edge.mesh.put(f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: subsets}}
spec: {{host: {REVIEWS}, subsets: [{{name: v1, labels: {{version: v1}}}}]}}
""")
    wait_until(lambda: edge.tls(edge.passes, name).status == 200, 20, "the route to the subset")


def test_no_field_of_these_objects_is_said_to_be_without_effect(edge: Edge) -> None:
    objects = (GATEWAYS + "---" + FAR).replace("ENDS", "8443").replace("PASSES", "15443")
    ran = edge.mesh.meshd("validate", "-f", "-", stdin=objects.replace("REVIEWS", REVIEWS))
    assert ran.returncode == 0, ran.stdout
    assert "no effect" not in ran.stdout
