"""The session against the shipped Envoy: what its rules are good for, seen by requests (docs/xds.md, M1 to M14)."""

from __future__ import annotations

import os
import signal
import socket
import statistics

import pytest
import trio

from sidecar.xds.events import DeltaRequest, InForce, ResourceRejected, SendResponse, SessionState
from sidecar.xds.resource import Resource, TypeUrl
from sidecar.xds.session_order import WARM_WAIT_S
from tests.harness.envoys import Lab, open_lab
from tests.harness.processes import free_port, wait_until_async
from tests.harness.upstreams import Connection, Upstream, request, upstream
from tests.harness.xds_resources import (
    cluster,
    endpoints,
    listener,
    routes,
    unresolvable,
    virtual_host,
)

pytestmark = pytest.mark.real

RETURNS = 100 if os.environ.get("MESHD_TEST_DEEP") else 1


def mesh(lab: Lab, server: Upstream) -> tuple[Resource, ...]:
    """Cluster `a`, a listener, and virtual host `a` under a `*` that answers 404."""
    return (
        cluster("a"),
        endpoints("a", server.port),
        listener("out", lab.port, "outbound"),
        routes("outbound", vhds=True, star={"status": 404}),
        virtual_host("outbound/a", "a", to="a"),
    )


async def test_m1_a_changed_cluster_is_in_force_at_once() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        assert await lab.put(cluster("a", connect_timeout="3s")) < 2
        assert (await request(lab.port, "a")).text == "one"
        assert await lab.stat("cluster.a.init_fetch_timeout") == 0


async def test_m2_a_cluster_that_cannot_warm_is_told_as_warming_and_holds_up_nothing_for_long() -> (
    None
):
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            lab.desire(unresolvable("slow", silent.getsockname()[1]))
            await wait_until_async(
                lambda: lab.driver.view().state is SessionState.WARMING, 5, "the state warming"
            )
            began = trio.current_time()
            lab.desire(virtual_host("outbound/b", "b", text="b"))
            await lab.serves("b", "b", 10)
            assert trio.current_time() - began < 5
            assert lab.driver.view().in_force == "e@1"


async def test_endpoints_that_do_not_exist_end_the_warming_of_their_cluster() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        assert await lab.put(cluster("empty")) < 5, "told as removed, long before the fetch timeout"
        assert await lab.stat("cluster_manager.warming_clusters") == 0


async def test_m3_m12_a_restarted_sidecar_sends_nothing_that_envoy_has() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        state = mesh(lab, one)
        await lab.put(*state)
        connection = await Connection.open(lab.port)
        assert (await connection.ask("a")).text == "one"
        lab.kill_driver()
        lab.said.clear()
        await lab.start_driver()
        await lab.put(*state)
        assert not [item.name for sent in lab.of(SendResponse) for item in sent.resources]
        assert (await connection.ask("a")).text == "one", "the client's connection lived on"
        await connection.aclose()
        assert await lab.stat("cluster_manager.cluster_modified") == 0
        assert await lab.stat("listener_manager.listener_modified") == 0


async def test_a_restarted_sidecar_that_knows_nothing_yet_removes_nothing() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        state = mesh(lab, one)
        await lab.put(*state)
        lab.kill_driver()
        lab.said.clear()
        await lab.start_driver()
        await wait_until_async(lambda: len(lab.of(DeltaRequest)) >= 5, 10, "Envoy's requests")
        assert not lab.of(SendResponse)
        assert lab.driver.view().state is SessionState.WAITING
        assert (await request(lab.port, "a")).text == "one"
        await lab.put(*state)


async def test_a_change_made_while_the_sidecar_was_away_is_the_only_thing_sent() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        state = (*mesh(lab, one), virtual_host("outbound/old", "moved", text="old"))
        await lab.put(*state)
        lab.kill_driver()
        lab.said.clear()
        await lab.start_driver()
        await lab.put(
            *mesh(lab, one)[1:],
            cluster("a", connect_timeout="3s"),
            virtual_host("outbound/new", "moved", text="new"),
        )
        sent = [item.name for response in lab.of(SendResponse) for item in response.resources]
        assert sorted(sent) == ["a", "a", "outbound/new"], "the cluster, its endpoints, the host"
        assert (await request(lab.port, "moved")).text == "new"


