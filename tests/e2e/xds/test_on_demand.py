"""On-demand virtual hosts on the shipped Envoy: each rule 12a to 12h of docs/xds.md."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest
import trio

from sidecar.xds.events import AskVirtualHosts, SessionState
from sidecar.xds.resource import Resource, TypeUrl
from sidecar.xds.session_order import ASKED_WAIT_S
from tests.harness.envoys import Lab, bare_lab, open_lab
from tests.harness.http2 import connect_http2
from tests.harness.processes import free_port, wait_until_async
from tests.harness.upstreams import Upstream, request, upstream
from tests.harness.xds_resources import (
    alias_only,
    cluster,
    endpoints,
    http2,
    listener,
    routes,
    tcp_listener,
    unresolvable,
    virtual_host,
)

pytestmark = pytest.mark.real

COLD_S = 5.0
"""A bound for what takes milliseconds on an idle machine."""


def asks(lab: Lab) -> list[str]:
    """Authorities asked for so far."""
    return [name.partition("/")[2] for told in lab.of(AskVirtualHosts) for name in told.names]


@asynccontextmanager
async def cold_mesh(
    *names: str, **fields: object
) -> AsyncIterator[tuple[Lab, tuple[Upstream, ...]]]:
    """An Envoy that has a listener only; hosts `names` are there for the asking, others are unknown."""
    async with upstream(*names) as servers, open_lab() as lab:
        ports = {server.name: server.port for server in servers}

        def answer(asked: tuple[str, ...]) -> Iterable[Resource]:
            for name in asked:
                host = name.partition("/")[2]
                if host in ports:
                    yield cluster(host)
                    yield endpoints(host, ports[host])
                    yield replace(virtual_host(name, host, to=host), needs=frozenset({host}))
                else:
                    yield alias_only(name)

        lab.answer = answer
        await lab.put(
            listener("out", lab.port, "outbound", on_demand=True, **fields),
            routes("outbound", vhds=True),
        )
        yield lab, servers


async def test_a_cold_host_is_asked_for_once_and_served_with_all_that_it_needs_12d() -> None:
    async with cold_mesh("a", "b") as (lab, _):
        first = await request(lab.port, "a")
        assert (first.text, first.took_s < COLD_S) == ("a", True)
        assert (await request(lab.port, "a")).text == "a"
        assert (await request(lab.port, "b")).text == "b"
        assert asks(lab) == ["a", "b"]


async def test_authorities_are_asked_for_as_sent_in_lower_case_with_their_port() -> None:
    async with cold_mesh("a:80") as (lab, _):
        assert (await request(lab.port, "A:80")).text == "a:80"
        assert asks(lab) == ["a:80"]


async def test_a_loaded_wildcard_swallows_later_asks_12a() -> None:
    async with cold_mesh("b.foo.com") as (lab, _):
        await lab.put(virtual_host("outbound/*.foo.com", "*.foo.com", text="wild"))
        assert (await request(lab.port, "b.foo.com")).text == "wild"
        assert asks(lab) == []


async def test_a_listener_is_ready_without_any_virtual_host_12b() -> None:
    async with cold_mesh() as (lab, _):
        assert (await request(lab.port, "nobody")).status == 404


async def test_an_empty_first_answer_about_virtual_hosts_stalls_the_listener_12b() -> None:
    async with bare_lab() as bare:
        await bare.asked(TypeUrl.CLUSTER)
        bare.send(TypeUrl.CLUSTER)
        await bare.give(TypeUrl.LISTENER, listener("out", bare.port, "r", on_demand=True))
        await bare.give(TypeUrl.ROUTES, routes("r", vhds=True))
        await bare.asked(TypeUrl.VIRTUAL_HOST)
        await bare.answered(bare.send(TypeUrl.VIRTUAL_HOST))
        await trio.sleep(0.5)
        assert (await request(bare.port, "x")).status == 0, "nobody listens"
        await bare.answered(bare.send(TypeUrl.VIRTUAL_HOST, virtual_host("r/x", "x", text="x")))
        assert (await request(bare.port, "x")).text == "x"


async def test_an_unknown_host_gets_404_and_its_routes_when_it_appears_12c() -> None:
    async with cold_mesh() as (lab, _):
        assert (await request(lab.port, "late")).status == 404
        await lab.put(virtual_host("outbound/late", "late", text="now"))
        assert (await request(lab.port, "late")).text == "now"
        assert asks(lab) == ["late"]


async def test_removed_resources_as_the_answer_make_the_request_hang_12c() -> None:
    async with bare_lab() as bare:
        await bare.serve(
            [], [], listener("out", bare.port, "r", on_demand=True), routes("r", vhds=True)
        )
        await bare.asked(TypeUrl.VIRTUAL_HOST)
        await bare.answered(bare.send(TypeUrl.VIRTUAL_HOST, removed=["r/-"]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(request, bare.port, "x")
            await bare.asked(TypeUrl.VIRTUAL_HOST, "r/x")
            bare.send(TypeUrl.VIRTUAL_HOST, removed=["r/x"])
            with trio.move_on_after(1) as scope:
                await request(bare.port, "x")
            assert scope.cancelled_caught
            nursery.cancel_scope.cancel()


async def test_the_mirror_of_a_cold_host_gets_its_copies_12d() -> None:
    async with cold_mesh("main", "copy") as (lab, (_, copy)):
        answer = lab.answer
        assert answer is not None

        def with_mirror(names: tuple[str, ...]) -> Iterable[Resource]:
            yield cluster("copy")
            yield endpoints("copy", copy.port)
            for resource in answer(names):
                if resource.type_url is not TypeUrl.VIRTUAL_HOST:
                    yield resource
            mirrors = [
                {"cluster": "copy", "runtime_fraction": {"default_value": {"numerator": 100}}}
            ]
            yield virtual_host(names[0], "main", to="main", request_mirror_policies=mirrors)

        lab.answer = with_mirror
        for _ in range(5):
            assert (await request(lab.port, "main")).text == "main"
        await wait_until_async(lambda: copy.hits == 5, COLD_S, "five copies")


async def test_later_changes_reach_what_was_loaded_on_demand_12d() -> None:
    async with cold_mesh("a", "b") as (lab, (_, b)):
        assert (await request(lab.port, "a")).text == "a"
        await lab.put(endpoints("a", b.port))
        assert (await request(lab.port, "a")).text == "b"
        await lab.put(cluster("a", connect_timeout="3s"))
        assert (await request(lab.port, "a")).text == "b"


async def test_a_removed_virtual_host_is_not_asked_for_again_12e() -> None:
    async with cold_mesh("a") as (lab, _):
        assert (await request(lab.port, "a")).text == "a"
        await lab.put(remove=[(TypeUrl.VIRTUAL_HOST, "outbound/a")])
        assert (await request(lab.port, "a")).status == 404
        assert asks(lab) == ["a"]


async def test_a_body_less_answer_does_not_take_back_a_loaded_host_but_an_explicit_404_does() -> (
    None
):
    async with cold_mesh("a") as (lab, _):
        assert (await request(lab.port, "a")).text == "a"
        await lab.put(alias_only("outbound/a"))
        assert (await request(lab.port, "a")).text == "a"
        await lab.put(virtual_host("outbound/a", "a", status=404, text="no such host"))
        assert (await request(lab.port, "a")).text == "no such host"


async def test_a_base_star_switches_asking_off_12f() -> None:
    async with cold_mesh("a") as (lab, _):
        await lab.put(routes("outbound", vhds=True, star={"status": 404}))
        assert (await request(lab.port, "a")).status == 404
        assert asks(lab) == []


async def test_a_cold_request_while_the_sidecar_is_away_is_served_when_it_returns_12g() -> None:
    async with cold_mesh("a") as (lab, _):
        lab.kill_driver()
        texts: list[str] = []

        async def ask() -> None:
            texts.append((await request(lab.port, "a")).text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.7)
            assert texts == []
            await lab.start_driver()
            lab.desire(
                listener("out", lab.port, "outbound", on_demand=True), routes("outbound", vhds=True)
            )
        assert texts == ["a"]


async def test_a_cold_request_gets_504_within_the_idle_timeout_when_nobody_returns_12g() -> None:
    async with cold_mesh("a", stream_idle_timeout="2s") as (lab, _):
        lab.kill_driver()
        answer = await request(lab.port, "a")
        assert answer.status == 504
        assert answer.took_s < 5


async def test_hosts_loaded_on_demand_survive_a_sidecar_restart_untouched() -> None:
    async with cold_mesh("a", "b") as (lab, servers):
        assert (await request(lab.port, "a")).text == "a"
        lab.kill_driver()
        lab.said.clear()
        await lab.start_driver()
        lab.desire(
            listener("out", lab.port, "outbound", on_demand=True), routes("outbound", vhds=True)
        )
        await wait_until_async(lambda: asks(lab) == ["a"], COLD_S, "the session to ask for a")
        assert (await request(lab.port, "a")).text == "a"
        assert (await request(lab.port, "b")).text == "b"
        await lab.settled()
        assert await lab.stat("cluster_manager.cluster_modified") == 0
        assert servers[0].connections == 1


async def test_a_thousand_unknown_names_are_each_answered_12f() -> None:
    async with cold_mesh() as (lab, _):
        statuses: list[int] = []
        limit = trio.CapacityLimiter(20)

        async def ask(host: str) -> None:
            async with limit:
                statuses.append((await request(lab.port, host)).status)

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(ask, f"random-{number}.example")
        assert statuses == [404] * 1000


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
async def test_bodies_sent_to_a_cold_host_arrive_whole(size: int) -> None:
    async with cold_mesh("a") as (lab, (a,)):
        body = bytes(size)
        answer = await request(lab.port, "a", method="POST", body=body)
        assert answer.text == "a"
        assert [len(got) for got in a.bodies] == [size]


async def test_a_body_that_follows_its_headers_later_arrives_whole() -> None:
    async with cold_mesh("a") as (lab, (a,)):
        answer = await request(lab.port, "a", method="POST", body=b"late" * 1000, body_after_s=0.3)
        assert answer.text == "a"
        assert a.bodies == [b"late" * 1000]


async def test_many_cold_hosts_at_once_do_not_stall_12h() -> None:
    names = [f"h{number}" for number in range(30)]
    async with cold_mesh(*names) as (lab, _):
        began = trio.current_time()
        texts: list[str] = []

        async def ask(host: str) -> None:
            texts.append((await request(lab.port, host)).text)

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(ask, name)
        assert sorted(texts) == sorted(names)
        assert trio.current_time() - began < COLD_S


async def test_an_upgrade_to_a_cold_host_goes_through() -> None:
    async with cold_mesh("a", upgrade_configs=[{"upgrade_type": "websocket"}]) as (lab, _):
        (tunnel,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def echo(stream: trio.SocketStream) -> None:
            await stream.receive_some(65536)
            await stream.send_all(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
            )
            while chunk := await stream.receive_some(65536):
                await stream.send_all(chunk)

        def answer(names: tuple[str, ...]) -> Iterable[Resource]:
            yield cluster("ws")
            yield endpoints("ws", tunnel.socket.getsockname()[1])
            yield virtual_host(names[0], "ws", to="ws")

        lab.answer = answer
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, echo, [tunnel])
            client = await trio.open_tcp_stream("127.0.0.1", lab.port)
            async with client:
                await client.send_all(
                    b"GET / HTTP/1.1\r\nhost: ws\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
                )
                with trio.fail_after(COLD_S):
                    assert (await client.receive_some(65536)).startswith(b"HTTP/1.1 101")
                    await client.send_all(b"ping")
                    assert await client.receive_some(65536) == b"ping"
            nursery.cancel_scope.cancel()


def _call(port: int, authority: str, message: bytes) -> bytes:
    options = [("grpc.default_authority", authority)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        reply = channel.unary_unary("/test.Echo/Say")(message, timeout=COLD_S)
    assert isinstance(reply, bytes)
    return reply


async def test_grpc_to_a_cold_host_goes_through() -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    echo = grpc.unary_unary_rpc_method_handler(lambda message, _context: message + b"!")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.Echo", {"Say": echo}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        async with cold_mesh() as (lab, _):

            def answer(names: tuple[str, ...]) -> Iterable[Resource]:
                yield cluster("echo", **http2())
                yield endpoints("echo", port)
                yield virtual_host(names[0], "echo", to="echo")

            lab.answer = answer
            big = b"x" * 200_000
            reply = await trio.to_thread.run_sync(_call, lab.port, "echo", big)
            assert reply == big + b"!"
            assert asks(lab) == ["echo"]
    finally:
        server.stop(0).wait()


async def test_tcp_on_demand_asks_for_its_cluster_and_an_unknown_one_closes_the_connection() -> (
    None
):
    """Envoy subscribes to the cluster by name beside its wildcard; "there is none" is final for that connection."""
    async with cold_mesh("a") as (lab, (a,)):
        port = free_port()
        source = {"ads": {}, "resource_api_version": "V3"}
        await lab.put(tcp_listener("tcp", port, "cold", on_demand={"odcds_config": source}))
        assert (await request(port, "x")).status == 0
        assert "<- Cluster +cold" in lab.dialogue()
        await lab.put(cluster("cold"), endpoints("cold", a.port))
        assert (await request(port, "x")).text == "a"


async def test_a_cluster_that_cannot_warm_does_not_hold_up_cold_hosts() -> None:
    """Envoy withholds every ACK of clusters meanwhile; that of endpoints tells which ones are warm."""
    async with cold_mesh("a", "b", "c") as (lab, _):
        assert (await request(lab.port, "a")).text == "a"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            lab.desire(unresolvable("slow", silent.getsockname()[1]))

            async def warming() -> bool:
                return await lab.stat("cluster_manager.warming_clusters") == 1

            await wait_until_async(warming, COLD_S, "the cluster to warm")
            for host in ("b", "c"):
                answer = await request(lab.port, host)
                assert (answer.text, answer.took_s < ASKED_WAIT_S) == (host, True)
            assert await warming()
            assert lab.driver.view().state is SessionState.WARMING


async def test_trailers_of_a_request_end_its_wait_for_a_cold_host_12i() -> None:
    """Envoy's filter passes trailers on before there is a route. Later requests of the host are whole."""

    def ask(port: int) -> list[str]:
        with connect_http2(port) as client:
            cold = client.send("a", "/", method="POST", body=b"x", trailers=[("x-end", "1")])
            first = client.wait(cold).headers[":status"]
            client.wait(client.send("a", "/"))
            again = client.send("a", "/", method="POST", body=b"x", trailers=[("x-end", "1")])
            return [first, client.wait(again).headers[":status"]]

    async with cold_mesh("a") as (lab, _):
        assert await trio.to_thread.run_sync(ask, lab.port) == ["404", "200"]
