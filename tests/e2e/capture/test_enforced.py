"""What arrives is captured, and what would bypass the sidecar is dropped where capture is enforced."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.harness.captured import CLIENT, CapturedMesh, captured_mesh, say
from tests.harness.echo import EchoBackend, TcpEcho
from tests.harness.namespaces import needs_namespaces

pytestmark = [pytest.mark.real, pytest.mark.slow, *needs_namespaces]


@pytest.fixture(scope="module")
def host() -> Iterator[CapturedMesh]:
    with captured_mesh("10.77.0.3/24") as found, ExitStack() as stack:
        web, raw = (
            stack.enter_context(EchoBackend("web", port=8080)),
            stack.enter_context(TcpEcho("raw", 8081)),
        )
        open_wide = stack.enter_context(EchoBackend("wide", port=8082, address="0.0.0.0"))
        found.mesh.sidecar(
            "h1",
            {
                "service": "web",
                "ports": [
                    {"number": 80, "protocol": "HTTP", "app_port": web.port},
                    {"number": 5000, "protocol": "TCP", "app_port": raw.port},
                    {"number": 82, "protocol": "HTTP", "app_port": open_wide.port},
                ],
            },
        )
        with found.world.inside():
            stack.enter_context(EchoBackend("outside", port=9080, address=found.world.address))
            stack.enter_context(TcpEcho("db", 3306, "10.77.0.3"))
        yield found


def from_world(host: CapturedMesh, url: str) -> dict[str, object] | None:
    """What an unmodified client of the world gets; None where nobody answers."""
    with host.world.inside():
        found = host.curl(url, "--connect-timeout", "3", user=CLIENT)
    return found.seen if found.status == 200 else None


def test_what_arrives_for_an_application_goes_by_its_sidecar(host: CapturedMesh) -> None:
    url = f"http://{host.host.address}:8080/x"
    assert from_world(host, url) is None, "it listens on loopback alone"
    with host.captured():
        seen = from_world(host, url)
        assert seen is not None
        assert seen["name"] == "web"
        assert "x-request-id" in seen["headers"]  # type: ignore[operator] # the echo's JSON
        six = from_world(host, f"http://[{host.host.address_v6}]:8080/x")
        assert six is not None
        with host.world.inside():
            assert host.as_client(lambda: say(host.host.address, 8081)) == "raw: hello"
        assert host.counted("inbound") == 3


def test_connections_to_the_capture_ports_themselves_go_nowhere(host: CapturedMesh) -> None:
    with host.captured(), host.world.inside():
        assert host.as_client(lambda: say(host.host.address, 15190)) == ""
    assert say("127.0.0.1", 15101) == ""


def test_an_inbound_port_can_be_left_alone(host: CapturedMesh) -> None:
    with host.captured("--exclude-inbound-port", "8082"):
        seen = from_world(host, f"http://{host.host.address}:8082/")
        assert seen is not None
        assert "x-request-id" not in seen["headers"]  # type: ignore[operator] # the echo's JSON
        assert host.counted("inbound") == 0


@contextmanager
def datagrams(host: CapturedMesh) -> Iterator[str]:
    """A server in the world that answers datagrams on port 7777."""
    with host.world.inside():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((host.world.address, 7777))

    def serve() -> None:
        with server:
            while True:
                message, sender = server.recvfrom(100)
                if message == b"end":
                    return
                server.sendto(message, sender)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield host.world.address
    finally:
        with host.world.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", (host.world.address, 7777))
        thread.join()


def echoed(address: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.connect((address, 7777))
        try:
            client.send(b"ping")
            return client.recv(100).decode()
        except OSError:
            return ""


def test_what_bypasses_the_sidecar_is_dropped_where_that_is_enforced(host: CapturedMesh) -> None:
    past = "the only context past the sidecar"
    with datagrams(host) as address:
        with host.captured():
            assert host.as_client(lambda: echoed(address)) == "ping"
        with host.captured("--enforce", "--only-user", str(CLIENT)):
            assert host.as_client(lambda: echoed(address)) == ""
            assert host.counted(past) > 0
            assert host.as_client(lambda: echoed(address), 5009) == "ping", "another user"
            assert echoed(address) == "ping", "the sidecar's own"
            assert host.curl(f"http://{address}:9080/").seen["name"] == "outside"
            assert host.as_client(lambda: say("10.77.0.3", 3306)) == "db: hello"
        with host.captured("--enforce", "--exclude-port", "7777"):
            assert host.as_client(lambda: echoed(address)) == "ping", "what is excluded may pass"


def held(ready: threading.Event, go: threading.Event, heard: list[str]) -> None:
    """A connection that is open before the rules are installed, and used after."""
    with socket.create_connection(("10.77.0.3", 3306), timeout=4) as stream:
        lines = stream.makefile()
        stream.sendall(b"before\n")
        heard.append(lines.readline().strip())
        ready.set()
        go.wait(60)
        try:
            stream.sendall(b"after\n")
            heard.append(lines.readline().strip())
        except OSError:
            heard.append("cut")


@pytest.mark.parametrize(("words", "after"), [((), "db: after"), (("--enforce",), "cut")])
def test_a_connection_from_before_goes_on_unless_capture_is_enforced(
    host: CapturedMesh, words: tuple[str, ...], after: str
) -> None:
    ready, go, heard = threading.Event(), threading.Event(), list[str]()
    client = threading.Thread(target=held, args=(ready, go, heard))
    client.start()
    assert ready.wait(30)
    # The client is this process, which is the sidecar's user: the rules are told that it is somebody else's.
    with host.captured("--user", "4242", "--only-user", "0", *words):
        go.set()
        client.join()
    assert heard == ["db: before", after]


def test_what_arrives_past_the_sidecar_is_dropped_where_that_is_enforced(
    host: CapturedMesh,
) -> None:
    with host.world.inside():
        early = socket.create_connection((host.host.address, 8082), timeout=3)
    with early, host.captured("--enforce"):
        early.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(OSError, match="timed out"):
            early.recv(10)
        assert host.counted("past the sidecar") > 0
        seen = from_world(host, f"http://{host.host.address}:8082/")
        assert seen is not None
        assert "x-request-id" in seen["headers"]  # type: ignore[operator] # the echo's JSON
