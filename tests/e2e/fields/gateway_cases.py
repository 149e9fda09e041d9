"""Proofs of a Gateway: what is opened, for whom, and the TLS that ends there."""

from __future__ import annotations

from typing import Any

from tests.harness.field_cases import Case, ask, holds
from tests.harness.field_server_tls import server_tls_cases
from tests.harness.worlds import GATEWAY

__all__ = ["CASES"]

_SERVER = "Gateway.spec.servers[]"


def _gateway(*servers: str) -> str:
    """A Gateway and a VirtualService that sends everything of it to `b` (server `three`)."""
    listed = "\n".join(f"  - {server}" for server in servers)
    return f"""
kind: Gateway
metadata: {{name: gw}}
spec:
  selector: {{istio: ingress}}
  servers:
{listed}
---
kind: VirtualService
spec:
  hosts: ['*']
  gateways: [gw]
  http: [{{route: [{{destination: {{host: b}}}}]}}]
  tcp: [{{route: [{{destination: {{host: b}}}}]}}]
"""


def _case(name: str, proves: str, objects: str, *asks: Any, **more: Any) -> Case:
    return Case(name, proves, objects, asks=asks, context=GATEWAY, **more)


_PLAIN = (
    _case(
        "a server opens a port for its hosts",
        f"{_SERVER}.{{hosts,port.{{number,protocol}}}}",
        _gateway("{port: {number: $port, name: p, protocol: HTTP}, hosts: ['*.example.com']}"),
        ask("gw.example.com/", at="port", by="three"),
        ask("else.test/", at="port", status=404),
    ),
    _case(
        "a server may be bound to one address",
        f"{_SERVER}.bind",
        _gateway(
            "{port: {number: $port3, name: p, protocol: HTTP}, bind: 127.0.0.9, hosts: ['*']}"
        ),
        accepted=(
            holds("listener", "$port3", {"address": {"socket_address": {"address": "127.0.0.9"}}}),
        ),
    ),
    _case(
        "a Gateway is for the workloads that it selects",
        "Gateway.spec.selector",
        """
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: else}
  servers: [{port: {number: $port2, name: p, protocol: HTTP}, hosts: ['*']}]
---
"""
        + _gateway("{port: {number: $port, name: p, protocol: HTTP}, hosts: ['*']}")
        .replace("name: gw}", "name: own}")
        .replace("[gw]", "[own]"),
        ask("gw.example.com/", at="port", by="three"),
        ask("gw.example.com/", at="port2", status=0),
    ),
    _case(
        "plain requests are sent to https",
        f"{_SERVER}.tls.httpsRedirect",
        _gateway(
            "{port: {number: $port, name: p, protocol: HTTP}, hosts: [gw.example.com],"
            " tls: {httpsRedirect: true}}"
        ),
        ask(
            "gw.example.com/x",
            at="port",
            status=301,
            gives={"location": "https://gw.example.com/x"},
        ),
    ),
    _case(
        "the name of an HTTPS server is the prefix of its statistics",
        f"{_SERVER}.name",
        _gateway(
            "{port: {number: $port, name: p, protocol: HTTPS}, hosts: [gw.example.com], name: Front,"
            " tls: {mode: SIMPLE, serverCertificate: $folder/server.pem, privateKey: $folder/server.key}}"
        ),
        accepted=(
            holds(
                "listener",
                "$port",
                {"filter_chains": [{"filters": [{"typed_config": {"stat_prefix": "front"}}]}]},
            ),
        ),
    ),
    _case(
        "the name of an HTTPS port is part of its route configuration's",
        f"{_SERVER}.port.name",
        _gateway(
            "{port: {number: $port, name: web, protocol: HTTPS}, hosts: [gw.example.com],"
            " tls: {mode: SIMPLE, serverCertificate: $folder/server.pem, privateKey: $folder/server.key}}"
        ),
        ask("gw.example.com/", at="port", sni="gw.example.com", by="three"),
    ),
)


def _tls(tls: str) -> str:
    return _gateway(
        "{port: {number: $port, name: p, protocol: HTTPS}, hosts: ['*.example.com'], tls: "
        + tls
        + "}"
    )


CASES = (*_PLAIN, *server_tls_cases(f"{_SERVER}.tls", _tls, "three", context=GATEWAY))
