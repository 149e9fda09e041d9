"""What leaves a captured host: unmodified clients, by VirtualService, by address, by server name, or straight on."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import trustme

from tests.harness.captured import CLIENT, CapturedMesh, captured_mesh, say
from tests.harness.echo import EchoBackend, TcpEcho
from tests.harness.namespaces import needs_namespaces, run

pytestmark = [pytest.mark.real, pytest.mark.slow, *needs_namespaces]

RULES = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v1}}]
  - route: [{destination: {host: reviews, subset: v2}}]
"""


def entry(
    name: str, port: str, *, addresses: str = "", endpoint: str = "", resolution: str = "STATIC"
) -> str:
    """A ServiceEntry for one host and port."""
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name.replace("*", "any").replace(".", "-")}, namespace: default}}
spec:
  hosts: ["{name}"]
  addresses: [{addresses}]
  ports: [{port}]
  resolution: {resolution}
  endpoints: [{endpoint}]
"""


@pytest.fixture(scope="module")
def captured() -> Iterator[CapturedMesh]:
    with captured_mesh("10.77.0.3/24", "10.90.1.1/32", "10.90.2.1/32") as found:
        mesh, world = found.mesh, found.world
        v1, v2 = mesh.backend("reviews", "v1"), mesh.backend("reviews", "v2")
        mesh.sidecar("h1", mesh.workload(v1, 9080), mesh.workload(v2, 9080, name="second"))
        mesh.put(RULES)
        with ExitStack() as stack:
            with world.inside():
                stack.enter_context(EchoBackend("outside", port=9080, address=world.address))
                stack.enter_context(EchoBackend("other", port=8099, address=world.address))
                stack.enter_context(TcpEcho("db", 3306, "10.77.0.3"))
                stack.enter_context(TcpEcho("near", 7000, "10.90.1.1"))
                stack.enter_context(TcpEcho("far", 7000, "10.90.2.1"))
                stack.enter_context(TcpEcho("six", 7001, world.address_v6))
            yield found


@pytest.fixture
def rules(captured: CapturedMesh) -> Iterator[CapturedMesh]:
    """With the rules for everybody but the sidecar installed."""
    with captured.captured():
        yield captured


AT_ANY = ("--connect-to", "::10.99.0.1:")
"""Connect to an address that nobody has: what answers has gone by the host of the request."""


def test_an_unmodified_request_goes_by_the_virtual_service(rules: CapturedMesh) -> None:
    url = "http://reviews:9080/x"
    assert rules.curl(url, *AT_ANY).seen["version"] == "v2"
    assert rules.curl(url, *AT_ANY, "-H", "end-user: jason").seen["version"] == "v1"
    assert (
        rules.curl("http://reviews.default.svc.cluster.local:9080/", *AT_ANY).seen["version"]
        == "v2"
    )


def test_an_unknown_host_is_passed_on_to_the_address_that_it_named(rules: CapturedMesh) -> None:
    seen = rules.curl(f"http://{rules.world.address}:9080/", "-H", "Host: no.such.host").seen
    assert (seen["name"], seen["headers"]["host"]) == ("outside", "no.such.host")
    assert rules.curl(f"http://{rules.world.address}:8099/").seen["name"] == "other"
    assert rules.as_client(lambda: say("10.77.0.3", 3306)) == "db: hello"
    assert rules.as_client(lambda: say(rules.world.address_v6, 7001)) == "six: hello"


def test_a_server_that_speaks_first_is_not_waited_for(rules: CapturedMesh) -> None:
    with rules.world.inside():
        listener = socket.create_server((rules.world.address, 2525))

    def greet() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 ready\r\n")

    thread = threading.Thread(target=greet)
    thread.start()

    def greeting() -> str:
        with socket.create_connection((rules.world.address, 2525), timeout=30) as stream:
            return stream.makefile().readline().strip()

    try:
        assert rules.as_client(greeting) == "220 ready"
    finally:
        listener.close()
        thread.join()


def test_bytes_go_by_virtual_address_and_tcp_rule(rules: CapturedMesh) -> None:
    with TcpEcho("one") as one, TcpEcho("two") as two:
        port = "{number: 5432, name: tcp, protocol: TCP}"
        rules.mesh.put(
            entry(
                "one.example",
                port,
                addresses="10.88.0.1",
                endpoint=f"{{address: 127.0.0.1, ports: {{tcp: {one.port}}}}}",
            ),
            entry(
                "two.example",
                port,
                addresses="10.88.0.2",
                endpoint=f"{{address: 127.0.0.1, ports: {{tcp: {two.port}}}}}",
            ),
        )
        assert rules.as_client(lambda: say("10.88.0.1", 5432)) == "one: hello"
        assert rules.as_client(lambda: say("10.88.0.2", 5432)) == "two: hello"
        rules.mesh.put("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: one, namespace: default}
spec:
  hosts: [one.example]
  tcp:
  - match: [{port: 5432, sourceLabels: {app: nobody}}]
    route: [{destination: {host: one.example}}]
  - match: [{port: 5432, destinationSubnets: [10.88.0.0/24]}]
    route: [{destination: {host: two.example}}]
""")
        assert rules.as_client(lambda: say("10.88.0.1", 5432)) == "two: hello"


