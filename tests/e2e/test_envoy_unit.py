"""Envoy in a unit of its own (`meshd-sidecar envoy`): either may start first, and neither needs the other to go on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

SIDECAR = [sys.executable, "-m", "sidecar.agent.main"]


@contextmanager
def envoy_of(sidecar: SidecarProcess) -> Iterator[subprocess.Popen[bytes]]:
    """What meshd-envoy.service starts, with the sidecar's own settings file."""
    config = sidecar.root / f"{sidecar.node}.toml"
    with (sidecar.root / "unit.log").open("ab") as log:
        process = subprocess.Popen(
            [*SIDECAR, "envoy", "--config", str(config)], stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_the_sidecar_drives_an_envoy_that_it_did_not_start() -> None:
    with MeshFixture(envoy={"managed": False}) as mesh:
        v1 = mesh.backend("reviews", "v1")
        host = mesh.sidecar("h1", mesh.workload(v1, 9080), wait=False)
        with envoy_of(host) as first:
            host.wait_ready()
            mesh.wait_registered(host)
            assert host.ask("reviews:9080").version == "v1"
            envoy = host.status()["envoy"]
            assert (envoy["state"], envoy["connected"]) == ("running", True)

            # The sidecar stops as for an upgrade: Envoy, in its own unit, does not notice.
            assert host.end() == 0
            assert first.poll() is None
            assert host.ask("reviews:9080").version == "v1"
            host.start().wait_ready()
            assert first.poll() is None
            assert host.ask("reviews:9080").version == "v1"

        # Envoy dies, and its unit starts the next: the same sidecar tells it everything again.
        wait_until(
            lambda: not host.status()["envoy"]["connected"], 10, "the sidecar to miss its Envoy"
        )
        with envoy_of(host):
            host.wait_ready()
            mesh.settle()
            assert host.ask("reviews:9080").version == "v1"


def test_two_who_would_both_start_envoy_are_told_apart() -> None:
    with MeshFixture() as mesh:
        host = mesh.sidecar("h1")
        done = subprocess.run(
            [*SIDECAR, "envoy", "--config", str(mesh.root / "h1.toml")],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 3
        assert "envoy.managed is true" in done.stderr
        assert host.status()["envoy"]["connected"]
