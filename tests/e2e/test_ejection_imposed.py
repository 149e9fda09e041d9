"""What shared ejection imposes, on a real Envoy: it works at once, and costs neither clusters nor connections."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from sidecar.agent.outcomes import OutcomesSource
from sidecar.mesh.model import HostName
from sidecar.node.participants import ObservedCluster
from sidecar.outlier.events import Imposed
from sidecar.outlier.model import Destination, Place
from sidecar.xds.local_ejections import EjectedUntil
from tests.harness.followed import Followed, follow
from tests.harness.processes import wait_until_async
from tests.harness.service_entries import service
from tests.harness.upstreams import Connection, Upstream, upstream

pytestmark = pytest.mark.real

HOST = "a.default.svc.cluster.local"
CLUSTER = f"outbound|9080||{HOST}"
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: a, namespace: default}}
spec:
  host: a
  trafficPolicy:
    loadBalancer: {{simple: {balancer}}}
    connectionPool: {{tcp: {{connectTimeout: {timeout}}}}}
    outlierDetection:
      consecutive5xxErrors: 3
      interval: 1s
      baseEjectionTime: 4s
      maxEjectionPercent: 100
"""


def rule(balancer: str = "ROUND_ROBIN", timeout: str = "1s") -> str:
    return RULE.format(balancer=balancer, timeout=timeout)


async def answers(host: Followed, times: int) -> Counter[int]:
    """Statuses of requests on one connection."""
    connection = await Connection.open(host.lab.port)
    found = Counter([(await connection.ask("a:9080")).status for _ in range(times)])
    await connection.aclose()
    return found


@asynccontextmanager
async def busy(host: Followed) -> AsyncIterator[None]:
    """Requests one after another for the length of the block."""
    connection = await Connection.open(host.lab.port)

    async def ask() -> None:
        while True:
            await connection.ask("a:9080")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        yield
        nursery.cancel_scope.cancel()
    await connection.aclose()


class Clocked(Upstream):
    """A server that knows when it was last asked."""

    last_s = 0.0

    async def _answer(self, connection: object, stream: object) -> None:
        self.last_s = trio.current_time()
        await super()._answer(connection, stream)  # type: ignore[arg-type] # passed on


async def test_an_imposed_ejection_stops_requests_at_once_and_keeps_clusters_and_connections() -> (
    None
):
    slow_s: list[float] = []
    async with upstream("one", "two", "three") as servers:
        one = Clocked("one")
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            one.port = listener.socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, one.serve, [listener])
            others = servers[1:]
            ports = [(one.port, "v1"), *((other.port, "v1") for other in others)]
            async with follow(service("a", *ports), rule()) as host, busy(host):
                changes = await cluster_changes(host)
                for _ in range(5):
                    await wait_until_async(lambda: one.last_s > 0, 20, "a request to the endpoint")
                    began_s = trio.current_time()
                    await host.impose(HOST, {one.port: Imposed.EJECTED})
                    hits = others[0].hits
                    await wait_until_async(lambda: others[0].hits > hits + 50, 20, "more requests")  # noqa: B023
                    slow_s.append(max(0.0, one.last_s - began_s))
                    one.last_s = 0.0
                    await host.impose(HOST, {})
                assert await cluster_changes(host) == changes
                assert [one.connections, *(other.connections for other in others)] == [1, 1, 1]
            nursery.cancel_scope.cancel()
    assert statistics.median(slow_s) < 0.1, slow_s


@pytest.mark.parametrize("balancer", ["ROUND_ROBIN", "LEAST_REQUEST"])
async def test_an_endpoint_on_trial_gets_about_a_hundredth_of_its_share(balancer: str) -> None:
    async with (
        upstream("one", "two", "three") as servers,
        follow(service("a", *((s.port, "v1") for s in servers)), rule(balancer)) as host,
    ):
        await host.impose(HOST, {servers[0].port: Imposed.TRIAL})
        before = [server.hits for server in servers]
        assert await answers(host, 2000) == {200: 2000}
        tried, *others = (server.hits - had for server, had in zip(servers, before, strict=True))
        # 10 are to be expected: none, or more than 30, come once in 10^4 runs.
        assert 1 <= tried <= 30
        assert min(others) > 700
        await host.impose(HOST, {})
        await answers(host, 300)
        assert servers[0].hits - before[0] - tried >= 50
        assert await host.lab.stat("cluster_manager.cluster_modified") == 0


async def test_what_is_imposed_never_wakes_an_endpoint_that_envoy_has_ejected_itself() -> None:
    async with (
        upstream("one", "two") as (one, two),
        follow(service("a", (one.port, "v1"), (two.port, "v1")), rule()) as host,
    ):
        one.status = 503
        await wait_until_async(lambda: ejected(host, 1), 20, "an ejection by Envoy")
        await host.impose(HOST, {one.port: Imposed.TRIAL})
        await host.impose(HOST, {})
        assert await active_ejections(host) == 1
        one.status = 200
        hits = one.hits
        await answers(host, 20)
        assert one.hits == hits


async def cluster_changes(host: Followed) -> list[int]:
    """How often a cluster was added, changed, removed."""
    names = ("cluster_added", "cluster_modified", "cluster_removed")
    return [await host.lab.stat(f"cluster_manager.{name}") for name in names]


async def ejected(host: Followed, count: int) -> bool:
    """Whether Envoy's own detector has ejected so many, while it is asked."""
    await answers(host, 4)
    return await active_ejections(host) == count


async def active_ejections(host: Followed) -> int:
    name = re.escape(f"cluster.{CLUSTER}.outlier_detection.ejections_active")
    return sum((await host.lab.admin.stats(f"^{name}$")).values())


async def test_a_local_ejection_outlives_a_change_of_its_cluster_and_ends_in_its_time() -> None:
    async with (
        upstream("one", "two") as (one, two),
        follow(service("a", (one.port, "v1"), (two.port, "v1")), rule()) as host,
    ):
        seen: list[EjectedUntil] = []

        def noted(until_s: EjectedUntil) -> None:
            seen.append(until_s)
            host.builder.ejected(until_s)

        source = OutcomesSource(host.lab.admin, host.lab.report, lambda _: None, noted)
        host.lab.loads = source.arrived
        host.lab.nursery.start_soon(source.run)
        destination = Destination(HostName(HOST), 9080)
        source.observe({CLUSTER: ObservedCluster(destination, base_ejection_s=4.0)})
        one.status = 503
        await wait_until_async(lambda: ejected(host, 1), 20, "an ejection by Envoy")
        await wait_until_async(lambda: seen, 20, "the ejection to be seen")
        one.status = 200
        (until_s,) = seen[-1].values()
        changed_at_s = trio.current_time()
        await host.put(rule(timeout="2s"))
        assert await host.lab.stat("cluster_manager.cluster_modified") == 1
        assert (CLUSTER, Place("127.0.0.1", one.port)) in host.builder.held_ejections()
        hits = one.hits
        assert await answers(host, 20) == {200: 20}
        assert one.hits == hits, "the changed cluster asked an endpoint that was ejected"
        assert host.builder.release_due_s() == until_s
        assert until_s > changed_at_s
        await trio.sleep_until(until_s)
        host.follow(host.builder.release(trio.current_time()))
        await host.lab.settled()
        await answers(host, 20)
        assert one.hits > hits
