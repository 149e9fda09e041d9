"""A bad value in etcd: its last valid generation serves on, on every host, also after restarts and without etcd."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.harness.etcdctl import etcdctl
from tests.harness.mesh import MeshFixture
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]
KEY = "ns/default/virtualservices/reviews"
BAD = reviews_to("v1").split("---")[1].replace("route:", "rout:")
"""A misspelt field."""


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as meshed:
        yield meshed


def put_bad(mesh: MeshFixture, text: str = BAD, key: str = KEY) -> int:
    """Put it as an operator would; in force (which is: quarantined) everywhere. Returns the revision."""
    etcdctl(mesh.etcd, "put", f"/meshd/v1/{key}", stdin=text)
    return mesh.settle()


def quarantined(sidecar: SidecarProcess) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in sidecar.status()["quarantined"]}


def wipe(sidecar: SidecarProcess) -> None:
    """As on a new disk: nothing of the sidecar is left."""
    sidecar.remove()
    shutil.rmtree(sidecar.data_dir)


def test_a_misspelt_field_changes_nothing_and_is_named(meshed: Meshed) -> None:
    mesh, _ = meshed
    valid = mesh.put(reviews_to("v2"))
    put_bad(mesh)
    for sidecar in mesh.running():
        assert sidecar.ask(REVIEWS).version == "v2"
        row = quarantined(sidecar)[KEY]
        assert row["serving_revision"] == valid
        assert "rout" in str(row["diagnostics"])
        assert "spec.http[0]" in str(row["diagnostics"])


def test_everything_else_moves_on(meshed: Meshed) -> None:
    mesh, client = meshed
    mesh.put(reviews_to("v2"))
    put_bad(mesh)
    mesh.put(reviews_to("v1", name="other", host="other.example.com"))
    assert client.ask("other.example.com").version == "v1"
    assert client.ask(REVIEWS).version == "v2"


def test_a_new_host_finds_the_last_valid_generation_in_etcd(meshed: Meshed) -> None:
    mesh, client = meshed
    valid = mesh.put(reviews_to("v2"))
    put_bad(mesh)
    wipe(client)
    client.start().wait_ready()
    client.wait_status(
        "the last valid generation",
        lambda status: (
            [row["serving_revision"] for row in status["quarantined"]] == [valid]
            and status["config"]["state"] == "in-force"
        ),
    )
    assert client.ask(REVIEWS).version == "v2"


def test_a_bad_value_over_a_bad_value_still_serves_the_last_valid_one(meshed: Meshed) -> None:
    mesh, client = meshed
    valid = mesh.put(reviews_to("v2"))
    for text in (BAD, "\x00\x01", "kind: Sidecar"):
        put_bad(mesh, text)
    wipe(client)
    client.start().wait_ready()
    client.wait_status(
        "the last valid generation",
        lambda status: (
            [row["serving_revision"] for row in status["quarantined"]] == [valid]
            and status["config"]["state"] == "in-force"
        ),
    )
    assert {sidecar.ask(REVIEWS).version for sidecar in mesh.running()} == {"v2"}


def test_an_object_that_never_was_valid_is_absent_and_reported(meshed: Meshed) -> None:
    mesh, client = meshed
    mesh.put(reviews_to("v2"))
    key = "ns/default/virtualservices/never"
    put_bad(mesh, BAD.replace("name: reviews", "name: never"), key)
    assert quarantined(client)[key]["serving_revision"] is None
    assert client.ask(REVIEWS).version == "v2"
    etcdctl(mesh.etcd, "del", f"/meshd/v1/{key}")
    mesh.settle()
    client.wait_status("a clean list", lambda status: not status["quarantined"])


def test_deleting_the_bad_value_deletes_the_object(meshed: Meshed) -> None:
    mesh, client = meshed
    mesh.put(reviews_to("v2"))
    put_bad(mesh)
    etcdctl(mesh.etcd, "del", f"/meshd/v1/{KEY}")
    client.wait_status("a clean list", lambda status: not status["quarantined"])
    client.wait_status("in force", lambda status: status["config"]["state"] == "in-force")
    assert {client.ask(REVIEWS).version for _ in range(20)} == {"v1", "v2"}


def test_a_restart_without_etcd_serves_the_last_valid_generation(meshed: Meshed) -> None:
    mesh, client = meshed
    valid = mesh.put(reviews_to("v2"))
    client.wait_last_good(put_bad(mesh))
    client.remove()
    mesh.etcd.kill()
    try:
        client.start().wait_ready()
        assert client.ask(REVIEWS).version == "v2"
        assert quarantined(client)[KEY]["serving_revision"] == valid
        assert client.status()["config"]["source"] == "disk"
    finally:
        mesh.etcd.start()


def test_meshd_status_and_put_tell_of_it(meshed: Meshed) -> None:
    mesh, _ = meshed
    mesh.put(reviews_to("v2"))
    put_bad(mesh)
    shown = mesh.meshd("status")
    assert shown.returncode == 1
    assert "virtualservice" in shown.stdout.lower()
    assert "rout" in shown.stdout
    done = mesh.meshd("put", "-f", "-", "--wait", stdin=reviews_to("v1"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert mesh.meshd("status").returncode == 0, mesh.meshd("status").stdout
