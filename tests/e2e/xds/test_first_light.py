"""The shortest way through driver, server and Envoy."""

from __future__ import annotations

import pytest

from tests.harness.envoys import open_lab
from tests.harness.upstreams import request, upstream
from tests.harness.xds_resources import cluster, endpoints, listener, routes, virtual_host

pytestmark = pytest.mark.real


async def test_a_fresh_envoy_is_brought_to_the_desired_state_and_follows_changes() -> None:
    async with upstream("one", "two") as (one, two), open_lab() as lab:
        await lab.put(
            cluster("a"),
            endpoints("a", one.port),
            listener("out", lab.port, "outbound"),
            routes("outbound", vhds=True, star={"status": 404}),
            virtual_host("outbound/a", "a", to="a"),
        )
        assert (await request(lab.port, "a")).text == "one"
        assert (await request(lab.port, "b")).status == 404
        await lab.put(endpoints("a", two.port))
        assert (await request(lab.port, "a")).text == "two"
        assert await lab.put(virtual_host("outbound/a", "a", status=200, text="three")) < 1
        assert (await request(lab.port, "a")).text == "three"
