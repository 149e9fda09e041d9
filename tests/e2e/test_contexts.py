"""Two workload contexts of one host: names, source labels, visibility, scope and client certificate are each one's own.

The host `pair` sends for `shop` and for `bank`, each with an outbound listener of its own; everything that they reach
stands on the host `far`.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness.identities import MeshAuthority, spiffe
from tests.harness.load import Reply, send
from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

OBJECTS = """
apiVersion: meshd.io/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rates, namespace: default}
spec:
  host: rates.default.svc.cluster.local
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rates, namespace: default}
spec:
  hosts: [rates.default.svc.cluster.local]
  http:
  - match: [{sourceLabels: {tier: gold}}]
    route: [{destination: {host: rates, subset: v2}}]
  - route: [{destination: {host: rates, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vault, namespace: bank}
spec:
  hosts: [vault.example.com]
  exportTo: ["."]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: VAULT}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: news, namespace: default}
spec:
  hosts: [news.example.com]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: NEWS}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec:
  egress: [{hosts: ["./*", "default/rates.default.svc.cluster.local"]}]
"""


@dataclass
class Pair:
    """The mesh, and the host with two contexts."""

    mesh: MeshFixture
    host: SidecarProcess
    ports: dict[str, int]
    """Outbound listener of each context."""

    def ask(self, context: str, authority: str) -> Reply:
        """A request of a workload of that context."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[context], timeout=45)
        try:
            return send(connection, authority)
        finally:
            connection.close()

    def trace(self, context: str, url: str) -> dict[str, Any]:
        """Where the sidecar says that it would go."""
        code, text = self.host.page(f"/v1/trace?context={context}&url={quote(url, safe='')}")
        assert code == 200, text
        answer: dict[str, Any] = json.loads(text)
        return answer


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with MeshFixture() as mesh:
        authority, ids = MeshAuthority(), mesh.root / "ids"
        authority.workload(ids / "far", spiffe("default"))
        for name in ("shop", "bank"):
            authority.workload(ids / name, spiffe("app", name))
        prices = {name: mesh.backend("prices", name) for name in ("shop", "bank")}
        rates = [mesh.backend("rates", version) for version in ("v1", "v2")]
        mesh.sidecar(
            "far",
            *(
                mesh.workload(backend, 8080, namespace=name, name=f"prices-{name}")
                for name, backend in prices.items()
            ),
            *(mesh.workload(backend, 8080, name=f"rates-{backend.version}") for backend in rates),
            identity={"directory": str(ids / "far")},
        )
        ports = {"shop": listen_port(), "bank": listen_port()}
        labels = {"shop": {"tier": "gold"}, "bank": {"tier": "base"}}
        host = mesh.sidecar(
            "pair",
            contexts=[
                {
                    "name": name,
                    "namespace": name,
                    "labels": labels[name],
                    "service_account": "app",
                    "outbound_port": ports[name],
                    "identity": {"directory": str(ids / name)},
                }
                for name in ("shop", "bank")
            ],
        )
        vault, news = mesh.backend("vault"), mesh.backend("news")
        objects = OBJECTS.replace("VAULT", str(vault.port)).replace("NEWS", str(news.port))
        mesh.put(objects)
        yield Pair(mesh, host, ports)


CONTEXTS = pytest.mark.parametrize("context", ["shop", "bank"])


@CONTEXTS
def test_a_short_name_means_the_service_of_ones_own_namespace(pair: Pair, context: str) -> None:
    assert pair.ask(context, "prices:8080").version == context
    (found,) = pair.trace(context, "http://prices:8080/")["destinations"]
    assert f"prices.{context}.svc.cluster.local" in found["cluster"]


def test_the_full_name_reaches_the_other_one(pair: Pair) -> None:
    assert pair.ask("bank", "prices.shop:8080").version == "shop"


@pytest.mark.parametrize(("context", "version"), [("shop", "v2"), ("bank", "v1")])
def test_source_labels_are_those_of_the_context(pair: Pair, context: str, version: str) -> None:
    assert {pair.ask(context, "rates.default:8080").version for _ in range(5)} == {version}


@pytest.mark.parametrize(("context", "status"), [("shop", 502), ("bank", 200)])
def test_what_is_exported_to_one_namespace_is_seen_there_alone(
    pair: Pair, context: str, status: int
) -> None:
    assert pair.ask(context, "vault.example.com").status == status


@pytest.mark.parametrize(("context", "status"), [("shop", 502), ("bank", 200)])
def test_a_sidecar_limits_its_own_namespace_alone(pair: Pair, context: str, status: int) -> None:
    assert pair.ask(context, "news.example.com").status == status


@CONTEXTS
@pytest.mark.parametrize("authority", ["prices:8080", "rates.default:8080"])
def test_the_server_sees_the_certificate_of_the_context_that_asks(
    pair: Pair, context: str, authority: str
) -> None:
    told = pair.ask(context, authority).seen["headers"]["x-forwarded-client-cert"]
    assert re.findall(r"URI=([^;,]+)", told) == [spiffe("app", context)]
    (found,) = pair.trace(context, f"http://{authority}/")["destinations"]
    assert spiffe("app", context) in found["transport"]
    assert f"outbound.{context}|" in found["cluster"]
    assert all(endpoint["secured"] for endpoint in found["endpoints"])


def test_both_at_once_keep_to_their_own(pair: Pair) -> None:
    asked = [
        (context, pair.ask(context, "prices:8080")) for _ in range(20) for context in pair.ports
    ]
    for context, reply in asked:
        assert reply.version == context
        assert spiffe("app", context) in reply.seen["headers"]["x-forwarded-client-cert"]
