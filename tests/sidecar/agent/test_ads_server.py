"""The ADS socket with a client that is not Envoy: streams, their ends, slow readers, permissions."""

from __future__ import annotations

import queue
import stat
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trio
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from envoy.service.load_stats.v3 import lrs_pb2, lrs_pb2_grpc

from sidecar.agent.ads_driver import AdsDriver, Report
from sidecar.agent.ads_server import QUEUE_MAX, AdsServer, StreamEvent
from sidecar.agent.envoy_program import GENERATION
from sidecar.agent.outcomes_reports import EndpointLoad, LoadReported, Reporting
from sidecar.outlier.model import Place
from sidecar.xds.events import DeltaRequest, InForce, SendResponse, StreamClosed, StreamOpened
from sidecar.xds.resource import DesiredChange, Resource, TypeUrl
from store.errors import InputError
from tests.harness.processes import wait_until_async

WAIT_S = 10.0


class Client:
    """A delta stream whose requests are put and whose responses are got by the test."""

    def __init__(self, path: Path) -> None:
        self.channel = grpc.insecure_channel(
            f"unix:{path}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self.outbox: queue.Queue[Any] = queue.Queue()
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(self.channel)
        self.call = stub.DeltaAggregatedResources(iter(self.outbox.get, None))

    def ask(self, type_url: str, *names: str, nonce: str = "") -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=type_url, resource_names_subscribe=names, response_nonce=nonce
        )
        request.node.id = "test"
        self.outbox.put(request)

    async def next(self) -> Any:
        with trio.fail_after(WAIT_S):
            return await trio.to_thread.run_sync(next, self.call)

    def close(self) -> None:
        self.outbox.put(None)
        self.call.cancel()
        self.channel.close()


