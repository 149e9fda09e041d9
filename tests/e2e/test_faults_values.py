"""20,000 bad values straight into etcd: every sidecar lives, serves the last valid mesh, and lists each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from store.codec import decode
from store.transactions import Put, Transaction
from tests.harness.hostile import mutated_values, random_values
from tests.harness.mesh import MeshFixture
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(400)]

COUNT = 10_000
"""Of each sort."""
IN_FORCE_S = 150.0
"""Until a sidecar has judged so many bad objects: seconds of processor time, which a busy machine stretches."""
AT_ONCE = 2_500
"""Written in one transaction: so many keys change at one revision."""
VALID = ("ns/default/virtualservices/reviews", "ns/default/destinationrules/reviews")

Meshed = tuple[MeshFixture, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as (mesh, client):
        mesh.put(reviews_to("v2"))
        yield mesh, client


def write(mesh: MeshFixture, rows: Sequence[tuple[str, bytes]]) -> int:
    """Write past all validation; returns the last revision."""
    prefix = mesh.client.settings.prefix
    revision = 0
    for start in range(0, len(rows), AT_ONCE):
        puts = tuple(Put(f"{prefix}/{key}", value) for key, value in rows[start : start + AT_ONCE])
        revision = mesh.client.commit(Transaction((), puts)).revision
    return revision


def quarantined(sidecar: SidecarProcess) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in sidecar.status()["quarantined"]}


def assert_serving(mesh: MeshFixture) -> None:
    for sidecar in mesh.sidecars.values():
        assert sidecar.process is not None
        assert sidecar.process.poll() is None, sidecar.log_tail()
        assert {sidecar.ask(REVIEWS).version for _ in range(10)} == {"v2"}, sidecar.node


def test_random_bytes_are_listed_and_change_nothing(meshed: Meshed) -> None:
    mesh, client = meshed
    rows = list(random_values(1, COUNT))
    rows = [(key, rows[index][1]) for index, key in enumerate(VALID)] + rows[len(VALID) :]
    with client.load(REVIEWS, workers=1) as load:
        revision = write(mesh, rows)
        for sidecar in mesh.running():
            sidecar.wait_in_force(revision, IN_FORCE_S)
    load.assert_none_failed(at_least=10)
    assert {reply.version for reply in load.replies} == {"v2"}
    assert_serving(mesh)
    for sidecar in mesh.running():
        listed = quarantined(sidecar)
        assert set(listed) == {key for key, _ in rows}
        assert all(row["diagnostics"] for row in listed.values())
        assert all(listed[key]["serving_revision"] for key in VALID)


def test_mutated_objects_are_served_or_listed(meshed: Meshed) -> None:
    mesh, client = meshed
    known = set(quarantined(client))
    rows = list(mutated_values(2, COUNT))
    bad = {key for key, value in rows if decode(key, value).object is None}
    assert len(bad) > COUNT / 2, len(bad)
    with client.load(REVIEWS, workers=1) as load:
        revision = write(mesh, rows)
        for sidecar in mesh.running():
            sidecar.wait_in_force(revision, IN_FORCE_S)
    load.assert_none_failed(at_least=10)
    assert_serving(mesh)
    for sidecar in mesh.running():
        by_validation = {
            key for key, row in quarantined(sidecar).items() if row["by"] == "validation"
        }
        assert by_validation - known == bad
    print(f"{len(bad)} of {COUNT} mutated objects are bad")


def test_meshd_status_lists_them(meshed: Meshed) -> None:
    mesh, client = meshed
    done = mesh.meshd("--request-timeout", "45", "status", client.node, "-o", "json")
    assert done.returncode == 1, done.stderr
    (row,) = [row for row in json.loads(done.stdout) if row["node"] == client.node]
    assert {item["key"] for item in row["quarantined"]} == set(quarantined(client))
    assert len(row["quarantined"]) > 1.5 * COUNT


def test_a_restart_lists_the_same_and_serves_the_last_valid_generation(meshed: Meshed) -> None:
    mesh, client = meshed
    before = set(quarantined(client))
    client.kill()
    client.start().wait_ready()
    client.wait_in_force(mesh.settle())
    assert set(quarantined(client)) == before
    assert_serving(mesh)


def test_a_good_value_heals_its_key(meshed: Meshed) -> None:
    mesh, client = meshed
    before = len(quarantined(client))
    mesh.put(reviews_to("v1"))
    assert len(quarantined(client)) == before - len(VALID)
    for sidecar in mesh.running():
        assert sidecar.ask(REVIEWS).version == "v1"
