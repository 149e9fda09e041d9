"""What was written in one transaction has one creation revision: then the name decides, then the namespace."""

from __future__ import annotations

from sidecar.mesh.model import Context, HostName
from sidecar.routing.build import outbound_virtual_host
from sidecar.routing.gateways import gateway_servers
from sidecar.routing.table import DirectResponse
from tests.harness.catalogs import Document, Store
from tests.harness.routing import object_of, service_of, view_of

HOST = "a.default.svc.cluster.local"


def answering(name: str, namespace: str, status: int) -> Document:
    rule = {"directResponse": {"status": status}}
    return object_of("VirtualService", name, {"hosts": [HOST], "http": [rule]}, namespace)


def status_of(*objects: Document, namespace: str = "third") -> int:
    """What the first VirtualService answers, all being written in one revision."""
    store = Store([service_of("a")])
    store.put(objects)
    host = outbound_virtual_host(view_of(store, Context("", namespace)), HOST)
    action = host.routes[0].action
    assert isinstance(action, DirectResponse)
    return action.status


def test_of_virtual_services_of_one_revision_the_name_decides_then_the_namespace() -> None:
    assert status_of(answering("b", "p", 201), answering("a", "q", 202)) == 202
    assert status_of(answering("a", "q", 201), answering("a", "p", 202)) == 202


def test_what_was_created_first_comes_first_whatever_its_name() -> None:
    store = Store([service_of("a"), answering("z", "q", 201), answering("a", "p", 202)])
    action = outbound_virtual_host(view_of(store, Context("", "third")), HOST).routes[0].action
    assert isinstance(action, DirectResponse)
    assert action.status == 201


def test_of_destination_rules_of_one_revision_the_name_decides() -> None:
    store = Store([service_of("a")])
    store.put(
        [
            object_of(
                "DestinationRule",
                name,
                {"host": "a", "subsets": [{"name": "v1", "labels": {"from": name}}]},
            )
            for name in ("b", "a")
        ]
    )
    assert view_of(store).subset_labels(HostName(HOST), "v1") == {"from": "a"}


def test_of_gateways_of_one_revision_the_name_decides_then_the_namespace() -> None:
    tls = {"mode": "SIMPLE", "serverCertificate": "/c", "privateKey": "/k"}
    port = {"number": 443, "name": "https", "protocol": "HTTPS"}
    server = {"port": port, "hosts": ["x.example"], "tls": tls}
    for (first, its), (second, seconds) in (
        (("b", "p"), ("a", "q")),
        (("a", "q"), ("a", "p")),
    ):
        store = Store()
        store.put(
            [
                object_of("Gateway", name, {"servers": [server]}, namespace)
                for name, namespace in ((first, its), (second, seconds))
            ]
        )
        view = view_of(store, Context("", "default", is_gateway=True))
        assert [str(one.gateways[0]) for one in gateway_servers(view)] == [
            f"Gateway/{seconds}/{second}"
        ]
