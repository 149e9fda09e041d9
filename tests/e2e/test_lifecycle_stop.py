"""Hosts that stop for good and come back, one after the other: requests finish, nobody is sent to them meanwhile."""

from __future__ import annotations

import threading
import time

import pytest

from tests.harness.gossip_settings import gossip, wait_members
from tests.harness.load import Reply
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]

SHOP = "shop:9080"


def test_a_rolling_stop_and_start_of_hosts_drops_no_request() -> None:
    with MeshFixture() as mesh:
        client = mesh.sidecar("client", wait=False, **gossip(mesh))
        hosts = [
            mesh.sidecar(
                f"shop-{version}",
                mesh.workload(mesh.backend("shop", version), 9080),
                wait=False,
                **gossip(mesh, on_stop="leave"),
            )
            for version in ("v1", "v2")
        ]
        for sidecar in mesh.running():
            sidecar.wait_ready()
            wait_members(sidecar, alive=2)
        mesh.wait_registered(*hosts)
        slow: list[Reply] = []
        with client.load(SHOP, "/?delay_s=0.03", workers=6) as load:
            wait_until(
                lambda: {client.ask(SHOP).version for _ in range(10)} == {"v1", "v2"}, 45, "both"
            )
            for host in hosts:
                waiting = [
                    threading.Thread(target=lambda: slow.append(client.ask(SHOP, "/?delay_s=2.5")))
                    for _ in range(4)
                ]
                for thread in waiting:
                    thread.start()
                load.wait_for(50)
                began_s = time.monotonic()
                assert host.end() == 0
                print(f"{host.node} was gone after {time.monotonic() - began_s:.1f} s")
                assert mesh.client.get(f"/meshd/v1/hosts/{host.node}") is None
                wait_until(lambda: host.envoy_pid() is None, 20, "its Envoy's end")  # noqa: B023
                load.wait_for(100)
                for thread in waiting:
                    thread.join()
                host.start().wait_ready()
                mesh.wait_registered(host)
                wait_until(
                    lambda: {client.ask(SHOP).version for _ in range(10)} == {"v1", "v2"},
                    45,
                    "both again",
                )
        load.assert_none_failed(at_least=500)
        assert [reply.status for reply in slow] == [200] * 8
