"""Outcomes of a real Envoy's requests, as the sidecar counts them."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest
import trio

from sidecar.outlier.model import Outcomes
from sidecar.xds.resource import Resource
from tests.harness.envoys import Lab, open_lab
from tests.harness.evidence import watch
from tests.harness.processes import free_port, wait_until_async
from tests.harness.upstreams import request, upstream
from tests.harness.xds_resources import (
    cluster,
    endpoints,
    listener,
    routes,
    tcp_listener,
)

pytestmark = pytest.mark.real


def front(lab: Lab, **more: object) -> tuple[Resource, ...]:
    """The lab's port, before cluster `a`."""
    star: dict[str, object] = {"to": "a", **more}
    return listener("l", lab.port, "r"), routes("r", vhds=True, star=star)


async def ask(lab: Lab, times: int, host: str = "a") -> list[int]:
    return [(await request(lab.port, host)).status for _ in range(times)]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Outcomes(ok=3)),
        (404, Outcomes(ok=3)),
        (500, Outcomes(external=3)),
        (503, Outcomes(external=3)),
    ],
)
async def test_answers_are_counted_by_their_status(status: int, expected: Outcomes) -> None:
    async with open_lab() as lab, upstream("one") as (one,), watch(lab, a=False) as watched:
        await lab.put(cluster("a"), endpoints("a", one.port), *front(lab))
        await watched.counting()
        one.status = status
        assert await ask(lab, 3) == [status] * 3
        await watched.until("a", one.port, expected)


async def test_time_outs_count_as_local_also_across_reports() -> None:
    async with open_lab() as lab, upstream("one") as (one,), watch(lab, a=False) as watched:
        await lab.put(cluster("a"), endpoints("a", one.port), *front(lab, timeout="0.4s"))
        await watched.counting()
        await ask(lab, 1)
        one.delay_s = 30
        assert await ask(lab, 4) == [504] * 4
        await watched.until("a", one.port, Outcomes(ok=1, local=4))


async def test_refused_connections_count_as_local() -> None:
    async with open_lab() as lab, watch(lab, a=False) as watched:
        nobody = free_port()
        await lab.put(cluster("a"), endpoints("a", nobody), *front(lab))
        await watched.counting()
        assert await ask(lab, 3) == [503] * 3
        await watched.until("a", nobody, Outcomes(local=3))


async def reset(stream: trio.SocketStream) -> None:
    """Read a request, then break the connection."""
    await stream.receive_some(1000)
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


async def test_resets_count_as_external_since_nothing_tells_them_from_answers() -> None:
    async with open_lab() as lab, watch(lab, a=False) as watched:
        (server,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        lab.nursery.start_soon(trio.serve_listeners, reset, [server])
        port = server.socket.getsockname()[1]
        await lab.put(cluster("a"), endpoints("a", port), *front(lab))
        await watched.counting()
        assert await ask(lab, 3) == [503] * 3
        await watched.until("a", port, Outcomes(external=3))


async def test_each_retry_is_an_attempt_of_its_own() -> None:
    async with open_lab() as lab, upstream("one") as (one,), watch(lab, a=False) as watched:
        retry = {"retry_on": "5xx", "num_retries": 2}
        await lab.put(cluster("a"), endpoints("a", one.port), *front(lab, retry_policy=retry))
        await watched.counting()
        one.status = 500
        assert await ask(lab, 2) == [500] * 2
        await watched.until("a", one.port, Outcomes(external=6))


async def test_connections_of_tcp_are_counted_where_they_come_to_be_and_where_they_fail() -> None:
    async with open_lab() as lab, upstream("one") as (one,), watch(lab, t=True) as watched:
        nobody, port = free_port(), free_port()
        await lab.put(cluster("t"), endpoints("t", one.port, nobody), tcp_listener("l", port, "t"))
        await watched.counting()

        async def looked_at() -> bool:
            return not watched.source.unseen

        await wait_until_async(looked_at, 20, "the first look at the cluster")
        for _ in range(6):
            with trio.move_on_after(5):
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    await stream.send_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                    with contextlib.suppress(trio.BrokenResourceError):
                        await stream.receive_some(1)
        await watched.until("t", one.port, Outcomes(ok=3))
        await watched.until("t", nobody, Outcomes(local=3))


async def test_counting_goes_on_over_changes_of_cluster_endpoints_sidecar_and_envoy() -> None:
    async with (
        open_lab() as lab,
        upstream("one", "two") as (one, two),
        watch(lab, a=False) as watched,
    ):
        await lab.put(cluster("a"), endpoints("a", one.port), *front(lab))
        await watched.counting()
        await ask(lab, 2)
        await watched.until("a", one.port, Outcomes(ok=2))
        await lab.put(cluster("a", connect_timeout="2s"), endpoints("a", one.port))
        await watched.counting()
        await ask(lab, 2)
        await watched.until("a", one.port, Outcomes(ok=4))
        await lab.put(endpoints("a", two.port))
        await watched.counting()
        await ask(lab, 2)
        await watched.until("a", two.port, Outcomes(ok=2))
        lab.kill_driver()
        await ask(lab, 2)
        await lab.start_driver()
        lab.driver.report(watched.source.reporting)
        lab.desire(cluster("a", connect_timeout="2s"), endpoints("a", two.port), *front(lab))
        await watched.until("a", two.port, Outcomes(ok=4))
        assert watched.of("a", one.port) == Outcomes(ok=4)


async def test_ejections_of_envoy_are_seen_to_begin_and_to_end() -> None:
    async with (
        open_lab() as lab,
        upstream("one", "two") as (one, two),
        watch(lab, a=False) as watched,
    ):
        detection = {
            "consecutive_5xx": 2,
            "max_ejection_percent": 100,
            "interval": "0.5s",
            "base_ejection_time": "1s",
        }
        await lab.put(
            cluster("a", outlier_detection=detection),
            endpoints("a", one.port, two.port),
            *front(lab),
        )
        await watched.counting()
        one.status = 500

        async def is_seen() -> bool:
            # A look that came late may miss one that is over: there are more where requests go on.
            await ask(lab, 4)
            return bool(watched.ejected)

        await wait_until_async(is_seen, 20, "an ejection")
        assert [at.port for _, at in watched.ejected] == [one.port]
        await wait_until_async(lambda: not watched.ejected, 20, "the ejection's end")


async def test_a_mesh_without_participants_has_envoy_report_nothing() -> None:
    reports: list[object] = []
    async with open_lab() as lab, upstream("one") as (one,):
        lab.loads = reports.append
        await lab.put(cluster("a"), endpoints("a", one.port), *front(lab))
        await wait_until_async(lambda: reports, 20, "the stream of load reports")
        before = len(reports)
        await ask(lab, 5)
        async with watch(lab, b=False):
            lab.loads = reports.append
            # The wish of another source reaches Envoy, so silence before was not slowness.
            await wait_until_async(lambda: len(reports) > before, 20, "a report that was asked for")
        assert not any(getattr(report, "loads", ()) for report in reports)