def test_resolution_none_goes_on_to_the_address_within_its_ranges(rules: CapturedMesh) -> None:
    port = "{number: 7000, name: tcp, protocol: TCP}"
    rules.mesh.put(
        entry("ranges.example", port, addresses="10.90.0.0/16", resolution="NONE"),
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ranges, namespace: default}
spec:
  hosts: [ranges.example]
  tcp:
  - match: [{destinationSubnets: [10.90.2.0/24]}]
    route: [{destination: {host: db.elsewhere, port: {number: 3306}}}]
  - route: [{destination: {host: ranges.example}}]
""",
        entry(
            "db.elsewhere",
            "{number: 3306, name: tcp, protocol: TCP}",
            addresses="10.88.0.9",
            endpoint="{address: 10.77.0.3}",
        ),
    )
    assert rules.as_client(lambda: say("10.90.1.1", 7000)) == "near: hello"
    assert rules.as_client(lambda: say("10.90.2.1", 7000)) == "db: hello", (
        "its subnet goes elsewhere"
    )


def test_undeclared_protocol_is_told_by_first_bytes(rules: CapturedMesh) -> None:
    with TcpEcho("bytes") as echo, EchoBackend("pages") as pages:
        rules.mesh.put(
            entry(
                "auto.example",
                "{number: 6000, name: any}",
                addresses="10.88.0.6",
                endpoint=f"{{address: 127.0.0.1, ports: {{any: {echo.port}}}}}",
            ),
            entry(
                "pages.example",
                "{number: 80, name: http, protocol: HTTP}",
                endpoint=f"{{address: 127.0.0.1, ports: {{http: {pages.port}}}}}",
            ),
            """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: auto, namespace: default}
spec:
  hosts: [auto.example]
  http: [{route: [{destination: {host: pages.example}}]}]
""",
        )
        assert rules.as_client(lambda: say("10.88.0.6", 6000)) == "bytes: hello"
        found = rules.curl("http://auto.example:6000/", "--connect-to", "::10.88.0.6:")
        assert found.seen["name"] == "pages"


def test_tls_is_passed_on_by_server_name(rules: CapturedMesh) -> None:
    authority = trustme.CA()

    def secured(name: str) -> EchoBackend:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return EchoBackend(name, tls=context)

    with secured("a.example") as a, secured("b.example") as b:
        port = "{number: 443, name: tls, protocol: TLS}"
        rules.mesh.put(
            *(
                entry(
                    one.name, port, endpoint=f"{{address: 127.0.0.1, ports: {{tls: {one.port}}}}}"
                )
                for one in (a, b)
            ),
            """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tls, namespace: default}
