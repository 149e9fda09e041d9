"""Requests through a real Envoy that holds what the compilers and the desired-state builder made of objects."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from sidecar.mesh.model import Protocol
from sidecar.outlier.events import Imposed
from sidecar.routing.table import InboundKey
from sidecar.xds.compile import Bind, InboundPort
from tests.harness.followed import follow
from tests.harness.processes import free_port, wait_until_async
from tests.harness.service_entries import service
from tests.harness.upstreams import request, upstream

pytestmark = pytest.mark.real

RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: default}
spec:
  hosts: [a]
  http:
  - match: [{headers: {cookie: {regex: "^(.*?;)?(user=jason)(;.*)?$"}}}]
    route: [{destination: {host: a, subset: v2}}]
  - match: [{uri: {prefix: /teapot}}]
    directResponse: {status: 418, body: {string: short and stout}}
  - match: [{uri: {exact: /old}}]
    redirect: {uri: /new, redirectCode: 302}
  - match: [{uri: {prefix: /broken}}]
    fault: {abort: {httpStatus: 555, percentage: {value: 100}}}
    route: [{destination: {host: a, subset: v1}}]
  - match: [{queryParams: {version: {exact: "2"}}}]
    route: [{destination: {host: a, subset: v2}}]
  - match: [{withoutHeaders: {x-stay: {}}, uri: {prefix: /away}}]
    route: [{destination: {host: b}}]
  - match: [{uri: {prefix: /split}}]
    route:
    - {destination: {host: a, subset: v1}, weight: 50}
    - {destination: {host: a, subset: v2}, weight: 50}
  - match: [{uri: {prefix: /set}}]
    headers: {response: {set: {x-said: "yes"}}}
    route: [{destination: {host: a, subset: v1}}]
  - route: [{destination: {host: a, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: default}
spec:
  host: a
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""


@pytest.mark.parametrize("budget", [500, 0], ids=["whole", "on demand"])
async def test_rules_steer_requests(budget: int) -> None:
    async with (
        upstream("one", "two", "b") as (one, two, b),
        follow(
            service("a", (one.port, "v1"), (two.port, "v2")),
            service("b", (b.port, "v1")),
            RULES,
            budget_services=budget,
        ) as host,
    ):
        assert (await host.get("a:9080")).text == "one"
        assert (await host.get("a", headers={"cookie": "x=1;user=jason"})).text == "two"
        assert (await host.get("a.default.svc.cluster.local:9080", "/?version=2")).text == "two"
        teapot = await host.get("A:9080", "/teapot")
        assert (teapot.status, teapot.text) == (418, "short and stout")
        moved = await host.get("a:9080", "/old")
        assert (moved.status, moved.headers["location"]) == (302, "http://a:9080/new")
        assert (await host.get("a:9080", "/broken")).status == 555
        assert (await host.get("a:9080", "/away")).text == "b"
        assert (await host.get("a:9080", "/away", headers={"x-stay": "1"})).text == "one"
        assert (await host.get("a:9080", "/set")).headers["x-said"] == "yes"
        counts = Counter([(await host.get("a:9080", "/split")).text for _ in range(60)])
        assert min(counts["one"], counts["two"]) >= 10, counts
        # The form that a proxy is asked in.
        assert (await host.get("a:9080", "http://a:9080/x")).text == "one"


@pytest.mark.parametrize("budget", [500, 0], ids=["whole", "on demand"])
async def test_connect_reaches_the_service_byte_by_byte(budget: int) -> None:
    async with (
        upstream("one") as (one,),
        follow(service("a", (one.port, "v1")), budget_services=budget) as host,
    ):
        for authority in ("a:9080", f"127.0.0.1:{one.port}"):
            stream = await trio.open_tcp_stream("127.0.0.1", host.lab.port)
            async with stream:
                await stream.send_all(
                    f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
                )
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
                await stream.send_all(b"GET / HTTP/1.1\r\nHost: inner\r\n\r\n")
                assert b"one" in await stream.receive_some()


@pytest.mark.parametrize("budget", [500, 0], ids=["whole", "on demand"])
async def test_unknown_hosts_pass_through_but_never_round_in_a_circle(budget: int) -> None:
    async with upstream("outside") as (outside,), follow(budget_services=budget) as host:
        assert (await host.get(f"127.0.0.1:{outside.port}")).text == "outside"
        assert (await host.get(f"localhost:{outside.port}")).text == "outside"
        assert (await host.get(f"127.0.0.1:{host.lab.port}")).status == 403
        assert (await host.get(f"localhost:{host.lab.port}")).status == 403
        assert await host.lab.stat("http.outbound.rbac.loops.denied") == 2


CLOSED = """
apiVersion: meshd.io/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
"""


@pytest.mark.parametrize("budget", [500, 0], ids=["whole", "on demand"])
async def test_a_closed_mesh_refuses_unknown_hosts_until_it_is_opened(budget: int) -> None:
    async with (
        upstream("outside") as (outside,),
        follow(CLOSED, budget_services=budget) as host,
    ):
        name = f"127.0.0.1:{outside.port}"
        refused = await host.get(name)
        assert (refused.status, "REGISTRY_ONLY" in refused.text) == (502, True)
        await host.put(CLOSED.replace("REGISTRY_ONLY", "ALLOW_ANY"))
        assert (await host.get(name)).text == "outside"


async def test_a_host_asked_for_too_early_is_served_once_it_exists() -> None:
    async with (
        upstream("one") as (one,),
        follow(CLOSED, budget_services=0, unknown_hosts_max=1) as host,
    ):
        assert (await host.get("a.default:9080")).status == 502
        assert (await host.get("b.default:9080")).status == 404
        await host.put(service("a", (one.port, "v1")), service("b", (one.port, "v1")))
        assert (await host.get("a.default:9080")).text == "one"
        assert (await host.get("b.default:9080")).text == "one"
        await host.delete("ns/default/serviceentries/a")
        assert (await host.get("a.default:9080")).status == 502


async def test_endpoints_marked_unhealthy_get_no_requests_and_return_without_a_new_cluster() -> (
    None
):
    async with (
        upstream("one", "two") as (one, two),
        follow(service("a", (one.port, "v1"), (two.port, "v1"))) as host,
    ):
        name = "a.default.svc.cluster.local"
        added = await host.lab.stat("cluster_manager.cluster_added")
        await host.impose(name, {one.port: Imposed.EJECTED})
        assert {(await host.get("a:9080")).text for _ in range(10)} == {"two"}
        await host.impose(name, dict.fromkeys((one.port, two.port), Imposed.EJECTED))
        assert (await host.get("a:9080")).status == 503
        await host.impose(name, {})
        answers = Counter([(await host.get("a:9080")).text for _ in range(30)])
        assert set(answers) == {"one", "two"}
        assert await host.lab.stat("cluster_manager.cluster_added") == added
        assert await host.lab.stat("cluster_manager.cluster_modified") == 0


TIMEOUT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: default}
spec:
  hosts: [a.default.svc.cluster.local]
  http: [{route: [{destination: {host: a}}], timeout: 0.5s, retries: {attempts: 0}}]
"""


