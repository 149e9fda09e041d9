"""Real sidecars, one of them cut off from etcd: configuration comes from its peers, and everybody says so."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness.gossip_settings import gossip, wait_members
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.proxies import FaultyProxy
from tests.harness.reviews import REVIEWS, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]


@dataclass(frozen=True)
class Meshed:
    """Two hosts at etcd, and one whose way to it can be cut."""

    mesh: MeshFixture
    near: SidecarProcess
    far: SidecarProcess
    way: FaultyProxy

    def put_beyond(self, subset: str) -> float:
        """Cut off the far one, put, and wait until it has that in force all the same; how long that took."""
        revision = self.mesh.put(reviews_to(subset), wait=False)
        began_s = time.monotonic()
        self.far.wait_in_force(revision)
        return time.monotonic() - began_s

    def cut_off(self) -> None:
        """The far one loses etcd, and knows it."""
        self.way.cut_off()
        self.far.wait_status("etcd away", lambda now: now["store"]["state"] != "watching")


@pytest.fixture
def meshed() -> Iterator[Meshed]:
    with MeshFixture() as mesh, FaultyProxy(mesh.etcd.client_port) as way:
        for version in ("v1", "v2"):
            workload = mesh.workload(mesh.backend("reviews", version), 9080)
            mesh.sidecar(f"near-{version}", workload, wait=False, **gossip(mesh))
        told = {**gossip(mesh, port=None), "etcd": {"endpoints": [way.url]}}
        far = mesh.sidecar("far", wait=False, **told)
        for sidecar in mesh.running():
            sidecar.wait_ready()
        for sidecar in mesh.running():
            wait_members(sidecar, alive=2)
        mesh.wait_registered(*mesh.running())
        mesh.put(reviews_to("v1"))
        yield Meshed(mesh, mesh.sidecars["near-v1"], far, way)


def test_a_host_cut_off_from_etcd_follows_its_peers_and_says_so(meshed: Meshed) -> None:
    far, mesh = meshed.far, meshed.mesh
    assert far.ask(REVIEWS).version == "v1"
    meshed.cut_off()
    took_s = meshed.put_beyond("v2")
    print(f"in force {took_s:.2f} s after the put, without etcd")
    assert {far.ask(REVIEWS).version for _ in range(5)} == {"v2"}
    status = far.wait_status("peers", lambda now: now["config"]["sync"] == "peers")
    config, relay = status["config"], status["relay"]
    assert (config["source"], config["age_s"], config["state"]) == ("peers", None, "in-force")
    # Two looks at two moments: the lease of the host that is cut off may run out between them.
    far.wait_status(
        "the same content as near",
        lambda now: now["config"]["hash"] == meshed.near.status()["config"]["hash"],
    )
    assert len(relay["adopted"]["attested_by"]) == 2
    assert relay["peers_at_store"] == 2

    shown = mesh.meshd("status", "far")
    assert "it follows peers" in shown.stdout + shown.stderr, shown
    metrics = far.page("/metrics")[1]
    assert 'meshd_config_source{source="peers"} 1.0' in metrics
    assert "meshd_config_stale_seconds 0.0" in metrics
    wait_until(lambda: "following_peers" in far.log.read_text(), 20, "a line in the log")
    rows = json.loads(mesh.meshd("peers", "--from", "near-v1", "-o", "json").stdout)["members"]
    sync = {row["node"]: row["standing"]["sync"] for row in rows}
    assert sync == {"far": "peers", "near-v2": "store"}

    meshed.way.connect()
    status = far.wait_status("etcd", lambda now: now["store"]["state"] == "watching")
    assert status["config"]["source"] == "etcd"
    assert status["config"]["revision_in_force"] >= config["revision_in_force"]
    revision = mesh.put(reviews_to("v1"))
    assert far.wait_in_force(revision)["epoch"] == config["epoch"], "the same life of the same etcd"
    assert far.ask(REVIEWS).version == "v1"
    assert far.status()["store"]["lists"] <= 1, "the watch went on from what peers had brought"


def test_one_that_starts_anew_with_an_empty_disk_boots_from_its_peers(meshed: Meshed) -> None:
    mesh, far = meshed.mesh, meshed.far
    far.end()
    for file in far.data_dir.glob("last-known-good*"):
        file.unlink()
    mesh.etcd.kill()
    far.settings = {
        **far.settings,
        **gossip(mesh, seeds=[meshed.near.status()["gossip"]["address"]]),
    }
    far.kill_envoy()
    began_s = time.monotonic()
    far.start().wait_ready()
    print(f"ready {time.monotonic() - began_s:.2f} s after its start, without etcd and disk")
    assert far.ask(REVIEWS).version == "v1"
    config = far.status()["config"]
    # Two looks at two moments: the lease of the host that is cut off may run out between them.
    far.wait_status(
        "the same content as near",
        lambda now: now["config"]["hash"] == meshed.near.status()["config"]["hash"],
    )
    far.wait_last_good(config["revision_in_force"])
    assert far.status()["config"]["sync"] in ("peers", "stale")


def test_with_etcd_gone_for_all_each_says_how_old_its_configuration_is(meshed: Meshed) -> None:
    mesh, near, far = meshed.mesh, meshed.near, meshed.far
    mesh.etcd.kill()
    for sidecar in (near, far):
        status = sidecar.wait_status(
            "stale",
            lambda now: now["config"]["sync"] == "stale" and (now["config"]["age_s"] or 0) > 1,
        )
        revision = status["config"]["revision_in_force"]
        assert f"serving revision {revision}, " in mesh.meshd("status", sidecar.node).stdout
    assert f"serving revision {revision}, " in mesh.meshd("check").stdout
    assert far.ask(REVIEWS).version == "v1"
    far.kill()  # and started anew, with its Envoy, while etcd is away from everybody
    far.kill_envoy()
    far.start().wait_ready()
    wait_until(lambda: far.ask(REVIEWS).version == "v1", 20, "an answer from the disk")
    aged = re.compile(rf"serving revision {revision} from disk, \d+[smh] old")
    for words in (("status", "far"), ("check",)):
        assert aged.search(mesh.meshd(*words).stdout)
    page = far.page("/metrics")[1]
    assert 'meshd_config_source{source="disk"} 1.0' in page
    stale = re.search(r"^meshd_config_stale_seconds (\S+)$", page, re.MULTILINE)
    assert stale is not None
    assert float(stale[1]) > 0.0
    mesh.etcd.start()
    for sidecar in (near, far):
        sidecar.wait_status("etcd again", lambda now: now["config"]["age_s"] is None)