async def test_m4_ejections_can_be_re_imposed_with_the_cluster_change() -> None:
    async with upstream("good", "bad") as (good, bad), open_lab() as lab:
        both = endpoints("a", good.port, bad.port)
        await lab.put(*mesh(lab, good), both)
        await lab.put(
            cluster("a", connect_timeout="3s"),
            endpoints("a", good.port, bad.port, unhealthy=(bad.port,)),
        )
        answers = [(await request(lab.port, "a")).text for _ in range(10)]
        assert answers == ["good"] * 10


async def test_m6_one_bad_virtual_host_of_many_is_found_and_the_others_are_in_force() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        hosts = [virtual_host(f"outbound/h{n}", f"h{n}", text=str(n)) for n in range(40)]
        hosts[17] = virtual_host("outbound/h17", "h17", status=9)
        await lab.put(*hosts)
        (refused,) = lab.of(ResourceRejected)
        assert refused.name == "outbound/h17"
        assert "Status" in refused.detail
        assert (await request(lab.port, "h16")).text == "16"
        assert (await request(lab.port, "h18")).text == "18"
        assert (await request(lab.port, "h17")).status == 404


async def test_m6_a_refused_cluster_keeps_its_last_accepted_version_in_force() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        await lab.put(
            cluster("a", connect_timeout="-1s"), virtual_host("outbound/b", "b", text="b")
        )
        (refused,) = lab.of(ResourceRejected)
        assert (refused.type_url, refused.name) == (TypeUrl.CLUSTER, "a")
        assert (await request(lab.port, "a")).text == "one"
        assert (await request(lab.port, "b")).text == "b"
        await lab.put(cluster("a", connect_timeout="4s"))
        assert lab.driver.view().rejected == ()


async def test_a_listener_on_a_port_in_use_is_refused_and_the_others_serve() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        taken = listener("taken", one.port, "outbound")
        await lab.put(*mesh(lab, one), taken)
        (refused,) = lab.of(ResourceRejected)
        assert refused.name == "taken"
        assert (await request(lab.port, "a")).text == "one"


async def test_m8_switching_to_a_new_cluster_and_dropping_the_old_one_fails_no_request() -> None:
    async with upstream("0", "1") as servers, open_lab() as lab:
        await lab.put(*mesh(lab, servers[0]))
        statuses: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_for_ever, lab.port, statuses)
            old = "a"
            for turn in range(1, 15):
                new = f"c{turn}"
                gone = [(TypeUrl.CLUSTER, old), (TypeUrl.ENDPOINTS, old)]
                await lab.put(
                    cluster(new),
                    endpoints(new, servers[turn % 2].port),
                    virtual_host("outbound/a", "a", to=new),
                    remove=gone,
                )
                old = new
                await trio.sleep(0.03)

            async def is_alone() -> bool:
                return await lab.stat("cluster_manager.active_clusters") == 2

            await wait_until_async(is_alone, 20, "the new cluster and our own to be all")
            nursery.cancel_scope.cancel()
        assert len(statuses) > 50
        assert set(statuses) == {200}


async def _ask_for_ever(port: int, statuses: list[int]) -> None:
    connection = await Connection.open(port)
    try:
        while True:
            statuses.append((await connection.ask("a")).status)
    finally:
        await connection.aclose()


async def test_m9_endpoints_are_taken_away_by_an_empty_assignment() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        await lab.put(endpoints("a"))
        assert (await request(lab.port, "a")).status == 503


async def test_m10_a_new_listener_serves_as_soon_as_it_is_in_force() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        second = free_port()
        await lab.put(listener("in", second, "inbound"), routes("inbound", star={"to": "a"}))
        assert (await request(second, "whatever")).text == "one"


async def test_a_listener_removed_and_added_again_gets_its_virtual_hosts_again() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        await lab.put(remove=[(TypeUrl.LISTENER, "out")])
        again = free_port()
        await lab.put(listener("again", again, "outbound"))
        assert (await request(again, "a")).text == "one"


async def test_route_configurations_with_virtual_hosts_can_be_added_one_after_another() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        second = free_port()
        await lab.put(
            listener("http.80", second, "http.80"),
            routes("http.80", vhds=True, star={"status": 404}),
            virtual_host("http.80/x", "x", text="x"),
        )
        assert (await request(second, "x")).text == "x"
        assert (await request(second, "a")).status == 404
        third = free_port()
        await lab.put(
            listener("http.81", third, "http.81"),
            routes("http.81", vhds=True, star={"status": 404}),
        )
        assert (await request(third, "a")).status == 404, "ready without any virtual host"