async def test_the_timeout_of_a_route_ends_requests_and_without_one_they_may_take_long() -> None:
    async with (
        upstream("one") as (one,),
        follow(service("a", (one.port, "v1")), TIMEOUT) as host,
    ):
        one.delay_s = 3.0
        late = await host.get("a:9080")
        assert (late.status, late.took_s < 2.0) == (504, True), late
        await host.delete("ns/default/virtualservices/a")
        assert (await host.get("a:9080")).text == "one"


async def test_a_subset_and_the_route_to_it_may_come_in_any_order() -> None:
    rules, policy = RULES.split("---")
    async with (
        upstream("one", "two") as (one, two),
        follow(service("a", (one.port, "v1"), (two.port, "v2"))) as host,
    ):
        await host.put(rules)
        assert (await host.get("a:9080")).status == 503
        await host.put(policy)
        assert (await host.get("a:9080")).text == "one"


async def test_crossing_the_budget_drains_nothing_and_serves_on() -> None:
    async with (
        upstream("one", "two") as (one, two),
        follow(service("a", (one.port, "v1")), budget_services=1) as host,
    ):
        assert (await host.get("a:9080")).text == "one"
        await host.put(service("b", (two.port, "v1")))
        assert host.builder.on_demand == {""}
        for name, text in (
            ("a:9080", "one"),
            ("a", "one"),
            ("a.default.svc.cluster.local:9080", "one"),
            ("b:9080", "two"),
        ):
            assert (await host.get(name)).text == text, name
        assert await host.lab.stat("listener_manager.listener_modified") == 0
        assert await host.lab.stat("listener_manager.listener_in_place_updated") == 0


