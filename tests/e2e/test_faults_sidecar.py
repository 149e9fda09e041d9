"""The sidecar killed: Envoy serves on, and the next sidecar takes over without touching what did not change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest

from tests.harness.load import send
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]
CHANGES = (
    r"cluster_manager\.cluster_(added|modified|removed|updated)$"
    r"|listener_manager\.listener_(added|modified|removed|create_success)$"
    r"|.*(rds|vhds)\..*\.(config_reload|update_rejected)$"
    r"|cluster\..*\.(update_success|update_empty|update_no_rebuild)$"
    r"|(cluster_manager\.cds|listener_manager\.lds)\.update_rejected$"
)
"""Counters of Envoy that grow when a resource is sent to it. An empty response, with which a stream begins, is
no resource: it counts as `update_success` of its type only."""
REMOVED = r"^cluster_manager\.cluster_removed$"


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as meshed:
        yield meshed


def changes(client: SidecarProcess) -> Mapping[str, object]:
    """What Envoy has counted of updates so far, and when it took each resource that it has."""
    return {**client.envoy_stats(CHANGES), **client.envoy_resources()}


def test_a_restarted_sidecar_sends_nothing_that_did_not_change(meshed: Meshed) -> None:
    mesh, client = meshed
    mesh.put(reviews_to("v1"))
    before, pid = changes(client), client.envoy_pid()
    assert any("cluster_added" in name for name in before), before
    with closing(client.connect()) as kept, client.load(REVIEWS) as load:
        assert send(kept, REVIEWS).version == "v1"
        stream = kept.sock
        client.kill()
        load.wait_for(100)
        client.start().wait_ready()
        client.wait_in_force(mesh.settle())
        load.wait_for(100)
        assert changes(client) == before
        assert client.envoy_pid() == pid
        assert send(kept, REVIEWS).version == "v1"
        assert kept.sock is stream, "the connection was dropped"
    load.assert_none_failed(at_least=200)


def test_what_changed_while_the_sidecar_was_away_is_in_force_when_it_is_back(
    meshed: Meshed,
) -> None:
    mesh, client = meshed
    mesh.put(reviews_to("v1"))
    client.kill()
    revision = mesh.put(reviews_to("v2"))
    assert client.ask(REVIEWS).version == "v1"
    client.start().wait_ready()
    client.wait_in_force(revision)
    assert client.ask(REVIEWS).version == "v2"


def test_a_sidecar_that_is_stopped_in_order_leaves_envoy_and_registration(meshed: Meshed) -> None:
    mesh, client = meshed
    mesh.put(reviews_to("v1"))
    host = mesh.sidecars["h1"]
    pid = host.envoy_pid()
    with client.load(REVIEWS) as load:
        assert host.end() == 0
        load.wait_for(100)
        host.start().wait_ready()
        mesh.wait_registered(host)
    load.assert_none_failed(at_least=100)
    assert host.envoy_pid() == pid


def test_a_sidecar_killed_again_and_again_fails_no_request(meshed: Meshed) -> None:
    mesh, client = meshed
    mesh.put(reviews_to("v2"))
    with client.load(REVIEWS) as load:
        for _ in range(3):
            client.kill()
            client.start().wait_ready()
    load.assert_none_failed(at_least=100)


def test_a_restart_never_leads_envoy_back_to_an_older_revision(meshed: Meshed) -> None:
    """What is on disk may be older than what Envoy has: it was killed before it wrote the newest."""
    mesh, client = meshed
    client.wait_last_good(mesh.put(reviews_to("v1")))
    client.kill()
    older = {file: file.read_bytes() for file in client.data_dir.glob("last-known-good*")}
    client.start().wait_ready()
    removed = client.envoy_stats(REMOVED)
    mesh.put(reviews_to("v2"))
    # The cluster of v1, which no route names any more, goes a second later: not by what the next sidecar does.
    wait_until(lambda: client.envoy_stats(REMOVED) != removed, 20, "the unused cluster to go")
    before = changes(client)
    client.kill()
    for file, content in older.items():
        file.write_bytes(content)
    with client.load(REVIEWS) as load:
        client.start().wait_ready()
        client.wait_in_force(mesh.settle())
        load.wait_for(50)
    assert {reply.version for reply in load.replies} == {"v2"}
    assert changes(client) == before