spec:
  hosts: [b.example]
  tls:
  - match: [{port: 443, sniHosts: [b.example], sourceNamespace: elsewhere}]
    route: [{destination: {host: b.example}}]
  - match: [{port: 443, sniHosts: [b.example]}]
    route: [{destination: {host: a.example}}]
""",
        )
        asked = {
            name: rules.curl(f"https://{name}/", "-k", *AT_ANY).seen["name"]
            for name in ("a.example", "b.example")
        }
        assert asked == {"a.example": "a.example", "b.example": "a.example"}
        trace = rules.mesh.sidecars["h1"].trace("tls://b.example:443")
        assert [one["cluster"] for one in trace["destinations"]] == ["outbound|443||a.example"]
        strange = rules.curl(
            "https://c.example/", "-k", "--connect-to", f"::{rules.world.address}:"
        )
        assert strange.status == 0, "goes on to the address that it named, where nobody serves TLS"


def test_a_port_that_a_sidecar_declares_has_what_that_listener_imports(rules: CapturedMesh) -> None:
    with TcpEcho("kept") as kept:
        port = "{number: 6200, name: tcp, protocol: TCP}"
        endpoint = f"{{address: 127.0.0.1, ports: {{tcp: {kept.port}}}}}"
        rules.mesh.put(
            entry("kept.example", port, addresses="10.88.0.61", endpoint=endpoint),
            entry("left.example", port, addresses="10.88.0.62", endpoint=endpoint),
            """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: declared, namespace: default}
spec:
  egress:
  - port: {number: 6200, protocol: TCP, name: tcp}
    captureMode: IPTABLES
    hosts: ["*/kept.example"]
  - hosts: ["*/*"]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
""",
        )
        try:
            assert rules.as_client(lambda: say("10.88.0.61", 6200)) == "kept: hello"
            assert rules.as_client(lambda: say("10.88.0.62", 6200)) == ""
            assert rules.curl("http://reviews:9080/", *AT_ANY).seen["version"] == "v2"
        finally:
            rules.mesh.delete("sidecar", "declared", "-n", "default")


def test_an_open_connection_survives_a_new_tcp_service(rules: CapturedMesh) -> None:
    with TcpEcho("long") as echo:
        port = "{number: 6100, name: tcp, protocol: TCP}"
        endpoint = f"{{address: 127.0.0.1, ports: {{tcp: {echo.port}}}}}"
        rules.mesh.put(entry("long.example", port, addresses="10.88.0.7", endpoint=endpoint))
        told = rules.mesh.sidecars["h1"]
        drained = "listener_manager.listener_(modified|removed|in_place_updated)"
        before = told.envoy_stats(drained)

        def converse() -> list[str]:
            with socket.create_connection(("10.88.0.7", 6100), timeout=60) as stream:
                lines = stream.makefile()
                stream.sendall(b"before\n")
                heard = [lines.readline().strip()]
                deadline = time.monotonic() + 8
                while time.monotonic() < deadline:
                    stream.sendall(b"again\n")
                    heard.append(lines.readline().strip())
                    time.sleep(0.2)
                return heard

        found: list[list[str]] = []
        talking = threading.Thread(target=lambda: found.append(rules.as_client(converse)))
        talking.start()
        try:
            for number in range(3):
                rules.mesh.put(
                    entry(
                        f"new{number}.example",
                        port,
                        addresses=f"10.88.1.{number + 1}",
                        endpoint=endpoint,
                    )
                )
        finally:
            talking.join()
        assert found
        assert set(found[0]) == {"long: before", "long: again"}
        assert told.envoy_stats(drained) == before, "no listener was changed or drained"


def test_what_is_excluded_goes_past_the_sidecar(captured: CapturedMesh) -> None:
    with captured.captured("--exclude-range", "10.77.0.3/32", "--exclude-port", "8099"):
        assert captured.as_client(lambda: say("10.77.0.3", 3306)) == "db: hello"
        assert captured.curl(f"http://{captured.world.address}:8099/").seen["name"] == "other"
        assert captured.counted("the only context") == 0
        assert captured.curl(f"http://{captured.world.address}:9080/").seen["name"] == "outside"
        assert captured.counted("the only context") == 1


def test_only_what_is_included_is_captured(captured: CapturedMesh) -> None:
    with captured.captured("--include-port", "9000-9100", "--include-range", "10.77.0.2/32"):
        assert captured.as_client(lambda: say("10.77.0.3", 3306)) == "db: hello"
        assert captured.counted("the only context") == 0
        assert captured.curl(f"http://{captured.world.address}:9080/").seen["name"] == "outside"
        assert captured.counted("the only context") == 1


def test_the_sidecar_s_own_traffic_is_never_captured(rules: CapturedMesh) -> None:
    own = rules.counted("the sidecar's own")
    assert rules.curl(f"http://{rules.world.address}:9080/", user=0).seen["name"] == "outside"
    assert rules.counted("the only context") == 0
    assert rules.counted("the sidecar's own") > own


def test_this_host_s_own_addresses_are_left_alone_unless_asked(captured: CapturedMesh) -> None:
    with EchoBackend("here", port=9080, address=captured.host.address):
        url = f"http://{captured.host.address}:9080/"
        told = ("-H", "Host: reviews")
        with captured.captured():
            assert captured.curl(url, *told).seen["name"] == "here"
        with captured.captured("--loopback"):
            assert captured.curl(url, *told).seen["version"] == "v2"


def test_registry_only_lets_nothing_unknown_out(rules: CapturedMesh) -> None:
    closed = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: closed, namespace: default}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
"""
    rules.mesh.put(closed)
    try:
        assert rules.as_client(lambda: say(rules.world.address, 8099)) == ""
        assert rules.curl(f"http://{rules.world.address}:9080/").status == 502
        assert rules.curl("http://reviews:9080/", *AT_ANY).seen["version"] == "v2"
    finally:
        rules.mesh.delete("sidecar", "closed", "-n", "default")


