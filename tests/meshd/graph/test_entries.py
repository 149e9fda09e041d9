from __future__ import annotations

from meshd.graph.entries import client_entries, gateway_contexts, gateway_entries
from sidecar.mesh.view import View
from tests.harness.catalogs import Document
from tests.harness.routing import object_of
from tests.meshd.graph.meshes import WEB, mesh_of


def gateway(
    name: str, selector: dict[str, str], *servers: Document, namespace: str = "default"
) -> Document:
    return object_of("Gateway", name, {"selector": selector, "servers": list(servers)}, namespace)


def server(number: int, *hosts: str, protocol: str = "HTTP", **more: object) -> Document:
    port = {"number": number, "name": f"p{number}", "protocol": protocol}
    return {"port": port, "hosts": list(hosts), **more}


FRONT = {"istio": "front"}
TLS = {"mode": "SIMPLE", "serverCertificate": "/c", "privateKey": "/k"}


def test_gateways_with_one_selector_are_one_workload_in_the_namespace_of_the_oldest() -> None:
    mesh = mesh_of(
        gateway("a", FRONT, server(80, "a.com"), namespace="shop"),
        gateway("b", FRONT, server(81, "b.com")),
        gateway("c", {}, server(82, "c.com")),
    )
    found = [(one.namespace, dict(one.labels)) for one in gateway_contexts(mesh)]
    assert found == [("shop", FRONT), ("default", {})]
    assert all(one.is_gateway for one in gateway_contexts(mesh))


def test_each_server_of_a_gateway_is_an_entry_that_says_how_it_listens() -> None:
    mesh = mesh_of(
        gateway(
            "a",
            FRONT,
            server(80, "a.com"),
            server(443, "a.com", protocol="HTTPS", tls=TLS),
            server(9443, "t.com", protocol="TLS", tls={"mode": "PASSTHROUGH"}),
        )
    )
    (context,) = gateway_contexts(mesh)
    nodes = [entry.node for entry in gateway_entries(View(mesh, context))]
    assert [node.lines for node in nodes] == [
        ("port 80 HTTP", "at workloads with istio=front"),
        ("port 443 HTTPS, TLS SIMPLE", "server names a.com", "at workloads with istio=front"),
        ("port 9443 TLS, TLS PASSTHROUGH", "server names t.com", "at workloads with istio=front"),
    ]
    assert {node.title for node in nodes} == {"gateway default/a"}
    assert len({node.id for node in nodes}) == 3


def test_a_gateway_without_selector_is_said_to_be_everywhere() -> None:
    mesh = mesh_of(gateway("a", {}, server(80, "a.com")))
    (context,) = gateway_contexts(mesh)
    (entry,) = gateway_entries(View(mesh, context))
    assert entry.node.lines[-1] == "at every gateway workload"


def test_a_client_has_its_sidecar_and_each_listener_that_has_a_port_of_its_own() -> None:
    egress = [
        {"port": {"number": 9080, "protocol": "HTTP", "name": "web"}, "hosts": ["*/*"]},
        {"port": {"number": 3306, "protocol": "MYSQL", "name": "db"}, "hosts": ["*/*"]},
        {"hosts": ["*/*"]},
    ]
    mesh = mesh_of(object_of("Sidecar", "default", {"egress": egress}))
    entries = list(client_entries(View(mesh, WEB), "somebody"))
    assert [entry.node.title for entry in entries] == [
        "somebody",
        "listener 127.0.0.1:9080",
        "listener 127.0.0.1:3306",
    ]
    assert [host.name for host in entries[0].hosts] == ["allow_any"]
