"""What stands before local applications: registration, Sidecar and DestinationRule together, rule by rule."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sidecar.certificates.model import workload_identity
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, Protocol
from sidecar.routing.table import InboundKey
from sidecar.xds.compile import Bind, InboundPort
from sidecar.xds.ingress import LocalPort, local_ports
from tests.harness.catalogs import Document, Store
from tests.harness.objects import destination_rule, sidecar

HOST = "10.1.1.1"
WEB = InboundPort(
    InboundKey(15006),
    Bind(HOST, 15006),
    "127.0.0.1",
    8080,
    Protocol.HTTP,
    number=9080,
    service="web",
    namespace="shop",
    labels={"app": "web"},
)
FIVE = {"tcp": {"maxConnections": 5}}
SIX = {"tcp": {"maxConnections": 6}}
SEVEN = {"tcp": {"maxConnections": 7}}


def served(*documents: Document, contexts: tuple[Context, ...] = ()) -> dict[int, LocalPort]:
    """Local ports by the port that they listen on."""
    store = Store()
    store.put(list(documents))
    mesh = Mesh.build(store.catalog, store.registrations)
    return {port.port.bind.port: port for port in local_ports(mesh, [WEB], contexts, HOST)}


def ingress(*listeners: Mapping[str, object], **spec: object) -> Document:
    return sidecar("web", "shop", ingress=list(listeners), hosts=("*/*",), **spec)


def listener(number: int, protocol: str = "HTTP", **more: object) -> Mapping[str, object]:
    return {"port": {"number": number, "protocol": protocol, "name": "p"}, **more}


def connections(port: LocalPort) -> int | None:
    tcp = port.pool.tcp if port.pool is not None else None
    return tcp.max_connections if tcp is not None else None


def test_without_a_sidecar_a_registered_port_is_as_registered() -> None:
    assert served() == {15006: LocalPort(WEB, addressed=8080)}


@pytest.mark.parametrize("number", [9080, 8080])
def test_an_ingress_listener_names_a_port_by_the_service_or_by_the_application(
    number: int,
) -> None:
    ports = served(ingress(listener(number, "GRPC", defaultEndpoint="unix:///run/web.sock")))
    assert list(ports) == [15006]
    port = ports[15006].port
    assert (port.app_address, port.app_port) == ("/run/web.sock", 0)
    assert port.protocol is Protocol.GRPC
    assert port.bind == WEB.bind


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("", ("127.0.0.1", 9080)),
        (":7", ("127.0.0.1", 7)),
        ("127.0.0.1:7", ("127.0.0.1", 7)),
        ("[::1]:7", ("::1", 7)),
        ("0.0.0.0:7", (HOST, 7)),
        ("[::]:7", (HOST, 7)),
    ],
)
def test_any_address_of_a_default_endpoint_is_the_hosts_own(
    told: str, expected: tuple[str, int]
) -> None:
    port = served(ingress(listener(9080, defaultEndpoint=told)))[15006].port
    assert (port.app_address, port.app_port) == expected


def test_a_port_that_nothing_is_registered_for_is_opened() -> None:
    ports = served(
        ingress(listener(9080), listener(7000, "TCP", bind="127.0.0.5", defaultEndpoint=":70"))
    )
    assert list(ports) == [15006, 7000]
    opened = ports[7000].port
    assert opened.bind == Bind("127.0.0.5", 7000)
    assert (opened.app_address, opened.app_port) == ("127.0.0.1", 70)
    assert opened.protocol is Protocol.TCP


def test_without_capture_a_registered_port_is_opened_under_its_own_number_too() -> None:
    ports = served(ingress(listener(9080, captureMode="NONE", defaultEndpoint=":70")))
    assert {where: port.port.app_port for where, port in ports.items()} == {15006: 70, 9080: 70}
    assert ports[9080].port.bind == Bind(HOST, 9080)


def test_the_limits_nearest_to_the_port_hold() -> None:
    rule = destination_rule("web", "web", "shop", trafficPolicy={"connectionPool": FIVE})
    assert connections(served(rule)[15006]) == 5
    everywhere = ingress(listener(9080), inboundConnectionPool=SIX)
    assert connections(served(rule, everywhere)[15006]) == 6
    here = ingress(listener(9080, connectionPool=SEVEN), inboundConnectionPool=SIX)
    assert connections(served(rule, here)[15006]) == 7


def test_a_rule_for_the_port_hides_the_rule_for_all_ports() -> None:
    policy = {
        "connectionPool": FIVE,
        "portLevelSettings": [{"port": {"number": 9080}, "connectionPool": SIX}],
    }
    assert (
        connections(served(destination_rule("web", "web", "shop", trafficPolicy=policy))[15006])
        == 6
    )


def test_a_sidecar_is_chosen_by_the_labels_of_the_workload() -> None:
    other = ingress(listener(7000), workloadSelector={"labels": {"app": "other"}})
    assert list(served(other)) == [15006]
    assert list(served(other, contexts=(Context("", "shop", {"app": "other"}),))) == [15006, 7000]


def test_no_sidecar_is_for_a_gateway() -> None:
    gateway = Context("", "shop", {"app": "web"}, is_gateway=True)
    assert list(served(ingress(listener(7000)), contexts=(gateway,))) == [15006]


def test_tls_that_ends_here_leaves_http() -> None:
    tls = {"mode": "SIMPLE", "serverCertificate": "/c", "privateKey": "/k"}
    port = served(ingress(listener(9080, "HTTPS", tls=tls)))[15006]
    assert port.port.protocol is Protocol.HTTP
    assert port.tls is not None


def test_captured_connections_name_the_port_as_it_was_registered_or_opened() -> None:
    ports = served(
        ingress(listener(9080, defaultEndpoint=":70"), listener(7000, defaultEndpoint=":71"))
    )
    assert {number: port.addressed for number, port in ports.items()} == {15006: 8080, 7000: 7000}


def test_a_port_that_is_opened_has_the_identity_of_its_context() -> None:
    identity = workload_identity("", ("/c", "/k", "/b"), "spiffe://d/ns/shop/sa/web", ("d",))
    context = Context("", "shop", {"app": "web"}, identity=identity)
    assert served(ingress(listener(7000)), contexts=(context,))[7000].port.identity == identity
