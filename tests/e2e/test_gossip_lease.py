"""A lease that ran out is only evidence: who gossip holds alive keeps its endpoints, and who dies loses them."""

from __future__ import annotations

import signal
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.harness.gossip_settings import gossip, wait_members
from tests.harness.mesh import MeshFixture
from tests.harness.proxies import FaultyProxy

pytestmark = [pytest.mark.real, pytest.mark.slow]

GRACE_S = 3.0
SETTINGS = f"""
apiVersion: meshd.io/v1
kind: MeshConfig
metadata: {{name: mesh}}
spec: {{registration: {{gracePeriod: {GRACE_S:g}s}}}}
"""


def kept(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["host"]: row for row in status["kept_hosts"]}


def test_who_cannot_reach_etcd_and_gossips_keeps_its_endpoints() -> None:
    with MeshFixture() as mesh, FaultyProxy(urlsplit(mesh.etcd.url).port or 0) as proxy:
        mesh.put(SETTINGS)
        client = mesh.sidecar("client", **gossip(mesh))
        for number in (0, 1):
            workload = mesh.workload(mesh.backend("shop", f"v{number}"), 9080)
            mesh.sidecar(f"shop{number}", workload, **gossip(mesh))
        workload = mesh.workload(mesh.backend("shop", "v2"), 9080)
        cut_off = mesh.sidecar(
            "shop2", workload, **{**gossip(mesh), "etcd": {"endpoints": [proxy.url]}}
        )
        wait_members(client, alive=3)
        assert client.status()["hosts"] == 4
        proxy.is_holding_requests = True
        client.wait_status("the lease to run out", lambda now: "shop2" in kept(now), 60)
        now = client.wait_status(
            "several grace periods to pass",
            lambda now: "shop2" not in kept(now) or kept(now)["shop2"]["since_s"] > 3 * GRACE_S,
            60,
        )
        assert "gossip holds it alive" in kept(now)["shop2"]["reason"]
        assert now["hosts"] == 4
        cut_off.end(signal.SIGKILL)
        now = client.wait_status("shop2 to go", lambda now: "shop2" not in kept(now), 90)
        assert now["hosts"] == 3
        assert now["gossip"]["members"]["dead"] == 1
