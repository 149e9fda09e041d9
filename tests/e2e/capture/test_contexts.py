"""Several workload contexts on one captured host, told apart by user or control group."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.captured import CapturedMesh, captured_mesh, say
from tests.harness.echo import EchoBackend, TcpEcho
from tests.harness.namespaces import needs_namespaces

pytestmark = [pytest.mark.real, pytest.mark.slow, *needs_namespaces]

SHOP, BLOG, NOBODY = 5001, 5002, 5003
UNIFIED = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
CONTEXTS = [
    {
        "name": "shop",
        "namespace": "shop",
        "labels": {"app": "shop"},
        "users": [str(SHOP)],
        "outbound_port": 15001,
    },
    {
        "name": "blog",
        "namespace": "blog",
        "labels": {"app": "blog"},
        "users": [str(BLOG)],
        "outbound_port": 15002,
    },
]
ANY = ("--connect-to", "::10.99.0.1:")
RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: default}
spec:
  hosts: [db.example]
  tcp:
  - match: [{sourceLabels: {app: shop}}]
    route: [{destination: {host: one.example}}]
  - route: [{destination: {host: two.example}}]
"""


def entry(
    host: str, namespace: str, port: int, protocol: str, address: str = "", number: int = 9080
) -> str:
    name = host.replace(".", "-")
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: [{host}]
  addresses: [{address}]
  ports: [{{number: {number}, name: p, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{p: {port}}}}}]
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[CapturedMesh]:
    """A host with two contexts, each with a `reviews` of its namespace."""
    with captured_mesh() as found, ExitStack() as stack:
        mesh, world = found.mesh, found.world
        pages = {name: stack.enter_context(EchoBackend(name)) for name in ("shop", "blog")}
        one, two = (stack.enter_context(TcpEcho(name)) for name in ("one", "two"))
        mesh.sidecar("h1", contexts=CONTEXTS)
        mesh.put(
            *(entry("reviews", name, pages[name].port, "HTTP") for name in pages),
            entry("one.example", "default", one.port, "TCP", "10.88.0.1", 5432),
            entry("two.example", "default", two.port, "TCP", "10.88.0.2", 5432),
            entry("db.example", "default", two.port, "TCP", "10.88.0.3", 5432),
            RULES,
        )
        with world.inside():
            stack.enter_context(EchoBackend("outside", port=9080, address=world.address))
        yield found


def test_one_short_name_means_each_user_s_own(shared: CapturedMesh) -> None:
    with shared.captured():
        for user, name in ((SHOP, "shop"), (BLOG, "blog")):
            assert shared.curl("http://reviews:9080/", *ANY, user=user).seen["name"] == name
        assert shared.counted("context shop") == 1
        assert shared.counted("context blog") == 1


def test_labels_of_the_sender_choose_its_tcp_rule(shared: CapturedMesh) -> None:
    with shared.captured():
        assert shared.as_client(lambda: say("10.88.0.3", 5432), SHOP) == "one: hello"
        assert shared.as_client(lambda: say("10.88.0.3", 5432), BLOG) == "two: hello"
        assert shared.as_client(lambda: say("10.88.0.1", 5432), BLOG) == "one: hello"


def test_an_open_connection_survives_a_new_tcp_service_beside_it(shared: CapturedMesh) -> None:
    def converse() -> set[str]:
        with socket.create_connection(("10.88.0.1", 5432), timeout=60) as stream:
            lines, heard = stream.makefile(), set()
            end = time.monotonic() + 9
            while time.monotonic() < end:
                stream.sendall(b"again\n")
                heard.add(lines.readline().strip())
                time.sleep(0.2)
            return heard

    with shared.captured(), TcpEcho("fresh") as fresh:
        found: list[set[str]] = []
        talking = threading.Thread(
            target=lambda: found.append(shared.as_client(converse, SHOP)), daemon=True
        )
        talking.start()
        shared.mesh.put(entry("fresh.example", "default", fresh.port, "TCP", "10.88.0.9", 5432))
        assert shared.as_client(lambda: say("10.88.0.9", 5432), SHOP) == "fresh: hello"
        talking.join()
    assert found == [{"one: again"}]


def test_what_no_place_claims_goes_on_for_each_context(shared: CapturedMesh) -> None:
    with shared.captured():
        for user in (SHOP, BLOG):
            url = f"http://{shared.world.address}:9080/"
            assert shared.curl(url, "-H", "Host: stranger", user=user).seen["name"] == "outside"


def test_ports_where_nobody_listens_are_told(shared: CapturedMesh) -> None:
    config = shared.mesh.root / "h1.toml"
    kept = config.read_text()
    config.write_text(
        kept.replace('"blog", "namespace"', '"blog", "capture_port" = 15999, "namespace"')
    )
    try:
        said = shared.capture("up").stderr
        shared.capture("down")
    finally:
        config.write_text(kept)
    assert "nobody listens on port 15999 (context blog) yet" in said
    assert "capture.enabled" in said


def test_a_user_of_no_context_is_left_alone(shared: CapturedMesh) -> None:
    with shared.captured():
        found = shared.curl(f"http://{shared.world.address}:9080/", user=NOBODY)
        assert found.seen["name"] == "outside"
        assert (shared.counted("context shop"), shared.counted("context blog")) == (0, 0)


@contextlib.contextmanager
def control_group(name: str) -> Iterator[Path]:
    root = next((path for path in UNIFIED if (path / "cgroup.controllers").exists()), None)
    if root is None:
        pytest.skip("control groups of version 2 are not mounted")
    made = root / name / "inner"
    try:
        made.mkdir(parents=True)
    except OSError as problem:
        pytest.skip(f"no control group can be made: {problem}")
    try:
        yield made
    finally:
        made.rmdir()
        made.parent.rmdir()


def test_a_control_group_tells_a_context(shared: CapturedMesh) -> None:
    with control_group(f"meshd-test-{os.getpid()}") as group:
        config = shared.mesh.root / "h1.toml"
        kept = config.read_text()
        config.write_text(
            kept.replace(f'users" = ["{BLOG}"]', f'cgroups" = ["{group.parent.name}"]')
        )
        assert config.read_text() != kept
        try:
            with shared.captured():
                found = shared.curl("http://reviews:9080/", *ANY, user=NOBODY, cgroup=group)
                assert found.seen["name"] == "blog", "a group below the one that is named"
                assert shared.curl("http://reviews:9080/", *ANY, user=SHOP).seen["name"] == "shop"
                # The group comes before the user where both fit.
                assert (
                    shared.curl("http://reviews:9080/", *ANY, user=SHOP, cgroup=group).seen["name"]
                    == "blog"
                )
        finally:
            config.write_text(kept)


def test_a_control_group_that_is_not_there_is_said(shared: CapturedMesh) -> None:
    config = shared.mesh.root / "h1.toml"
    kept = config.read_text()
    config.write_text(kept.replace(f'users" = ["{BLOG}"]', 'cgroups" = ["no-such.slice"]'))
    try:
        done = shared.capture("up", check=False)
        assert done.returncode == 3
        assert 'there is no control group "no-such.slice"' in done.stderr
        assert shared.capture("status", check=False).returncode == 1
    finally:
        config.write_text(kept)
