"""Listeners of Sidecars: whatever the objects, no two routes of one listener have the same conditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hypothesis import given, settings

from sidecar.mesh.model import Context
from sidecar.routing.listeners import http_listeners, tcp_listeners
from tests.harness.catalogs import Document, Store
from tests.harness.routing import object_of, service_of, view_of
from tests.sidecar.routing.strategies import contexts, documents, view_for


@settings(max_examples=50)
@given(documents, contexts)
def test_routes_of_a_listener_are_told_apart(objects: list[Document], context: Context) -> None:
    view = view_for(objects, context)
    for tcp in tcp_listeners(view):
        conditions = Counter((r.sni_hosts, r.destination_subnets) for r in tcp.routes)
        assert [one for one, count in conditions.items() if count > 1] == []
        unconditional = [not (r.sni_hosts or r.destination_subnets) for r in tcp.routes]
        assert unconditional == sorted(unconditional)
    for http in http_listeners(view):
        domains = Counter(domain for host in http.virtual_hosts for domain in host.domains)
        assert [domain for domain, count in domains.items() if count > 1] == []
        assert http.virtual_hosts[-1].domains == ("*",)


def listeners_of(egress: Mapping[str, object], *services: Document) -> tuple[list[str], list[str]]:
    sidecar = object_of("Sidecar", "default", {"egress": [{"hosts": ["*/*"], **egress}]})
    view = view_of(Store([*services, sidecar]))
    return (
        [f"{one.bind} {one.port} {one.route_config}" for one in http_listeners(view)],
        [f"{one.bind} {one.port}" for one in tcp_listeners(view)],
    )


def test_a_listener_without_protocol_speaks_what_its_first_service_speaks() -> None:
    port = {"port": {"number": 5000, "name": "p"}}
    assert listeners_of(port, service_of("db", "tcp:5000")) == ([], ["127.0.0.1 5000"])
    assert listeners_of(port, service_of("web", "http:5000")) == (["127.0.0.1 5000 5000"], [])


def test_a_unix_socket_needs_no_port() -> None:
    socket = {"bind": "unix:///run/web.sock", "port": {"name": "p", "protocol": "HTTP"}}
    http, _ = listeners_of(socket, service_of("web", "http:5000"))
    assert http == ["unix:///run/web.sock 0 /run/web.sock"]


def test_a_listener_without_port_or_socket_is_no_listener() -> None:
    assert listeners_of({}, service_of("web", "http:5000")) == ([], [])
