"""Another Envoy takes over from one that runs, because its settings or its program changed: no connection is lost."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sidecar.agent.envoy_program import find_envoy
from sidecar.agent.envoy_record import EnvoyRecord, start_ticks
from tests.harness.load import Load, Reply
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]
TAKEN_OVER_WITHIN_S = 90.0


@pytest.fixture
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as (mesh, client):
        mesh.put(reviews_to("v1"))
        yield mesh, client


def restarted_with(sidecar: SidecarProcess, **envoy: object) -> int:
    """Restart the sidecar with other settings of Envoy, and wait until another Envoy serves; its process id."""
    before = sidecar.envoy_pid()
    sidecar.end()
    sidecar.settings = {**sidecar.settings, "envoy": {"hand_over_s": 8, **envoy}}
    sidecar.start().wait_ready()

    def replaced() -> bool:
        status = sidecar.status()["envoy"]
        return status["pid"] not in (None, before) and not status["outdated"]

    wait_until(replaced, TAKEN_OVER_WITHIN_S, f"another Envoy of {sidecar.node}")
    wait_until(lambda: sidecar.page("/readyz")[0] == 200, TAKEN_OVER_WITHIN_S, "it to be ready")
    pid = sidecar.envoy_pid()
    assert pid is not None
    assert before is not None
    wait_until(lambda: start_ticks(before) is None, TAKEN_OVER_WITHIN_S, "the end of the old one")
    return pid


def test_other_settings_of_envoy_take_effect_without_dropping_a_connection(meshed: Meshed) -> None:
    """Of the client's Envoy and of one in front of an application, under load, with a slow request in flight."""
    mesh, client = meshed
    server = mesh.sidecars["h1"]
    slow: list[Reply] = []
    with ExitStack() as stack:
        loads = [
            stack.enter_context(Load(client.port, REVIEWS, keeps=keeps)) for keeps in (True, False)
        ]
        for load in loads:
            load.wait_for(50)
        waiting = threading.Thread(
            target=lambda: slow.append(client.ask(REVIEWS, "/slow?delay_s=4"))
        )
        waiting.start()
        for sidecar in (server, client):
            restarted_with(sidecar, concurrency=2)
        for load in loads:
            load.wait_for(100)
        revision = mesh.put(reviews_to("v2"))
        client.wait_in_force(revision)
        for load in loads:
            load.wait_for(20)
        waiting.join()
    for load in loads:
        load.assert_none_failed(at_least=500)
    assert slow[0].status == 200
    assert client.ask(REVIEWS).version == "v2"
    assert client.envoy_stats("server.concurrency")["server.concurrency"] == 2
    assert client.status()["envoy"]["restarts"] == 0
    restarted_with(
        client, concurrency=1
    )  # and once more: each epoch takes over from the one before
    assert client.ask(REVIEWS).version == "v2"


def test_another_program_takes_over_and_one_that_cannot_leaves_the_old_one(meshed: Meshed) -> None:
    mesh, client = meshed
    other = mesh.root / "envoy"
    shutil.copy(find_envoy(), other)
    with client.load(REVIEWS) as load:
        pid = restarted_with(client, path=str(other))
        assert os.readlink(f"/proc/{pid}/exe") == str(other)
        broken = mesh.root / "broken"
        broken.write_text("#!/bin/sh\necho hot restart version mismatch >&2; exit 1\n")
        broken.chmod(0o755)
        client.end()
        client.settings = {**client.settings, "envoy": {"path": str(broken)}}
        client.start().wait_ready()
        status = client.wait_status("the failure", lambda now: now["envoy"]["not_replaced"])
        assert "version mismatch" in status["envoy"]["not_replaced"]
        assert client.envoy_pid() == pid
        assert "runs with the settings" in mesh.meshd("status", client.node).stdout
        load.wait_for(100)
        assert client.wait_in_force(mesh.put(reviews_to("v2")))
    load.assert_none_failed(at_least=200)


def test_a_sidecar_killed_while_envoys_change_over_leaves_one_that_serves(meshed: Meshed) -> None:
    mesh, client = meshed
    before = client.envoy_pid()
    client.end()
    client.settings = {**client.settings, "envoy": {"hand_over_s": 8, "concurrency": 2}}
    record = client.run_dir / "envoy.pid"
    with client.load(REVIEWS) as load:
        client.start()

        def is_changing() -> bool:
            now = EnvoyRecord.read(record)
            return now is not None and now.pid != before

        wait_until(is_changing, TAKEN_OVER_WITHIN_S, "a second Envoy")
        client.kill()
        client.start().wait_ready()
        assert client.wait_in_force(mesh.put(reviews_to("v2")))
        load.wait_for(100)
        assert before is not None
        wait_until(lambda: start_ticks(before) is None, TAKEN_OVER_WITHIN_S, "the old one's end")
        load.wait_for(50)
    load.assert_none_failed(at_least=200)
    assert client.envoy_stats("server.concurrency")["server.concurrency"] == 2
