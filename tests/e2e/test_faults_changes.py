"""Changes without a pause while requests flow: subsets renamed, endpoints that come and go, the sidecar killed."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import pytest

from tests.harness.load import Reply, send
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh
from tests.harness.sidecars import SidecarProcess

DEEP = bool(os.environ.get("MESHD_TEST_DEEP"))

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(1800 if DEEP else 120)]

Meshed = tuple[MeshFixture, SidecarProcess]
TORN = (
    r"^http\..*\.(no_route|no_cluster)$|\.init_fetch_timeout$|^cluster_manager\.warming_clusters$"
)
"""Counters of Envoy that grow when a request finds half of a configuration, or when a cluster never warms."""
LISTENERS = r"^listener_manager\.listener_"
"""What Envoy did to listeners so far."""
POOL = "pool.example.com"
RENAMES = 1000 if DEEP else 100
KILLS = 100 if DEEP else 6
COME_AND_GO_S = 600.0 if DEEP else 6.0
SETTLED_S = 1.0
"""After this a taken-away endpoint gets nothing any more."""


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as meshed:
        yield meshed


def renamed(number: int) -> str:
    """Route and rule of one change: the only subset has another name each time, and is v1 and v2 in turn."""
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews}}
spec:
  host: reviews
  subsets: [{{name: s{number}, labels: {{version: v{number % 2 + 1}}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews]
  http: [{{route: [{{destination: {{host: reviews, subset: s{number}}}}}]}}]
"""


def assert_whole(client: SidecarProcess) -> None:
    """No request of this Envoy's life found a configuration half there."""
    counted = client.envoy_stats(TORN)
    assert any(name.endswith("no_cluster") for name in counted), "Envoy counts it under this name"
    assert not {name: count for name, count in counted.items() if count}


def test_a_subset_renamed_again_and_again_fails_no_request_and_ends_none_in_flight(
    meshed: Meshed,
) -> None:
    mesh, client = meshed
    mesh.put(renamed(0))
    slow: list[Reply] = []
    listeners = client.envoy_stats(LISTENERS)
    with closing(client.connect()) as kept, client.load(REVIEWS, workers=4) as load:
        assert send(kept, REVIEWS).status == 200
        stream = kept.sock
        load.wait_for(50)
        waiting = [
            threading.Thread(target=lambda: slow.append(client.ask(REVIEWS, "/?delay_s=6")))
            for _ in range(3)
        ]
        for thread in waiting:
            thread.start()
        for number in range(1, RENAMES + 1):
            mesh.put(renamed(number), wait=number % 4 == 0)  # several at once, and one by one
        client.wait_in_force(mesh.settle())
        assert client.ask(REVIEWS).version == "v1"
        assert send(kept, REVIEWS).version == "v1"
        assert kept.sock is stream, "the connection was dropped"
        load.wait_for(50)
        for thread in waiting:
            thread.join()
    load.assert_none_failed(at_least=300)
    assert [reply.status for reply in slow] == [200] * 3, "their subset was gone long before"
    assert listeners
    assert client.envoy_stats(LISTENERS) == listeners, "no listener was touched"
    assert_whole(client)


@contextmanager
def writing(mesh: MeshFixture, pause_s: float) -> Iterator[list[int]]:
    """Renames without end; yields the revisions so far."""
    revisions: list[int] = []
    is_over = threading.Event()

    def write() -> None:
        while not is_over.wait(pause_s):
            revisions.append(mesh.put(renamed(len(revisions)), wait=False))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield revisions
    finally:
        is_over.set()
        thread.join()


def test_a_sidecar_killed_in_the_middle_of_updates_converges_and_fails_no_request(
    meshed: Meshed,
) -> None:
    """envoy#36951: a reconnect while clusters warm lost them."""
    mesh, client = meshed
    mesh.put(renamed(0))
    chance, took_s = random.Random(4), []
    with client.load(REVIEWS) as load, writing(mesh, 0.02) as revisions:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 0.5))  # chance decides where in an update
            client.kill()
            began = time.monotonic()
            client.start().wait_ready()
            client.wait_in_force(revisions[-1])
            took_s.append(time.monotonic() - began)
    client.wait_in_force(revisions[-1])
    print("in force after", [f"{seconds:.2f}" for seconds in took_s], "s from exec")
    assert client.ask(REVIEWS).version == f"v{(len(revisions) - 1) % 2 + 1}"
    load.assert_none_failed(at_least=100)
    assert_whole(client)
    assert max(took_s) < 20.0, took_s


def pool(ports: Sequence[int]) -> bytes:
    """A service with these endpoints, as an operator writes it."""
    endpoints = [{"address": "127.0.0.1", "ports": {"http": port}} for port in ports]
    return json.dumps(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "pool", "namespace": "default"},
            "spec": {
                "hosts": [POOL],
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "resolution": "STATIC",
                "endpoints": endpoints,
            },
        }
    ).encode()


def endpoints_in(client: SidecarProcess) -> set[int]:
    """Ports of the endpoints of the pool that its Envoy has."""
    statuses: list[dict[str, Any]] = json.loads(client.envoy_page("/clusters?format=json"))[
        "cluster_statuses"
    ]
    return {
        row["address"]["socket_address"]["port_value"]
        for status in statuses
        if status["name"] == f"outbound|80||{POOL}"
        for row in status.get("host_statuses", [])
    }


def test_endpoints_that_come_and_go_end_as_etcd_has_them_and_those_gone_get_nothing(
    meshed: Meshed,
) -> None:
    """istio#54539, linkerd2#10491: endpoints that were gone went on getting requests."""
    mesh, client = meshed
    backends = [mesh.backend("pool", f"p{number}") for number in range(6)]
    by_port = {backend.port: backend for backend in backends}
    key, chance = "/meshd/v1/ns/default/serviceentries/pool", random.Random(5)
    client.wait_in_force(mesh.client.put(key, pool(list(by_port))))
    with client.load(POOL, workers=4) as load:
        began = time.monotonic()
        changes, revision = 0, 0
        while time.monotonic() - began < COME_AND_GO_S:
            some = chance.sample(list(by_port), chance.randint(1, len(by_port)))
            revision = mesh.client.put(key, pool(some))
            changes += 1
            time.sleep(0.015)
        stay = set(chance.sample(list(by_port), 2))
        revision = mesh.client.put(key, pool(sorted(stay)))
        client.wait_in_force(revision)
        for sidecar in mesh.running():
            sidecar.wait_in_force(revision)
            wait_until(partial(_has, sidecar, stay), 10, f"the endpoints at {sidecar.node}")
        time.sleep(SETTLED_S)
        before = {port: backend.hits for port, backend in by_port.items()}
        load.wait_for(100)
        gone = [port for port in by_port if port not in stay]
        assert [by_port[port].hits for port in gone] == [before[port] for port in gone]
        assert all(by_port[port].hits > before[port] for port in stay)
    print(f"{changes} changes of endpoints in {COME_AND_GO_S:g} s")
    assert changes > 50
    load.assert_none_failed(at_least=200)
    assert_whole(client)


def _has(sidecar: SidecarProcess, ports: set[int]) -> bool:
    return endpoints_in(sidecar) == ports
