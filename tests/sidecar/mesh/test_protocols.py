"""Protocols of ports: declared, by name, by number."""

from __future__ import annotations

import pytest

from sidecar.mesh.model import Protocol
from sidecar.mesh.protocols import declared_protocol, registered_protocol


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http", Protocol.HTTP),
        ("Grpc-Web", Protocol.GRPC_WEB),
        ("HTTP_PROXY", Protocol.HTTP_PROXY),
        ("UDP", Protocol.UDP),
        ("", Protocol.AUTO),
        (None, Protocol.AUTO),
        ("gopher", Protocol.AUTO),
    ],
)
def test_declared_protocols_are_read_without_regard_to_case(
    text: str | None, expected: Protocol
) -> None:
    assert declared_protocol(text) is expected


@pytest.mark.parametrize(
    ("protocol", "name", "number", "expected"),
    [
        ("TCP", "http", 80, Protocol.TCP),
        ("", "http2-api", 80, Protocol.HTTP2),
        ("", "grpc", 80, Protocol.GRPC),
        ("", "grpc-web-front", 80, Protocol.GRPC_WEB),
        ("", "web", 80, Protocol.AUTO),
        ("", "", 3306, Protocol.TCP),
        ("", "mysql", 3306, Protocol.MYSQL),
        ("", "https", 25, Protocol.HTTPS),
    ],
)
def test_registered_ports_are_read_as_kubernetes_ports_are(
    protocol: str, name: str, number: int, expected: Protocol
) -> None:
    assert registered_protocol(protocol, name, number) is expected


def test_each_protocol_is_http_or_tls_or_neither() -> None:
    http = {p for p in Protocol if p.is_http}
    tls = {p for p in Protocol if p.is_tls}
    assert not http & tls
    assert {p for p in Protocol if p.is_http2} < http
    assert tls == {Protocol.HTTPS, Protocol.TLS}
