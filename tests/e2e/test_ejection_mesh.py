"""Six real sidecars that share what they see: one of three backends is killed under load, and comes back."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from tests.harness.load import Load
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

HOSTS = 6
RULES = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    outlierDetection:
      consecutive5xxErrors: 5
      interval: 1s
      baseEjectionTime: 5s
      maxEjectionPercent: 50
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}], retries: {attempts: 0}}]
"""


class Backend:
    """An application of its own process, that can be killed and started again at its port."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.port = listen_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.harness.echo", "reviews", self.version]
        self._process = subprocess.Popen([*command, str(self.port)])

    def listens(self) -> bool:
        """Whether connections to it are taken."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Scene:
    """Three hosts with a backend each, the others without; each has an address of loopback of its own."""

    def __init__(
        self, mesh: MeshFixture, stack: ExitStack, *, gossip: bool = True, hosts: int = HOSTS
    ) -> None:
        self.mesh = mesh
        self.backends = [Backend(f"v{number}") for number in range(1, 4)]
        for backend in self.backends:
            backend.start()
            stack.callback(backend.kill)
        keys = mesh.root / "gossip.keys"
        keys.touch(mode=0o600)
        keys.write_text(base64.b64encode(b"1" * 32).decode() + "\n")
        told = {"enabled": "on" if gossip else "off", "key_file": str(keys), "port": 0}
        for number in range(hosts):
            workloads = [self._workload(self.backends[number])] if number < 3 else []
            settings: dict[str, Any] = {"address": f"127.0.0.{10 + number}", "gossip": told}
            mesh.sidecar(f"h{number}", *workloads, wait=False, **settings)
        for sidecar in self.sidecars:
            sidecar.wait_ready()
        mesh.wait_registered(*self.sidecars[:3])
        mesh.put(RULES)
        if gossip:
            for sidecar in self.sidecars:
                sidecar.wait_status(
                    "all members",
                    lambda now: now["gossip"].get("members", {}).get("alive") == hosts - 1,
                )
        for sidecar in self.sidecars:
            wait_until(partial(self.serves, sidecar, 3), 30, "all backends to answer")

    def _workload(self, backend: Backend) -> dict[str, Any]:
        port = {
            "number": 9080,
            "protocol": "HTTP",
            "app_port": backend.port,
            "inbound_port": listen_port(),
        }
        return {"service": "reviews", "labels": {"version": backend.version}, "ports": [port]}

    @property
    def sidecars(self) -> list[SidecarProcess]:
        return list(self.mesh.sidecars.values())

    def serves(self, sidecar: SidecarProcess, count: int) -> bool:
        """Whether so many backends answer."""
        return len(self.versions(sidecar)) == count

    def versions(self, sidecar: SidecarProcess) -> set[str]:
        """Which backends answer now."""
        return {sidecar.ask("reviews:9080").version for _ in range(6)}

    def ejections(self, sidecar: SidecarProcess) -> list[dict[str, Any]]:
        code, text = sidecar.page("/v1/ejections")
        assert code == 200, text
        rows: list[dict[str, Any]] = json.loads(text)["endpoints"]
        return rows

    def states(self) -> list[str]:
        """State of the one endpoint that anybody accuses, as each sidecar has it."""
        found = [self.ejections(sidecar) for sidecar in self.sidecars]
        return [",".join(str(row["state"]) for row in rows) for rows in found]

    def imposed(self) -> list[str]:
        """What each Envoy is told of it."""
        found = [self.ejections(sidecar) for sidecar in self.sidecars]
        return [",".join(str(row["imposed"]) for row in rows) for rows in found]


@pytest.fixture
def mesh() -> Iterator[MeshFixture]:
    with MeshFixture() as mesh:
        yield mesh