class Listening:
    """A server, and what it told."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "run" / "ads.sock"
        self.events: list[StreamEvent] = []
        self.server = AdsServer(self.path, self.events.append)

    async def told(self, kind: type[Any], count: int = 1) -> Any:
        def enough() -> bool:
            return len([e for e in self.events if isinstance(e, kind)]) >= count

        await wait_until_async(enough, WAIT_S, f"{count} {kind.__name__}")
        return [e for e in self.events if isinstance(e, kind)][count - 1]


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ads-") as path:
        yield Path(path)


@asynccontextmanager
async def listening(directory: Path) -> AsyncIterator[Listening]:
    async with trio.open_nursery() as nursery:
        it = Listening(directory)
        await nursery.start(it.server.run)
        yield it
        nursery.cancel_scope.cancel()


def response(stream: int, nonce: str, *resources: Resource) -> SendResponse:
    return SendResponse(stream, TypeUrl.CLUSTER, nonce, resources, ("gone",), "e@7")


async def test_requests_come_in_order_and_responses_go_out_whole(directory: Path) -> None:
    async with listening(directory) as it:
        client = Client(it.path)
        client.ask(TypeUrl.CLUSTER, "a", nonce="x")
        client.ask(TypeUrl.ENDPOINTS)
        second = await it.told(DeltaRequest, 2)
        first = await it.told(DeltaRequest)
        assert isinstance(it.events[0], StreamOpened)
        assert (first.subscribe, first.nonce, first.node_id) == (("a",), "x", "test")
        assert second.type_url == TypeUrl.ENDPOINTS
        body = Resource(TypeUrl.CLUSTER, "a", "v1", b"\x0a\x01a")
        empty = Resource(TypeUrl.VIRTUAL_HOST, "r/x", "none", b"", ("r/x",))
        it.server.send(response(first.stream, "n1", body, empty))
        message = await client.next()
        assert (message.nonce, message.system_version_info) == ("n1", "e@7")
        assert list(message.removed_resources) == ["gone"]
        assert message.resources[0].resource.type_url == TypeUrl.CLUSTER
        assert message.resources[0].resource.value == b"\x0a\x01a"
        assert not message.resources[1].HasField("resource")
        assert list(message.resources[1].aliases) == ["r/x"]
        client.close()
        assert (await it.told(StreamClosed)).stream == first.stream


async def test_only_this_user_can_open_the_socket(directory: Path) -> None:
    async with listening(directory) as it:
        assert stat.S_IMODE(it.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(it.path.parent.stat().st_mode) == 0o700


async def test_the_newest_stream_wins_and_the_older_is_ended(directory: Path) -> None:
    async with listening(directory) as it:
        old = Client(it.path)
        old.ask(TypeUrl.CLUSTER)
        await it.told(DeltaRequest)
        new = Client(it.path)
        new.ask(TypeUrl.CLUSTER)
        opened = await it.told(StreamOpened, 2)
        assert (await it.told(StreamClosed)).stream == opened.stream - 1
        it.server.send(response(opened.stream, "n1"))
        assert (await new.next()).nonce == "n1"
        it.server.send(response(opened.stream - 1, "dropped"))
        old.close()
        new.close()


async def test_a_reader_that_takes_nothing_is_ended_instead_of_filling_memory(
    directory: Path,
) -> None:
    async with listening(directory) as it:
        client = Client(it.path)
        client.ask(TypeUrl.CLUSTER)
        asked = await it.told(DeltaRequest)
        big = Resource(TypeUrl.CLUSTER, "big", "v1", bytes(4_000_000))
        for number in range(4 * QUEUE_MAX):
            it.server.send(response(asked.stream, f"n{number}", big))
        assert (await it.told(StreamClosed)).stream == asked.stream
        client.close()


async def test_ending_the_server_ends_its_streams_and_threads(directory: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with trio.fail_after(WAIT_S):
        async with listening(directory) as it:
            client = Client(it.path)
            client.ask(TypeUrl.CLUSTER)
            await it.told(DeltaRequest)
    with pytest.raises(grpc.RpcError):
        await trio.to_thread.run_sync(next, client.call)
    client.close()

    def ended() -> bool:
        names = {thread.name for thread in threading.enumerate()} - before
        return not [name for name in names if name.startswith("ads")]

    await wait_until_async(ended, WAIT_S, "the server's threads to end")


async def test_a_new_server_replaces_the_socket_of_a_dead_one(directory: Path) -> None:
    for _ in range(2):
        async with listening(directory) as it:
            client = Client(it.path)
            client.ask(TypeUrl.CLUSTER)
            await it.told(DeltaRequest)
            client.close()


async def test_a_socket_has_one_server_at_a_time(directory: Path) -> None:
    async with listening(directory):
        with pytest.raises(InputError, match="serves this node already"):
            await Listening(directory).server.run()


async def test_a_path_too_long_for_a_socket_is_said_so(directory: Path) -> None:
    server = AdsServer(directory / ("x" * 100) / "ads.sock", lambda _event: None)
    with pytest.raises(InputError, match="at most 107 are allowed"):
        await server.run()


async def test_the_driver_answers_within_the_call_that_brings_the_change(directory: Path) -> None:
    reports: list[Report] = []
    driver = AdsDriver(directory / "ads.sock", reports.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        client = Client(directory / "ads.sock")
        client.ask(TypeUrl.CLUSTER)
        client.ask(TypeUrl.LISTENER)
        driver.desire(DesiredChange("e@1"))
        for _ in range(2):
            answer = await client.next()
            client.ask(answer.type_url, nonce=answer.nonce)
        await wait_until_async(lambda: InForce("e@1") in reports, WAIT_S, "in force")
        assert driver.view().node_id == "test"
        assert isinstance(reports[0], StreamOpened)
        client.close()
        nursery.cancel_scope.cancel()


class Reporter:
    """A stream of load reports whose requests are put and whose wishes are got by the test."""

    def __init__(self, path: Path) -> None:
        self.channel = grpc.insecure_channel(
            f"unix:{path}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self.outbox: queue.Queue[Any] = queue.Queue()
        stub = lrs_pb2_grpc.LoadReportingServiceStub(self.channel)
        self.call = stub.StreamLoadStats(iter(self.outbox.get, None))
        self.outbox.put(lrs_pb2.LoadStatsRequest())

    def tell(self, cluster: str, port: int, ok: int) -> None:
        request = lrs_pb2.LoadStatsRequest()
        locality = request.cluster_stats.add(cluster_name=cluster).upstream_locality_stats.add()
        row = locality.upstream_endpoint_stats.add(total_successful_requests=ok)
        row.address.socket_address.address = "10.0.0.1"
        row.address.socket_address.port_value = port
        self.outbox.put(request)

    async def wish(self) -> Any:
        with trio.fail_after(WAIT_S):
            return await trio.to_thread.run_sync(next, self.call)

    def close(self) -> None:
        self.outbox.put(None)
        self.call.cancel()
        self.channel.close()


@asynccontextmanager
async def reporting(
    directory: Path, told: list[LoadReported]
) -> AsyncIterator[tuple[AdsServer, Path]]:
    path = directory / "run" / "ads.sock"
    server = AdsServer(path, lambda _: None, told.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield server, path
        nursery.cancel_scope.cancel()


async def test_load_reports_are_told_and_wishes_reach_the_reporter(directory: Path) -> None:
    told: list[LoadReported] = []
    async with reporting(directory, told) as (server, path):
        reporter = Reporter(path)
        assert list((await reporter.wish()).clusters) == []
        server.report(Reporting(("a", "b"), 0.5))
        wish = await reporter.wish()
        assert list(wish.clusters) == ["a", "b"]
        assert wish.report_endpoint_granularity
        assert wish.load_reporting_interval.ToMilliseconds() == 500
        reporter.tell("a", 80, 3)
        load = EndpointLoad("a", Place("10.0.0.1", 80), ok=3)
        await wait_until_async(lambda: told and told[-1].loads == (load,), WAIT_S, "the report")
        assert [report.is_first for report in told] == [True, False, False]
        reporter.close()


async def test_a_reporter_that_comes_back_is_asked_for_the_same_and_the_newest_wins(
    directory: Path,
) -> None:
    told: list[LoadReported] = []
    async with reporting(directory, told) as (server, path):
        server.report(Reporting(("a",), 0.5))
        first = Reporter(path)
        assert list((await first.wish()).clusters) == ["a"]
        second = Reporter(path)
        assert list((await second.wish()).clusters) == ["a"]
        with pytest.raises((grpc.RpcError, StopIteration, RuntimeError)):
            await first.wish()
        assert {report.stream for report in told if report.is_first} == {1, 2}
        for one in (first, second):
            one.close()


async def test_an_open_stream_of_reports_does_not_hold_up_the_end(directory: Path) -> None:
    with trio.fail_after(WAIT_S):
        async with reporting(directory, []) as (_, path):
            reporter = Reporter(path)
            await reporter.wish()
            began_s = trio.current_time()
    assert trio.current_time() - began_s < 1.5
    reporter.close()


async def test_an_envoy_that_was_taken_over_from_is_turned_away(directory: Path) -> None:
    """By what its first request says of its node; the stream of the one that is served stays."""
    path, events = directory / "run" / "ads.sock", list[StreamEvent]()
    served = [0]
    async with trio.open_nursery() as nursery:
        server = AdsServer(path, events.append, generation=lambda: served[0])
        await nursery.start(server.run)
        old = Client(path)
        old.ask(TypeUrl.CLUSTER)
        await wait_until_async(lambda: len(events) >= 2, WAIT_S, "the old one's request")
        served[0] = 1
        new = Client(path)
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=TypeUrl.CLUSTER)
        request.node.metadata.fields[GENERATION].number_value = 1
        new.outbox.put(request)
        await wait_until_async(
            lambda: any(isinstance(event, StreamClosed) for event in events), WAIT_S, "its end"
        )
        opened = [event.stream for event in events if isinstance(event, StreamOpened)]
        again = Client(path)
        again.ask(TypeUrl.CLUSTER)
        with pytest.raises(grpc.RpcError, match="taken over"):
            await again.next()
        server.send(response(opened[-1], "n1"))
        assert (await new.next()).nonce == "n1"
        assert [event.stream for event in events if isinstance(event, StreamOpened)] == opened
        for client in (old, new, again):
            client.close()
        nursery.cancel_scope.cancel()