async def test_m11_route_changes_keep_connections_and_listener_changes_close_them_in_time() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        connection = await Connection.open(lab.port)
        assert (await connection.ask("a")).text == "one"
        await lab.put(virtual_host("outbound/a", "a", text="changed"))
        await lab.put(routes("outbound", vhds=True, star={"status": 410}))
        answer = await connection.ask("a")
        assert answer.text == "changed"
        assert "connection" not in answer.headers
        await lab.put(listener("out", lab.port, "outbound", server_name="other"))
        assert await lab.stat("listener_manager.listener_in_place_updated") == 1
        assert (await request(lab.port, "a")).headers["server"] == "other"
        for _ in range(200):
            answer = await connection.ask("a")
            if answer.headers.get("connection") == "close":
                break
            await trio.sleep(0.02)
        assert answer.headers.get("connection") == "close"
        await connection.aclose()


async def test_routes_wait_for_clusters_though_envoy_waited_long_for_a_sidecar_that_knew_nothing() -> (
    None
):
    """One that starts with an empty disk and without etcd."""
    async with upstream("one") as (one,), open_lab() as lab:
        await lab.put(*mesh(lab, one))
        lab.kill_driver()
        await lab.start_driver()
        await wait_until_async(
            lambda: lab.driver.view().state is SessionState.WAITING, 5, "Envoy, with what it holds"
        )
        await trio.sleep(WARM_WAIT_S + 0.5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            slow = unresolvable("slow", silent.getsockname()[1])
            began = trio.current_time()
            lab.desire(*mesh(lab, one), slow, virtual_host("outbound/a", "a", to="slow"))
            answers = []
            while trio.current_time() < began + WARM_WAIT_S / 2:
                answers.append((await request(lab.port, "a")).text)
                await trio.sleep(0.01)
        assert len(answers) > 10
        assert set(answers) == {"one"}


async def test_an_envoy_that_stood_still_never_has_a_route_without_its_cluster() -> None:
    """What it was sent meanwhile it takes all at once, beside the requests that waited with it."""
    async with upstream("0", "1") as servers, open_lab() as lab:
        await lab.put(*mesh(lab, servers[0]))
        statuses: list[int] = []
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(_ask_for_ever, lab.port, statuses)
            for turn in range(1, 4):
                assert lab.process.pid is not None
                os.kill(lab.process.pid, signal.SIGSTOP)
                try:
                    lab.desire(
                        cluster(f"c{turn}"),
                        endpoints(f"c{turn}", servers[turn % 2].port),
                        virtual_host("outbound/a", "a", to=f"c{turn}"),
                    )
                    await trio.sleep(WARM_WAIT_S + 1.0)
                finally:
                    os.kill(lab.process.pid, signal.SIGCONT)
                await lab.settled()
                assert (await request(lab.port, "a")).text == f"{turn % 2}"
            nursery.cancel_scope.cancel()
        assert len(statuses) > 50
        assert set(statuses) == {200}


@pytest.mark.timeout(60 + 10 * RETURNS)
async def test_m13_envoy_is_back_soon_after_the_sidecars_return() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        state = mesh(lab, one)
        await lab.put(*state)
        took = []
        for _ in range(RETURNS):
            lab.kill_driver()
            await trio.sleep(3)
            assert (await request(lab.port, "a")).text == "one", "served while the sidecar is away"
            await lab.start_driver()
            took.append(await lab.put(*state))
        print(f"back within {max(took):.2f} s at most")
        assert max(took) < 5, "its pauses grow to one second and no further"


async def test_m14_an_endpoint_change_is_acknowledged_within_milliseconds() -> None:
    async with upstream("one", "two") as servers, open_lab() as lab:
        await lab.put(*mesh(lab, servers[0]))
        took = [await lab.put(endpoints("a", servers[turn % 2].port)) for turn in range(100)]
        assert statistics.median(took) < 0.02, "0.6 ms on an idle machine"


async def test_a_thousand_services_come_up_whole() -> None:
    async with upstream("one") as (one,), open_lab() as lab:
        names = [f"s{number}" for number in range(1000)]
        took = await lab.put(
            *mesh(lab, one),
            *(cluster(name) for name in names),
            *(endpoints(name, one.port) for name in names),
            *(virtual_host(f"outbound/{name}", name, to=name) for name in names),
        )
        assert took < 15
        assert (await request(lab.port, "s999")).text == "one"
        assert [told.label for told in lab.of(InForce)] == ["e@1"]
