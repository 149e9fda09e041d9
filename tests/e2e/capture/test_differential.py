"""One table, two readers: where `trace` says that a captured connection goes, Envoy sends it."""

from __future__ import annotations

import random
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.harness.captured import CapturedMesh, captured_mesh
from tests.harness.namespaces import needs_namespaces

pytestmark = [pytest.mark.real, pytest.mark.slow, *needs_namespaces]

MESHES, CONNECTIONS = 6, 30
ADDRESSES = ("10.88.0.1", "10.88.0.2", "10.88.1.1", "10.88.2.1")
RANGES = ("10.88.0.0/16", "10.88.0.0/24", "10.88.1.0/24")
NAMES = ("a.test", "b.a.test", "c.test")
PORTS = (5000, 5001)
PROTOCOLS = ("TCP", "TLS")


class _Namer(socketserver.BaseRequestHandler):
    """Answers whatever first bytes come, TLS or not, with the application's name."""

    def handle(self) -> None:
        if self.request.recv(1):
            self.request.sendall(self.server.name.encode() + b"\n")  # type: ignore[attr-defined] # set below


class _Named(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def application(name: str) -> Iterator[int]:
    """An application on loopback; its port."""
    with _Named(("127.0.0.1", 0), _Namer) as server:
        server.name = name  # type: ignore[attr-defined] # read by the handler
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def client_hello(name: str) -> bytes:
    """The first bytes of TLS with a server name."""
    sent = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()


@dataclass
class Backends:
    """The mesh, and the port of each host's application."""

    mesh: CapturedMesh
    ports: dict[str, int]


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with captured_mesh() as mesh, ExitStack() as stack:
        ports = {host: stack.enter_context(application(host)) for host in NAMES}
        mesh.mesh.sidecar("h1")
        stack.enter_context(mesh.captured())
        yield Backends(mesh, ports)


def objects(chosen: random.Random, ports: dict[str, int]) -> Iterator[dict[str, Any]]:
    """ServiceEntries for every name and VirtualServices for some, at addresses and ports that meet each other."""
    for host in NAMES:
        protocol, number = chosen.choice(PROTOCOLS), chosen.choice(PORTS)
        addresses = chosen.sample((*ADDRESSES, *RANGES), chosen.randint(0, 2))
        yield {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": host.replace(".", "-"), "namespace": "default"},
            "spec": {
                "hosts": [host],
                "addresses": addresses,
                "ports": [{"number": number, "name": "p", "protocol": protocol}],
                "resolution": "STATIC",
                "endpoints": [{"address": "127.0.0.1", "ports": {"p": ports[host]}}],
            },
        }
        if chosen.random() < 0.6:
            field = protocol.lower()
            yield {
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": {"name": host.replace(".", "-"), "namespace": "default"},
                "spec": {
                    "hosts": [host],
                    field: [rule(chosen, host, field) for _ in range(chosen.randint(1, 2))],
                },
            }


def rule(chosen: random.Random, host: str, field: str) -> dict[str, Any]:
    match: dict[str, Any] = {}
    if chosen.random() < 0.5:
        match["destinationSubnets"] = [chosen.choice(RANGES)]
    if chosen.random() < 0.3:
        match["port"] = chosen.choice(PORTS)
    if field == "tls":
        match["sniHosts"] = [host]
    return {"match": [match], "route": [{"destination": {"host": chosen.choice(NAMES)}}]}


def told(backends: Backends, url: str, server_name: str) -> str:
    """Host that the trace names; `rest` for the original destination, `nowhere` where nothing takes it."""
    target = f"/v1/trace?url={quote(url, safe='')}"
    if server_name:
        target += f"&header={quote(f'server-name: {server_name}')}"
    code, text = backends.mesh.mesh.sidecars["h1"].page(target)
    assert code == 200, text
    found = yaml.safe_load(text)
    if found["outcome"] != "forward":
        return "nowhere"
    (destination,) = found["destinations"]
    cluster = str(destination["cluster"])
    if "|" not in cluster:
        return "rest"
    return "nowhere" if destination["problem"] else cluster.rpartition("|")[2]


@pytest.mark.parametrize("seed", range(MESHES))
def test_envoy_sends_a_connection_where_the_table_says(backends: Backends, seed: int) -> None:
    chosen = random.Random(seed)
    made = list(objects(chosen, backends.ports))
    backends.mesh.mesh.put(*(yaml.safe_dump(one) for one in made))
    spoken = {
        one["spec"]["ports"][0]["number"]: one["spec"]["ports"][0]["protocol"]
        for one in made
        if one["kind"] == "ServiceEntry"
    }
    try:
        for _ in range(CONNECTIONS):
            address, port = chosen.choice(ADDRESSES), chosen.choice(PORTS)
            name = chosen.choice((*NAMES, "x.test")) if spoken.get(port) == "TLS" else ""
            where = told(backends, f"{'tls' if name else 'tcp'}://{address}:{port}", name)
            if where == "rest":
                continue  # nobody has these addresses: it would wait for an answer
            heard = heard_by(backends, address, port, name)
            wanted = "" if where == "nowhere" else where
            assert heard == wanted, (seed, address, port, name, where, made)
    finally:
        names = {(one["kind"], one["metadata"]["name"]) for one in made}
        for kind, name in sorted(names, reverse=True):
            backends.mesh.mesh.delete(kind, name, "-n", "default", missing_ok=True)


def heard_by(backends: Backends, address: str, port: int, name: str) -> str:
    """The application that answered; empty for none."""

    def asked() -> str:
        with (
            socket.create_connection((address, port), timeout=30) as stream,
            suppress(ConnectionError),
        ):
            stream.sendall(client_hello(name) if name else b"hello\n")
            return stream.makefile().readline().strip()
        return ""

    return backends.mesh.as_client(asked)
