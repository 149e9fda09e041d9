"""Facts M1 to M12 about the shipped Envoy, each seen with a server that says only what the test tells it.

They are the reasons for the session's rules (docs/xds.md); when a new Envoy changes one, its test says so.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from sidecar.xds.resource import Resource, TypeUrl
from tests.harness.envoys import Bare, bare_lab
from tests.harness.processes import wait_until_async
from tests.harness.upstreams import Upstream, request, upstream
from tests.harness.xds_resources import (
    cluster,
    endpoints,
    listener,
    routes,
    tcp_listener,
    virtual_host,
)

pytestmark = pytest.mark.real

CDS, EDS, LDS, RDS, VHDS = (
    TypeUrl.CLUSTER,
    TypeUrl.ENDPOINTS,
    TypeUrl.LISTENER,
    TypeUrl.ROUTES,
    TypeUrl.VIRTUAL_HOST,
)


async def serve_one(bare: Bare, server: Upstream, **fields: Any) -> None:
    """Cluster `a` with one endpoint behind a listener and route configuration `r`."""
    await bare.serve(
        [endpoints("a", server.port)],
        [cluster("a", **fields)],
        listener("out", bare.port, "r"),
        routes("r", star={"to": "a"}),
    )
    assert (await request(bare.port, "any")).text == server.name


async def warming(bare: Bare) -> int:
    return await bare.stat("cluster_manager.warming_clusters")


async def is_warming(bare: Bare) -> bool:
    return await warming(bare) == 1


async def is_warm(bare: Bare) -> bool:
    return await warming(bare) == 0


async def test_m1_m2_a_changed_cluster_warms_unasked_and_its_ack_is_withheld() -> None:
    async with upstream("one") as (one,), bare_lab() as bare:
        await serve_one(bare, one, eds_timeout="2s")
        before = len(bare.requests)
        nonce = bare.send(CDS, cluster("a", eds_timeout="2s", connect_timeout="3s"))
        await wait_until_async(lambda: is_warming(bare), 5, "the cluster to warm")
        for _ in range(10):
            assert (await request(bare.port, "any")).text == "one", (
                "the old cluster serves meanwhile"
            )
        new = bare.requests[before:]
        assert not [asked for asked in new if asked.type_url == EDS], "endpoints are not asked for"
        assert not bare.has_answered(nonce)
        assert (await bare.answered(nonce)).error is None, "acknowledged once the fetch timed out"
        assert await bare.stat("cluster.a.init_fetch_timeout") == 1
        assert await bare.stat("cluster.a.assignment_use_cached") == 1


async def test_m1_a_changed_cluster_followed_by_the_same_endpoints_is_in_force_at_once() -> None:
    async with upstream("one") as (one,), bare_lab() as bare:
        await serve_one(bare, one)
        began = trio.current_time()
        nonce = bare.send(CDS, cluster("a", connect_timeout="3s"))
        bare.send(EDS, endpoints("a", one.port))
        await bare.answered(nonce)
        assert trio.current_time() - began < 1
        assert await warming(bare) == 0
        assert [(await request(bare.port, "any")).status for _ in range(20)] == [200] * 20


async def test_m3_after_a_reconnect_clusters_are_not_asked_for_while_one_warms() -> None:
    async with upstream("one") as (one,), bare_lab() as bare:
        await serve_one(bare, one, eds_timeout="3s")
        bare.send(CDS, cluster("a", eds_timeout="3s", connect_timeout="3s"))
        await wait_until_async(lambda: is_warming(bare), 5, "the cluster to warm")
        bare.kill_server()
        await bare.start_server()
        await bare.asked(LDS)
        first = bare.requests[0]
        assert first.type_url == EDS
        assert first.node_id == "node", "the node rides on whatever comes first"
        assert not [asked for asked in bare.requests if asked.type_url == CDS]
        await bare.asked(CDS)
        assert await is_warm(bare)


async def test_m4_a_changed_cluster_forgets_ejections_and_connections_and_health_re_imposes() -> (
    None
):
    async with upstream("good", "bad") as (good, bad), bare_lab() as bare:
        bad.status = 503
        detection = {
            "consecutive_5xx": 1,
            "max_ejection_percent": 100,
            "interval": "60s",
            "base_ejection_time": "60s",
        }
        await bare.serve(
            [endpoints("a", good.port, bad.port)],
            [cluster("a", outlier_detection=detection)],
            listener("out", bare.port, "r"),
            routes("r", star={"to": "a"}),
        )

        async def ejected() -> bool:
            await request(bare.port, "any")
            return await bare.stat("cluster.a.outlier_detection.ejections_active") == 1

        await wait_until_async(ejected, 10, "an ejection")
        opened = good.connections
        changed = cluster("a", outlier_detection=detection, connect_timeout="3s")
        nonce = bare.send(CDS, changed)
        bare.send(EDS, endpoints("a", good.port, bad.port, unhealthy=(bad.port,)))
        await bare.answered(nonce)
        assert await bare.stat("cluster.a.outlier_detection.ejections_active") == 0
        answers = [(await request(bare.port, "any")).text for _ in range(10)]
        assert answers == ["good"] * 10
        assert good.connections > opened


async def test_m5_the_same_body_under_another_version_changes_nothing() -> None:
    async with upstream("one") as (one,), bare_lab() as bare:
        await serve_one(bare, one)
        opened = one.connections
        same = cluster("a")
        answer = await bare.answered(bare.send(CDS, Resource(CDS, "a", "other", same.body)))
        assert answer.error is None
        assert await warming(bare) == 0
        assert (await request(bare.port, "any")).text == "one"
        assert one.connections == opened
        assert await bare.stat("cluster_manager.cluster_modified") == 0


async def test_m6_a_decode_error_refuses_the_good_sibling_too() -> None:
    async with bare_lab() as bare:
        await bare.serve([], [], listener("out", bare.port, "r"), routes("r", star={"status": 404}))
        bad = cluster("bad", type="STATIC", connect_timeout="-1s")
        answer = await bare.answered(bare.send(CDS, cluster("good", type="STATIC"), bad))
        assert answer.error is not None
        assert "Expected positive duration" in answer.error
        assert await bare.stat("cluster_manager.active_clusters") == 1, (
            "only the one of the bootstrap"
        )


async def test_m6_a_semantic_error_names_the_culprit_and_applies_the_good_sibling() -> None:
    async with bare_lab() as bare:
        await bare.serve([], [], listener("out", bare.port, "r"), routes("r", star={"status": 404}))
        host = {"endpoint": {"address": {"socket_address": {"address": "x", "port_value": 1}}}}
        assignment = {"cluster_name": "bad", "endpoints": [{"lb_endpoints": [host, host]}]}
        bad = cluster("bad", type="LOGICAL_DNS", load_assignment=assignment)
        answer = await bare.answered(bare.send(CDS, cluster("good", type="STATIC"), bad))
        assert answer.error is not None
        assert answer.error.startswith("Error adding/updating cluster(s) bad: ")
        assert await bare.stat("cluster_manager.active_clusters") == 2


async def test_m7_one_name_twice_in_a_response_is_refused() -> None:
    async with bare_lab() as bare:
        await bare.asked(CDS)
        twice = (cluster("a", type="STATIC"), cluster("a", type="STATIC", connect_timeout="2s"))
        answer = await bare.answered(bare.send(CDS, *twice))
        assert answer.error is not None
        assert "duplicate name" in answer.error


async def test_m8_routes_to_unknown_or_removed_clusters_are_accepted_and_answer_503() -> None:
    async with upstream("one") as (one,), bare_lab() as bare:
        await serve_one(bare, one)
        answer = await bare.answered(bare.send(RDS, routes("r", star={"to": "nowhere"})))
        assert answer.error is None
        assert (await request(bare.port, "any")).status == 503
        await bare.answered(bare.send(RDS, routes("r", star={"to": "a"})))
        answer = await bare.answered(bare.send(CDS, removed=["a"]))
        assert answer.error is None
        assert (await request(bare.port, "any")).status == 503


async def test_m9_removals_of_endpoints_and_routes_are_acknowledged_and_ignored() -> None:
    async with upstream("one") as (one,), bare_lab() as bare:
        await serve_one(bare, one)
        for type_url, name in ((EDS, "a"), (RDS, "r")):
            assert (await bare.answered(bare.send(type_url, removed=[name]))).error is None
            assert (await request(bare.port, "any")).text == "one"


async def test_m10_a_listener_without_routes_waits_or_answers_404_after_its_timeout() -> None:
    async with bare_lab() as bare:
        await bare.asked(CDS)
        bare.send(CDS)
        await bare.asked(LDS)
        bare.send(LDS, listener("out", bare.port, "never", rds_timeout="1s"))
        await bare.asked(RDS, "never")
        assert (await request(bare.port, "any")).status == 0, "nobody listens yet"

        async def answers_404() -> bool:
            return (await request(bare.port, "any")).status == 404

        await wait_until_async(answers_404, 10, "404 after the fetch timeout")


async def test_m10_with_no_timeout_the_old_routes_serve_until_the_new_ones_come() -> None:
    async with upstream("one") as (one,), bare_lab() as bare:
        await serve_one(bare, one)
        await bare.answered(bare.send(LDS, listener("out", bare.port, "r2")))
        await bare.asked(RDS, "r2")
        await trio.sleep(0.5)
        assert (await request(bare.port, "any")).text == "one"
        bare.send(RDS, routes("r2", star={"status": 200, "text": "new"}))

        async def new() -> bool:
            return (await request(bare.port, "any")).text == "new"

        await wait_until_async(new, 5, "the new routes")


async def test_m12_a_new_stream_claims_what_envoy_holds_by_type() -> None:
    async with upstream("one") as (one,), bare_lab() as bare:
        await serve_one(bare, one)
        bare.kill_server()
        await bare.start_server()
        for type_url, name, resource in (
            (CDS, "a", cluster("a")),
            (EDS, "a", endpoints("a", one.port)),
            (LDS, "out", listener("out", bare.port, "r")),
            (RDS, "r", routes("r", star={"to": "a"})),
        ):
            asked = await bare.asked(type_url)
            assert dict(asked.initial_versions) == {name: resource.version}
            wildcard = type_url in (CDS, LDS)
            assert asked.subscribe == (() if wildcard else (name,))


async def test_a_tcp_listener_is_in_force_with_its_cluster() -> None:
    async with upstream("one") as (one,), bare_lab() as bare:
        await bare.asked(CDS)
        bare.send(CDS, cluster("a"))
        await bare.give(EDS, endpoints("a", one.port))
        await bare.give(LDS, tcp_listener("tcp", bare.port, "a"))
        assert (await request(bare.port, "any")).text == "one"


async def test_virtual_hosts_are_removed_by_resource_name_only_if_the_message_has_that_name() -> (
    None
):
    async with bare_lab() as bare:
        base = routes("r", vhds=True, star={"status": 404})
        await bare.serve([], [], listener("out", bare.port, "r"), base)
        await bare.asked(VHDS)
        named = virtual_host("r/named", "named", text="1")
        other = virtual_host("something else", "other", text="1")
        other = Resource(VHDS, "r/other", other.version, other.body)
        stray = virtual_host("stray", "stray", text="1")
        await bare.answered(bare.send(VHDS, named, other, stray))
        hosts = ("named", "other", "stray")
        assert [(await request(bare.port, host)).status for host in hosts] == [200, 200, 404]
        await bare.answered(bare.send(VHDS, removed=["r/named", "r/other"]))
        assert [(await request(bare.port, host)).status for host in hosts] == [404, 200, 404]


async def test_one_bad_virtual_host_refuses_all_of_its_response() -> None:
    async with bare_lab() as bare:
        base = routes("r", vhds=True, star={"status": 404})
        await bare.serve([], [], listener("out", bare.port, "r"), base)
        await bare.asked(VHDS)
        await bare.answered(bare.send(VHDS, virtual_host("r/a", "a", text="1")))
        twin = virtual_host("r/twin", "a", text="2")
        answer = await bare.answered(bare.send(VHDS, virtual_host("r/b", "b", text="1"), twin))
        assert answer.error is not None
        assert "Duplicate entry of domain a in route r" in answer.error
        assert (await request(bare.port, "b")).status == 404
