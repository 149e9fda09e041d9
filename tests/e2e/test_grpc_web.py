"""Browsers speak gRPC-Web, servers gRPC: a port declared GRPC-WEB translates, at gateways and before applications."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import grpc
import pytest

from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

METHOD = "/shop.Carts/Count"


@pytest.fixture
def carts() -> Iterator[int]:
    """A gRPC server that answers each message with itself; its port."""
    handler = grpc.method_handlers_generic_handler(
        "shop.Carts", {"Count": grpc.unary_unary_rpc_method_handler(lambda request, _: request)}
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def ask(port: int, host: str, message: bytes) -> tuple[int, bytes]:
    """One call as a browser makes it: status, and the message with its trailers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"host": host, "content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    connection.request("POST", METHOD, struct.pack(">BI", 0, len(message)) + message, headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


def is_echo(body: bytes, message: bytes) -> bool:
    """Whether the message came back, and after it the trailers of a call that went well."""
    frame = struct.pack(">BI", 0, len(message)) + message
    return body.startswith(frame) and b"grpc-status:0" in body[len(frame) :].replace(b" ", b"")


def test_a_local_application_gets_grpc(carts: int) -> None:
    with MeshFixture() as mesh:
        port = {
            "number": 9080,
            "protocol": "GRPC-WEB",
            "app_port": carts,
            "inbound_port": listen_port(),
        }
        mesh.sidecar("carts", {"service": "carts", "ports": [port]})
        client = mesh.sidecar("client")
        status, body = ask(client.port, "carts:9080", b"three")
        assert status == 200
        assert is_echo(body, b"three")


def test_a_gateway_makes_grpc_of_it(carts: int) -> None:
    with MeshFixture() as mesh:
        port = listen_port()
        mesh.put(
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: carts}}
spec:
  hosts: [carts.example.com]
  resolution: STATIC
  ports: [{{number: 80, name: grpc, protocol: GRPC}}]
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {carts}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: web}}
spec:
  selector: {{istio: ingress}}
  servers:
  - port: {{number: {port}, name: web, protocol: GRPC-WEB}}
    bind: 127.0.0.1
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: carts}}
spec:
  hosts: ["*"]
  gateways: [web]
  http: [{{route: [{{destination: {{host: carts.example.com}}}}]}}]
"""
        )
        mesh.sidecar("edge", role="gateway", labels={"istio": "ingress"})
        status, body = ask(port, "carts.example.com", b"four")
        assert status == 200
        assert is_echo(body, b"four")