def test_a_killed_backend_leaves_everywhere_tells_its_story_and_returns_without_a_burst(
    mesh: MeshFixture,
) -> None:
    with ExitStack() as stack:
        scene = Scene(mesh, stack)
        # Some 2 requests a second for each sidecar and endpoint: Envoy's own 5 failures would take it 2.5 s.
        loads: list[Load] = [
            stack.enter_context(one.load("reviews:9080", workers=1, pause_s=0.16))
            for one in scene.sidecars
        ]
        for load in loads:
            load.wait_for(12)
        victim = scene.backends[0]
        victim.kill()
        killed_s = time.monotonic()
        wait_until(
            lambda: set(scene.imposed()) == {"ejected"},
            30,
            f"an ejection everywhere, not {scene.states()}",
        )
        left_out_s = time.monotonic()
        for sidecar in scene.sidecars:
            (row,) = scene.ejections(sidecar)
            assert row["destination"].startswith("reviews."), row
            assert row["state"] == "ejected"
            assert row["accusing"] >= row["quorum"] >= 2
            assert len({one["node"] for one in row["witnesses"] if one["class"] == "bad"}) >= 2
            assert all(one["external"] + one["local"] > 0 for one in row["witnesses"][:2])
        told = mesh.meshd("ejections")
        assert "reviews" in told.stdout, told
        assert "ejected" in told.stdout, told
        # A while without the backend: only those who try it fail now and then.
        for load in loads:
            load.wait_for(20)
        failed = sum(
            1 for load in loads for reply in load.since(left_out_s + 0.5) if reply.status != 200
        )
        assert failed <= 3 * HOSTS, f"{failed} requests failed though the backend is left out"
        victim.start()
        wait_until(victim.listens, 20, "the backend to listen again")
        revived_s = time.monotonic()
        wait_until(
            lambda: all("ejected" not in one and "trial" not in one for one in scene.imposed()),
            90,
            f"the backend's return, not {scene.states()}",
        )
        for sidecar in scene.sidecars:
            wait_until(partial(scene.serves, sidecar, 3), 60, f"v1 to answer at {sidecar.node}")
        late = [
            reply for load in loads for reply in load.since(revived_s + 2.0) if reply.status != 200
        ]
        assert not late, late[:3]
        before = sum(
            1
            for load in loads
            for reply in load.since(killed_s)
            if reply.at_s < left_out_s and reply.status != 200
        )
        assert before < 5 * HOSTS, "Envoys alone need five failures each"


def test_a_sidecar_that_is_killed_returns_nothing_that_others_still_accuse(
    mesh: MeshFixture,
) -> None:
    with ExitStack() as stack:
        scene = Scene(mesh, stack, hosts=4)
        mesh.put(RULES.replace("baseEjectionTime: 5s", "baseEjectionTime: 120s"))
        loads = [
            stack.enter_context(one.load("reviews:9080", workers=1, pause_s=0.1))
            for one in scene.sidecars
        ]
        for load in loads:
            load.wait_for(12)
        scene.backends[0].kill()
        wait_until(
            lambda: set(scene.imposed()) == {"ejected"},
            30,
            f"an ejection everywhere, not {scene.states()}",
        )
        restarted = scene.sidecars[3]
        restarted.kill()
        killed_s = time.monotonic()
        restarted.start().wait_ready()
        wait_until(
            lambda: scene.imposed() == ["ejected"] * 4,
            60,
            f"the ejection at the restarted sidecar, not {scene.states()}",
        )
        loads[3].wait_for(20)
        failed = [reply for reply in loads[3].since(killed_s) if reply.status != 200]
        assert not failed, failed[:3]
        health = restarted.envoy_stats(r"^cluster\..*reviews.*\.membership_(healthy|total)$")
        assert sorted(health.values()) == [2, 3], health


def _ejects_one(sidecar: SidecarProcess) -> bool:
    """Whether its Envoy's own detector has one endpoint ejected."""
    active = sidecar.envoy_stats(r"^cluster\..*reviews.*ejections_active$")
    return sum(active.values()) == 1


def test_without_gossip_nothing_is_imposed_and_each_envoy_ejects_by_itself(
    mesh: MeshFixture,
) -> None:
    with ExitStack() as stack:
        scene = Scene(mesh, stack, gossip=False)
        loads = [
            stack.enter_context(one.load("reviews:9080", workers=1, pause_s=0.02))
            for one in scene.sidecars
        ]
        for load in loads:
            load.wait_for(12)
        scene.backends[0].kill()
        for sidecar in scene.sidecars:
            wait_until(partial(_ejects_one, sidecar), 30, "an ejection")
        for sidecar, load in zip(scene.sidecars, loads, strict=True):
            failed = [reply for reply in load.replies if reply.status != 200]
            assert len(failed) >= 5, (sidecar.node, len(failed))
            health = sidecar.envoy_stats(r"^cluster\..*reviews.*\.membership_(healthy|total)$")
            assert sorted(health.values()) == [2, 3], health
            code, text = sidecar.page("/v1/ejections")
            assert (code, json.loads(text)["state"]) == (200, "off")
