"""A change on which Envoy crashes twice is taken back. None is known that this Envoy crashes on: a signal does it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from sidecar.node.crashes import CRASH_WITHIN_S
from tests.harness.mesh import MeshFixture
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]
KEY = "ns/default/virtualservices/reviews"
TO_V1 = reviews_to("v1").split("---")[1]
TO_V1_ANEW = TO_V1.replace("  - route:", "  - timeout: 7s\n    route:")


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as meshed:
        yield meshed


@pytest.fixture
def settled(meshed: Meshed) -> Meshed:
    """Reviews go to v2, and Envoy has lived with that for long enough."""
    mesh, _ = meshed
    mesh.put(reviews_to("v2"))
    time.sleep(CRASH_WITHIN_S + 0.5)  # that nothing happens for so long is what makes it trusted
    return meshed


def ends(client: SidecarProcess, number: signal.Signals) -> None:
    """End the Envoy by a signal; returns when the next one has its whole configuration in force."""
    before = client.envoy_pid()
    assert before is not None
    os.kill(before, number)
    client.wait_status(
        "another Envoy",
        lambda now: (
            now["envoy"]["pid"] not in (before, None) and now["config"]["state"] == "in-force"
        ),
    )


def versions(client: SidecarProcess) -> set[str]:
    return {client.ask(REVIEWS).version for _ in range(10)}


def test_a_change_that_envoy_crashes_on_twice_is_taken_back_until_it_is_put_anew(
    settled: Meshed,
) -> None:
    mesh, client = settled
    revision = mesh.put(TO_V1)
    ends(client, signal.SIGSEGV)
    assert client.status()["quarantined"] == [], "once may be chance"
    assert versions(client) == {"v1"}
    # The next one has had it in force for a moment.
    ends(client, signal.SIGABRT)
    (row,) = client.status()["quarantined"]
    assert (row["key"], row["revision"], row["by"]) == (KEY, revision, "envoy")
    assert row["serving_revision"] < revision
    (problem,) = row["diagnostics"]
    assert problem["code"] == "MESH0404"
    assert "SIGABRT" in problem["message"]
    assert versions(client) == {"v2"}
    done = mesh.meshd("status", client.node)
    assert done.returncode == 1
    assert "MESH0404" in done.stdout
    assert versions(mesh.sidecars["h1"]) == {"v1"}, "where no Envoy crashed the change is in force"
    mesh.put(TO_V1_ANEW)
    assert client.status()["quarantined"] == []
    assert versions(client) == {"v1"}


def test_an_envoy_that_is_killed_twice_after_a_change_takes_nothing_back(settled: Meshed) -> None:
    mesh, client = settled
    mesh.put(TO_V1)
    for _ in range(2):
        ends(client, signal.SIGKILL)
    assert client.status()["quarantined"] == []
    assert versions(client) == {"v1"}
