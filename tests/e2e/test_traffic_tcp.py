"""Bytes that nobody reads through two sidecars: plain TCP and TLS told apart by server name.

Without capture a client reaches them by a listener of its Sidecar's egress; the server's sidecar stands before them as
before any port of a workload.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import trustme

from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

TIMEOUT_S = 60.0
SILENT_S = 3.0
MEBIBYTES = 64


@dataclass
class TcpApp:
    """One TCP application: what it does with each connection is told."""

    name: str
    deed: Callable[[socket.socket], None]
    tls: ssl.SSLContext | None = None
    port: int = 0
    version: str = ""

    def run(self, listener: socket.socket) -> None:
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        stream.settimeout(TIMEOUT_S)
        try:
            if self.tls is not None:
                stream = self.tls.wrap_socket(stream, server_side=True)
            with stream:
                self.deed(stream)
        except OSError:
            return


@contextmanager
def running(app: TcpApp) -> Iterator[TcpApp]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app.port = listener.getsockname()[1]
        thread = threading.Thread(target=app.run, args=(listener,), daemon=True)
        thread.start()
        yield app
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(TIMEOUT_S)


def greet(stream: socket.socket) -> None:
    """Speak first, then send back whatever comes."""
    stream.sendall(b"welcome\n")
    while data := stream.recv(1 << 16):
        stream.sendall(data)


def count(stream: socket.socket) -> None:
    """Read to the end, and only then say how much it was."""
    total = 0
    while data := stream.recv(1 << 16):
        total += len(data)
    stream.sendall(f"{total}".encode())


class Farewell:
    """Say all there is to say at once, and then hear the other side out."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended = threading.Event()

    def __call__(self, stream: socket.socket) -> None:
        stream.sendall(b"bye")
        stream.shutdown(socket.SHUT_WR)
        while data := stream.recv(1 << 16):
            self.heard += data
        self.ended.set()


def name_itself(name: str) -> Callable[[socket.socket], None]:
    return lambda stream: stream.sendall(f"{name}: {stream.recv(1000).decode()}".encode())


@dataclass
class Meshed:
    client: SidecarProcess
    ports: dict[str, int]
    authority: trustme.CA
    farewell: Farewell


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    authority = trustme.CA()
    tls_port = listen_port()
    ports = {name: listen_port() for name in ("greeter", "half", "farewell")}
    ports |= {"alpha": tls_port, "beta": tls_port}
    said = Farewell()

    def secured(name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(f"{name}.default.svc.cluster.local").configure_cert(context)
        return context

    with (
        running(TcpApp("greeter", greet)) as greeter,
        running(TcpApp("half", count)) as half,
        running(TcpApp("farewell", said)) as farewell,
        running(TcpApp("alpha", name_itself("alpha"), secured("alpha"))) as alpha,
        running(TcpApp("beta", name_itself("beta"), secured("beta"))) as beta,
        MeshFixture() as mesh,
    ):
        workloads = [
            mesh.workload(app, ports[app.name], "TLS" if app.tls else "TCP")
            for app in (greeter, half, farewell, alpha, beta)
        ]
        server = mesh.sidecar("server", *workloads)
        mesh.put(f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: client}}
spec:
  workloadSelector: {{labels: {{app: client}}}}
  egress:
  - port: {{number: {ports["greeter"]}, protocol: TCP, name: tcp-greeter}}
    hosts: ["./*"]
  - port: {{number: {ports["half"]}, protocol: TCP, name: tcp-half}}
    hosts: ["./*"]
  - port: {{number: {ports["farewell"]}, protocol: TCP, name: tcp-farewell}}
    hosts: ["./*"]
  - port: {{number: {tls_port}, protocol: TLS, name: tls}}
    hosts: ["./*"]
""")
        client = mesh.sidecar("client", labels={"app": "client"})
        mesh.wait_registered(server)
        yield Meshed(client, ports, authority, said)


@contextmanager
def to(meshed: Meshed, service: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", meshed.ports[service]), TIMEOUT_S) as stream:
        yield stream


class TestTcp:
    def test_a_server_may_speak_first(self, meshed: Meshed) -> None:
        with to(meshed, "greeter") as stream:
            assert stream.makefile("rb").readline() == b"welcome\n"

    def test_a_silent_connection_stays_open(self, meshed: Meshed) -> None:
        with to(meshed, "greeter") as stream, stream.makefile("rb") as lines:
            lines.readline()
            time.sleep(SILENT_S)  # the silence is what is tested
            stream.sendall(b"still there\n")
            assert lines.readline() == b"still there\n"

    def test_a_client_that_has_said_all_still_hears_the_answer(self, meshed: Meshed) -> None:
        with to(meshed, "half") as stream:
            stream.sendall(b"x" * 1000)
            stream.shutdown(socket.SHUT_WR)
            assert stream.makefile("rb").read() == b"1000"

    def test_a_server_that_has_said_all_still_hears_the_client(self, meshed: Meshed) -> None:
        with to(meshed, "farewell") as stream:
            assert stream.makefile("rb").read() == b"bye"
            time.sleep(0.2)  # the end of one direction has long passed
            stream.sendall(b"and to you")
            stream.shutdown(socket.SHUT_WR)
            assert meshed.farewell.ended.wait(TIMEOUT_S)
        assert meshed.farewell.heard == b"and to you"

    def test_large_streams_pass_in_both_directions_at_once(self, meshed: Meshed) -> None:
        size = MEBIBYTES << 20
        with to(meshed, "greeter") as stream, stream.makefile("rb") as lines:
            lines.readline()
            sender = threading.Thread(target=stream.sendall, args=(bytes(size),))
            sender.start()
            got = 0
            while got < size:
                part = lines.read1(1 << 20)
                assert part, f"the stream ended after {got} bytes"
                got += len(part)
            sender.join(TIMEOUT_S)

    def test_a_server_that_is_gone_ends_the_connection(self, meshed: Meshed) -> None:
        with to(meshed, "half") as stream:
            stream.shutdown(socket.SHUT_WR)
            assert stream.makefile("rb").read() == b"0"
            assert stream.recv(1) == b""


class TestTlsPassThrough:
    @pytest.mark.parametrize("name", ["alpha", "beta"])
    def test_the_server_name_chooses_the_service_and_nobody_else_reads(
        self, meshed: Meshed, name: str
    ) -> None:
        host = f"{name}.default.svc.cluster.local"
        context = ssl.create_default_context()
        meshed.authority.configure_trust(context)
        with (
            to(meshed, name) as plain,
            context.wrap_socket(plain, server_hostname=host) as stream,
        ):
            stream.sendall(b"hello")
            assert stream.recv(1000) == f"{name}: hello".encode()

    def test_a_name_that_no_service_has_is_turned_away(self, meshed: Meshed) -> None:
        context = ssl.create_default_context()
        meshed.authority.configure_trust(context)
        with to(meshed, "alpha") as plain, pytest.raises(OSError):
            context.wrap_socket(plain, server_hostname="gamma.default.svc.cluster.local")
