"""A large mesh with bad objects, and a sidecar that is killed while it changes: what is bad serves in no life of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.etcdctl import etcdctl
from tests.harness.mesh import MeshFixture

pytestmark = [pytest.mark.real, pytest.mark.slow]

COUNT = 1_600
"""Hosts, each with a ServiceEntry and a VirtualService: more keys than are judged at once."""
BATCH = 100


def route(number: int, words: str, **more: object) -> tuple[str, str]:
    """Key below the prefix and value of a VirtualService that answers by itself."""
    action = {"directResponse": {"status": 200, "body": {"string": words}}}
    document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "spec": {"hosts": [f"s{number}.example"], "http": [action], **more},
    }
    return f"ns/default/virtualservices/s{number}", json.dumps(document)


def service(number: int) -> tuple[str, str]:
    """Key and value of a ServiceEntry: so many are loaded on demand."""
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    spec = {"hosts": [f"s{number}.example"], "ports": [port], "resolution": "DNS"}
    document = {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "spec": spec}
    return f"ns/default/serviceentries/s{number}", json.dumps(document)


def fill(mesh: MeshFixture, rows: list[tuple[str, str]]) -> None:
    """Put values as they are, many in a transaction."""
    prefix = mesh.client.settings.prefix
    for first in range(0, len(rows), BATCH):
        puts = (
            f"put {prefix}/{key} {json.dumps(value)}" for key, value in rows[first : first + BATCH]
        )
        etcdctl(mesh.etcd, "txn", stdin="\n" + "\n".join(puts) + "\n\n\n")


def stood_in(status: dict[str, Any]) -> bool:
    """Whether both bad ones are known, and what stands in for one of them is in force."""
    found = [row["serving_revision"] for row in status["quarantined"]]
    return len(found) == 2 and any(found) and status["config"]["state"] == "in-force"


@pytest.fixture
def mesh() -> Iterator[MeshFixture]:
    with MeshFixture() as mesh:
        fill(mesh, [service(number) for number in range(COUNT + 1)])
        fill(mesh, [route(number, "first") for number in range(COUNT)])
        # Bad from the beginning, bad after something good, and good.
        fill(mesh, [route(COUNT, "evil", noSuchField=1), route(1, "evil", noSuchField=1)])
        yield mesh


def test_what_is_bad_serves_in_no_life_of_a_sidecar_that_is_killed_in_the_middle_of_changes(
    mesh: MeshFixture,
) -> None:
    client = mesh.sidecar("poor", wait=False)
    client.wait_ready()
    # What is asked for first is looked for then: this answer may come before the generation that stands in.
    assert "evil" not in client.ask("s1.example").text
    assert "evil" not in client.ask(f"s{COUNT}.example").text
    client.wait_status("the generation before", stood_in)
    assert client.ask("s1.example").text == "first"
    fill(mesh, [route(number, "second") for number in range(2, COUNT)])
    fill(mesh, [route(2, "evil", noSuchField=1)])
    client.kill()
    fill(mesh, [route(3, "evil", noSuchField=1)])
    mesh.etcd.stop()
    client.start().wait_ready()
    for host in (f"s{COUNT}.example", "s1.example", "s2.example", "s3.example"):
        assert "evil" not in client.ask(host).text
    mesh.etcd.start()
    client.wait_status("all that is bad", lambda now: len(now["quarantined"]) == 4)
    client.wait_status("all judged", lambda now: not now["config"]["unchecked"])
    assert client.ask("s1.example").text == "first"
    for host in ("s2.example", "s3.example", "s9.example"):
        assert client.ask(host).text == "second"