def test_a_killed_sidecar_leaves_captured_traffic_flowing(rules: CapturedMesh) -> None:
    sidecar = rules.mesh.sidecars["h1"]
    sidecar.kill()
    try:
        assert rules.curl("http://reviews:9080/", *AT_ANY).seen["version"] == "v2"
        assert rules.as_client(lambda: say("10.77.0.3", 3306)) == "db: hello"
    finally:
        sidecar.start().wait_ready()
    assert rules.curl("http://reviews:9080/", *AT_ANY).seen["version"] == "v2"


def test_installing_twice_is_installing_once_and_removal_leaves_nothing(
    captured: CapturedMesh,
) -> None:
    assert captured.capture("up").stderr == "", (
        "somebody listens where connections are redirected to"
    )
    captured.capture("up", "--exclude-port", "8099")
    rules = run("nft", "list", "ruleset")
    assert rules.count("table inet") == 1
    assert rules.count("redirect to :15101") == 1
    assert "no longer captured" in captured.capture("down").stdout
    assert run("nft", "list", "ruleset") == ""
    assert "nothing was captured" in captured.capture("down").stdout
    assert captured.capture("status", check=False).returncode == 1
    assert (
        captured.curl(f"http://{captured.world.address}:9080/", user=CLIENT).seen["name"]
        == "outside"
    )


def test_another_namespace_is_captured_from_outside(captured: CapturedMesh) -> None:
    there = ("--netns", f"/proc/{captured.world.pid}/ns/net")
    captured.capture("up", *there)
    try:
        assert run("nft", "list", "ruleset") == "", "nothing here"
        with captured.world.inside():
            assert "redirect to :15101" in run("nft", "list", "ruleset")
        assert captured.capture("status", *there).returncode == 0
    finally:
        captured.capture("down", *there)
    with captured.world.inside():
        assert run("nft", "list", "ruleset") == ""
