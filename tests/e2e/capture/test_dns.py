"""Names on a captured host: unmodified clients find hosts of the mesh by every usual name, and all others as before."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address

import pytest

from sidecar.dns.wire import answer, read_question
from tests.harness.captured import CapturedMesh, captured_mesh, say
from tests.harness.echo import EchoBackend, TcpEcho
from tests.harness.namespaces import needs_namespaces

pytestmark = [pytest.mark.real, pytest.mark.slow, *needs_namespaces]

RESOLVER = "10.77.0.53"
RULES = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v2}}]}]}
"""


class Resolver:
    """A resolver of the world: knows one name, and denies (by silence of records) all others."""

    def __init__(self, address: str) -> None:
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((address, 53))
        self.asked: list[str] = []

    @contextmanager
    def serving(self) -> Iterator[Resolver]:
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._udp.close()

    def _serve(self) -> None:
        while True:
            try:
                query, sender = self._udp.recvfrom(4096)
            except OSError:
                return
            question = read_question(query)
            assert question is not None
            self.asked.append(question.name)
            known = (
                [ip_address("10.77.0.2")]
                if (question.name, question.kind) == ("outside.example", 1)
                else []
            )
            self._udp.sendto(answer(question, known, 60), sender)


@pytest.fixture(scope="module")
def named() -> Iterator[tuple[CapturedMesh, Resolver]]:
    told = {"dns": True, "dns_servers": [RESOLVER]}
    with captured_mesh(f"{RESOLVER}/24", **told) as found, ExitStack() as stack:
        mesh, world = found.mesh, found.world
        v1, v2 = mesh.backend("reviews", "v1"), mesh.backend("reviews", "v2")
        db = stack.enter_context(TcpEcho("db"))
        mesh.sidecar(
            "h1",
            mesh.workload(v1, 9080),
            mesh.workload(v2, 9080, name="second"),
            {"service": "db", "ports": [{"number": 5432, "protocol": "TCP", "app_port": db.port}]},
        )
        mesh.put(RULES)
        with world.inside():
            stack.enter_context(EchoBackend("outside", port=80, address=world.address))
            resolver = stack.enter_context(Resolver(RESOLVER).serving())
        stack.enter_context(found.captured())
        yield found, resolver


def lookup(mesh: CapturedMesh, name: str, kind: int = 1, *, tcp: bool = False) -> list[str]:
    """Addresses of a name as a client asks the machine's resolver for them."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = (
        struct.pack("!6H", 4711, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)
    )

    def asked() -> bytes:
        if tcp:
            with socket.create_connection((RESOLVER, 53), timeout=30) as stream:
                stream.sendall(struct.pack("!H", len(query)) + query)
                return stream.makefile("rb").read(struct.unpack("!H", stream.recv(2))[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(30)
            datagrams.connect((RESOLVER, 53))
            datagrams.send(query)
            return datagrams.recv(4096)

    found = mesh.as_client(asked)
    assert found[:2] == query[:2]
    count, at = struct.unpack("!H", found[6:8])[0], len(query)
    addresses = []
    for _ in range(count):
        length = struct.unpack("!H", found[at + 10 : at + 12])[0]
        family = socket.AF_INET if length == 4 else socket.AF_INET6
        addresses.append(socket.inet_ntop(family, found[at + 12 : at + 12 + length]))
        at += 12 + length
    return addresses


def test_an_unmodified_client_reaches_a_service_by_its_name_alone(
    named: tuple[CapturedMesh, Resolver],
) -> None:
    mesh, _ = named
    assert mesh.curl("http://reviews:9080/", resolver=RESOLVER).seen["version"] == "v2"
    assert mesh.curl("http://outside.example/", resolver=RESOLVER).seen["name"] == "outside"
    (address,) = lookup(mesh, "reviews")
    assert address.startswith("240.240.")
    assert mesh.curl(f"http://{address}:9080/").seen["version"] == "v2", (
        "the address means the service"
    )


def test_every_usual_name_has_the_same_address(named: tuple[CapturedMesh, Resolver]) -> None:
    mesh, resolver = named
    names = [
        "reviews",
        "reviews.default",
        "reviews.default.svc",
        "REVIEWS.default.svc.cluster.local",
    ]
    (address,) = {one for name in names for one in lookup(mesh, name)}
    assert lookup(mesh, "reviews", tcp=True) == [address]
    (six,) = lookup(mesh, "reviews", 28)
    assert six.startswith("2001:2::")
    assert lookup(mesh, "reviews", 65) == []
    assert not [name for name in resolver.asked if "reviews" in name], "nobody else was asked"


def test_bytes_go_by_the_virtual_address_of_their_service(
    named: tuple[CapturedMesh, Resolver],
) -> None:
    mesh, _ = named
    (address,) = lookup(mesh, "db")
    assert mesh.as_client(lambda: say(address, 5432)) == "db: hello"
    (six,) = lookup(mesh, "db", 28)
    assert mesh.as_client(lambda: say(six, 5432)) == "db: hello"


def test_other_names_are_asked_of_the_machine_s_resolvers(
    named: tuple[CapturedMesh, Resolver],
) -> None:
    mesh, resolver = named
    assert lookup(mesh, "outside.example") == ["10.77.0.2"]
    assert resolver.asked[-1] == "outside.example"
    assert lookup(mesh, "outside.example", 16) == [], "other kinds of records, too"
    assert lookup(mesh, "no.such.example") == []
    code, text = mesh.mesh.sidecars["h1"].page("/metrics")
    assert code == 200
    assert 'meshd_dns_questions_total{outcome="forwarded"}' in text


def test_a_declared_address_is_the_answer(named: tuple[CapturedMesh, Resolver]) -> None:
    mesh, _ = named
    mesh.mesh.put("""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: default}
spec:
  hosts: [far.example]
  addresses: [10.88.0.4]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: STATIC
""")
    assert lookup(mesh, "far.example") == ["10.88.0.4"]
    assert lookup(mesh, "far.example", 28) == []


def test_an_address_outlives_the_sidecar(named: tuple[CapturedMesh, Resolver]) -> None:
    mesh, _ = named
    sidecar = mesh.mesh.sidecars["h1"]
    before = lookup(mesh, "db")
    kept = (sidecar.data_dir / "virtual-addresses").read_text()
    sidecar.kill()
    assert mesh.as_client(lambda: say(before[0], 5432)) == "db: hello", "Envoy serves on"
    sidecar.start().wait_ready()
    assert lookup(mesh, "db") == before
    assert (sidecar.data_dir / "virtual-addresses").read_text().startswith(kept)


def test_trace_knows_the_virtual_address(named: tuple[CapturedMesh, Resolver]) -> None:
    mesh, _ = named
    (address,) = lookup(mesh, "db")
    found = mesh.mesh.sidecars["h1"].trace(f"tcp://{address}:5432")
    assert [one["cluster"] for one in found["destinations"]] == [
        "outbound|5432||db.default.svc.cluster.local"
    ]
    assert json.dumps(found)
