"""An object that only Envoy can find bad: the server name that it wants sent is longer than Envoy takes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bench.processor import cpu_s
from tests.harness.mesh import MeshFixture
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]
KEY = "ns/default/destinationrules/reviews"
BAD = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy:
    tls: {mode: SIMPLE, sni: LONG}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
""".replace("LONG", "x" * 300)
REASON = "UpstreamTlsContextValidationError.Sni"


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as meshed:
        yield meshed


@pytest.fixture
def refused(meshed: Meshed) -> Meshed:
    """Reviews went to v2; then a DestinationRule came that Envoy refuses."""
    mesh, client = meshed
    mesh.put(reviews_to("v2"))
    mesh.put(BAD, wait=False)
    wait_refused(client)
    return meshed


def wait_refused(sidecar: SidecarProcess) -> dict[str, object]:
    def by_envoy(status: dict[str, list[dict[str, object]]]) -> list[dict[str, object]]:
        return [row for row in status["quarantined"] if (row["key"], row["by"]) == (KEY, "envoy")]

    status = sidecar.wait_status("the refusal", by_envoy)
    return by_envoy(status)[0]


def test_it_is_named_with_envoys_reason_and_the_generation_before_serves(refused: Meshed) -> None:
    mesh, client = refused
    row = wait_refused(client)
    assert REASON in str(row["diagnostics"])
    assert row["serving_revision"]
    assert {client.ask(REVIEWS).version for _ in range(10)} == {"v2"}
    done = mesh.meshd("status", client.node)
    assert done.returncode == 1
    assert REASON in done.stdout


def test_everything_else_moves_on(refused: Meshed) -> None:
    mesh, client = refused
    rule = reviews_to("v1").split("---")[1]
    client.wait_in_force(mesh.put(rule, wait=False))
    assert {client.ask(REVIEWS).version for _ in range(10)} == {"v1"}


REJECTED = r"update_rejected$"
LOOKED_AT_S = 6.0


def test_what_is_refused_is_not_sent_again_and_costs_no_processor(refused: Meshed) -> None:
    """Kuma's nackBackoff: the same bad resource went to and fro as fast as both could."""
    mesh, client = refused
    assert client.process is not None
    client.wait_in_force(mesh.settle())
    rejected = sum(client.envoy_stats(REJECTED).values())
    assert rejected > 0
    used_s = cpu_s(client.process.pid)
    time.sleep(LOOKED_AT_S)  # for a time nothing happens: that is what is tested
    used_s = cpu_s(client.process.pid) - used_s
    for number in range(20):
        rule = reviews_to("v1", name="other", host=f"o{number}.example.com").split("---")[1]
        client.wait_in_force(mesh.put(rule, wait=False))
    wait_refused(client)
    print(f"{100 * used_s / LOOKED_AT_S:.2f} % of a processor beside a refused object")
    assert used_s / LOOKED_AT_S < 0.02
    assert sum(client.envoy_stats(REJECTED).values()) == rejected


def test_put_that_waits_says_so_and_exits_1(meshed: Meshed) -> None:
    mesh, _ = meshed
    mesh.put(reviews_to("v2"))
    done = mesh.meshd("put", "-f", "-", "--wait", stdin=BAD)
    assert done.returncode == 1, done.stdout + done.stderr
    assert REASON in done.stdout + done.stderr


def test_a_new_sidecar_with_a_new_envoy_serves_the_generation_before(refused: Meshed) -> None:
    mesh, client = refused
    client.wait_last_good(client.status()["config"]["revision_in_force"])
    client.remove()
    client.start().wait_ready()
    wait_refused(client)
    client.wait_in_force(mesh.settle())
    assert {client.ask(REVIEWS).version for _ in range(10)} == {"v2"}


def test_a_good_generation_heals_it(refused: Meshed) -> None:
    mesh, client = refused
    mesh.put(reviews_to("v1"))
    status = client.wait_status("no refusal", lambda status: not status["quarantined"])
    assert not status["rejected"]
    assert {client.ask(REVIEWS).version for _ in range(10)} == {"v1"}
