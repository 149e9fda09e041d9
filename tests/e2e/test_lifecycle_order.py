"""Whatever starts first: nobody is sent to what is not there yet, and nobody is answered from half a configuration."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.harness.echo import EchoBackend
from tests.harness.load import send
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess, listen_port

DEEP = bool(os.environ.get("MESHD_TEST_DEEP"))

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(1800 if DEEP else 120)]

YOUNG = 200 if DEEP else 5
BOOTS = 100 if DEEP else 3

Meshed = tuple[MeshFixture, SidecarProcess]
SHOP = "shop:9080"


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as (mesh, client):
        mesh.put(reviews_to("v1"))
        yield mesh, client


def test_an_application_that_starts_after_its_sidecar_is_asked_once_it_listens(
    meshed: Meshed,
) -> None:
    mesh, client = meshed
    first = mesh.workload(mesh.backend("shop", "v1"), 9080)
    mesh.sidecar("shop-1", first)
    wait_until(lambda: client.ask(SHOP).status == 200, 45, "the first application")
    port = listen_port()
    late = {
        "service": "shop",
        "labels": {"version": "v2"},
        "ports": [
            {"number": 9080, "protocol": "HTTP", "app_port": port, "inbound_port": listen_port()}
        ],
    }
    with ExitStack() as backends, client.load(SHOP, workers=4) as load:
        sidecar = mesh.sidecar("shop-2", late, wait=False)
        sidecar.wait_ready()
        status = sidecar.wait_status(
            "its reason", lambda now: "does not accept" in str(now["registration"])
        )
        assert status["registration"]["state"] != "registered"
        load.wait_for(200)
        backends.enter_context(EchoBackend("shop", "v2", port=port))
        mesh.wait_registered(sidecar)
        wait_until(
            lambda: {client.ask(SHOP).version for _ in range(10)} == {"v1", "v2"},
            45,
            "both applications",
        )
        load.wait_for(200)
        sidecar.end(signal.SIGKILL)  # and the sidecar again, beside an application that runs
        sidecar.start().wait_ready()
        load.wait_for(100)
        mesh.wait_registered(sidecar)
        load.wait_for(100)
    load.assert_none_failed(at_least=600)


def test_one_application_that_never_listens_holds_up_no_other(meshed: Meshed) -> None:
    mesh, client = meshed
    well = mesh.workload(mesh.backend("well", "v1"), 9080)
    dead = {
        "service": "dead",
        "ports": [{"number": 9080, "app_port": listen_port(), "inbound_port": listen_port()}],
    }
    sidecar = mesh.sidecar("mixed", well, dead)
    wait_until(lambda: client.ask("well:9080").status == 200, 45, "the one that listens")
    health = {
        row["service"]: row["health"] for row in sidecar.status()["registration"]["workloads"]
    }
    assert health == {"well": "healthy", "dead": "unhealthy"}


def test_envoy_answers_nothing_before_it_has_a_whole_configuration(meshed: Meshed) -> None:
    """From the first moment on a request is refused or served; never 404, never 503."""
    mesh, _ = meshed
    seen: Counter[int] = Counter()
    for turn in range(YOUNG):
        sidecar = mesh.sidecar(f"young{turn}", wait=False)
        end = time.monotonic() + 60.0
        while seen[200] < 20 * (turn + 1):
            assert time.monotonic() < end, seen
            connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=30)
            seen[send(connection, REVIEWS).status] += 1
            connection.close()
            time.sleep(0.001)  # the machine has other things to do
        sidecar.remove()
    print(f"{seen[0]} refused before the first answer, {seen[200]} served")
    assert set(seen) == {0, 200}, seen


def test_what_starts_after_the_command_that_waits_is_never_refused(meshed: Meshed) -> None:
    """An application that starts before its sidecar, and asks once in its life."""
    mesh, _ = meshed
    for turn in range(BOOTS):
        sidecar = mesh.sidecar(f"awaited{turn}", wait=False)
        command = [sys.executable, "-m", "sidecar.agent.main", "wait", "--timeout", "60"]
        command += ["--node", sidecar.node, "--run-dir", str(sidecar.root / "run")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"{sidecar.node} is ready\n"), done.stderr
        connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=30)
        assert send(connection, REVIEWS).status == 200
        connection.close()
        sidecar.remove()