async def test_the_local_workload_is_reached_through_its_inbound_listener() -> None:
    ports = [free_port(), free_port()]
    async with upstream("app") as (app,):
        inbound = (
            InboundPort(
                InboundKey(9080), Bind("127.0.0.1", ports[0]), "127.0.0.1", app.port, Protocol.HTTP
            ),
            InboundPort(
                InboundKey(5432), Bind("127.0.0.1", ports[1]), "127.0.0.1", app.port, Protocol.TCP
            ),
        )
        async with follow(inbound=inbound):
            assert (await request(ports[0], "anything")).text == "app"
            assert (await request(ports[1], "anything")).text == "app"


async def test_a_wildcard_without_addresses_is_reached_by_name() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: local, namespace: default}
spec: {hosts: ['*.localhost'], resolution: NONE, ports: [{number: PORT, name: p, protocol: HTTP}]}
"""
    async with (
        upstream("outside") as (outside,),
        follow(CLOSED, text.replace("PORT", str(outside.port))) as host,
    ):
        # The resolver inside Envoy knows names under `localhost` by itself (RFC 6761).
        assert (await host.get(f"x.localhost:{outside.port}")).text == "outside"
        counted = await host.lab.admin.stats("localhost.upstream_rq_total")
        assert counted == {f"cluster.outbound|{outside.port}||*.localhost.upstream_rq_total": 1}


SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec:
  egress:
  - {port: {number: PORT, protocol: TCP, name: t}, hosts: ['./db.default.svc.cluster.local']}
  - {hosts: ['*/*']}
"""


async def test_tcp_is_reached_through_a_declared_egress_listener() -> None:
    number = free_port()
    async with (
        upstream("db") as (db,),
        follow(
            service("db", (db.port, "v1"), port=number, protocol="TCP"),
            SIDECAR.replace("PORT", str(number)),
        ) as host,
    ):
        assert (await request(number, "not looked at")).text == "db"
        assert host.lab.driver.view().in_force


async def test_http_is_reached_through_a_declared_egress_listener_with_rules_of_its_own_port() -> (
    None
):
    number = free_port()
    declared = SIDECAR.replace("TCP", "HTTP").replace("PORT", str(number)).replace("./db", "./a")
    async with (
        upstream("one", "two") as (one, two),
        follow(
            service("a", (one.port, "v1"), (two.port, "v2"), port=number), RULES, declared
        ) as host,
    ):
        assert (await request(number, "a")).text == "one"
        assert (await request(number, "a", headers={"cookie": "user=jason"})).text == "two"
        assert (await request(number, f"a:{number}", "/teapot")).status == 418
        await host.delete("ns/default/sidecars/default")
        assert (await request(number, "a")).status == 0
        assert (await host.get(f"a:{number}")).text == "one"


async def test_what_routes_no_longer_name_leaves_envoy() -> None:
    rules, policy = RULES.split("---")
    async with (
        upstream("one", "two") as (one, two),
        follow(service("a", (one.port, "v1"), (two.port, "v2")), rules, policy) as host,
    ):
        name = "outbound|9080|v2|a.default.svc.cluster.local"
        assert name in str(await host.lab.admin.clusters())
        await host.delete("ns/default/virtualservices/a")
        assert {(await host.get("a:9080")).text for _ in range(8)} == {"one", "two"}

        async def gone() -> bool:
            return name not in str(await host.lab.admin.clusters())

        await wait_until_async(gone, 10, f"{name} to leave Envoy")


async def test_a_made_up_wildcard_takes_in_no_other_host() -> None:
    async with (
        upstream("one") as (one,),
        follow(service("a", (one.port, "v1")), budget_services=0) as host,
    ):
        for name in ("*", "*.svc.cluster.local:9080", "a.*"):
            assert (await host.get(name)).status == 404, name
            assert (await host.get(name)).status == 404, f"{name} again"
        assert (await host.get("a.default.svc.cluster.local:9080")).text == "one"
