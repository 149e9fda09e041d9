"""An application that is slow to start joins its service when it can answer, not when its process begins."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

SHOP = "shop:9080"
SLOW = """
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
os.execv(sys.executable, [sys.executable, "-m", "tests.harness.echo", *sys.argv[2:]])
"""


def run_slow_shop(mesh: MeshFixture, node: str, version: str, go: Path) -> SidecarProcess:
    """A sidecar beside an application that begins to listen when the file `go` is there."""
    port = listen_port()
    address = f"127.{random.randrange(1, 250)}.{random.randrange(250)}.{random.randrange(1, 250)}"
    app = (sys.executable, "-c", SLOW, str(go), "shop", version, str(port))
    flags = f"--service shop --port 9080 --app-port {port} --address {address} -l version={version}"
    return mesh.sidecar(node, wait=False, app=app, flags=flags.split(), address=address)


def test_a_second_copy_joins_without_one_failed_request(tmp_path: Path) -> None:
    with MeshFixture() as mesh:
        client = mesh.sidecar("client")
        go = tmp_path / "go"
        go.touch()
        run_slow_shop(mesh, "s1", "v1", go)
        wait_until(lambda: client.ask(SHOP).status == 200, 30, "the first copy to answer")

        later = tmp_path / "later"
        second = run_slow_shop(mesh, "s2", "v2", later).wait_ready()
        status = second.wait_status(
            "the wait for the application",
            lambda status: "does not accept connections" in status["registration"]["error"],
        )
        assert status["registration"]["state"] == "waiting"
        assert mesh.client.get("/meshd/v1/hosts/s2") is None
        with client.load(SHOP, workers=4) as load:
            load.wait_for(50)
            assert {reply.version for reply in load.replies} == {"v1"}
            later.touch()
            wait_until(
                lambda: "v2" in {reply.version for reply in load.replies[-50:]},
                30,
                "the second copy",
            )
            load.wait_for(50)
        load.assert_none_failed(at_least=100)
        assert second.end() == 0


def test_told_to_stop_before_the_application_listens_it_ends_at_once(tmp_path: Path) -> None:
    with MeshFixture() as mesh:
        shop = run_slow_shop(mesh, "s1", "v1", tmp_path / "never").wait_ready()
        shop.wait_status(
            "the wait for the application",
            lambda status: status["registration"]["state"] == "waiting",
        )
        shop.end()
        assert shop.envoy_pid() is None
        assert mesh.client.get("/meshd/v1/hosts/s1") is None
