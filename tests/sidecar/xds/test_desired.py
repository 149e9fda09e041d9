"""The desired state, rule by rule; that history leaves no trace is in test_desired_properties."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sidecar.mesh.model import Context, HostName, MeshChange, Protocol
from sidecar.mesh.view import View
from sidecar.outlier.events import Imposed
from sidecar.outlier.model import Destination, Place
from sidecar.routing.table import InboundKey
from sidecar.telemetry.model import LocalTelemetry
from sidecar.telemetry.party import Party
from sidecar.xds import protos as pb
from sidecar.xds.compile import Bind, CompileOptions, InboundPort
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.resource import DesiredChange, TypeUrl
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from tests.harness.catalogs import documents_of
from tests.harness.worlds import World

CDS, EDS, LDS, RDS, VHDS = (
    TypeUrl.CLUSTER,
    TypeUrl.ENDPOINTS,
    TypeUrl.LISTENER,
    TypeUrl.ROUTES,
    TypeUrl.VIRTUAL_HOST,
)

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.default.svc.cluster.local]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{{number: 9080, name: http, protocol: HTTP}}]
  endpoints: [{endpoints}]
"""
RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec: {{hosts: [{name}], http: [{http}]}}
"""
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: default}}
spec: {{host: {name}, subsets: [{subsets}]}}
"""


def service(name: str, *addresses: str) -> str:
    endpoints = ", ".join(
        f"{{address: {a}, labels: {{v: '1'}}}}" for a in addresses or ("10.0.0.1",)
    )
    return SERVICE.format(name=name, endpoints=endpoints)


def rules(name: str, *destinations: str) -> str:
    routes = ", ".join(f"{{destination: {{host: {d}}}, weight: 50}}" for d in destinations)
    return RULES.format(name=name, http=f"{{route: [{routes}]}}")


def cluster(name: str, subset: str = "") -> str:
    return f"outbound|9080|{subset}|{name}.default.svc.cluster.local"


class Host:
    """A world with a builder that follows it."""

    def __init__(self, *objects: str, **settings: object) -> None:
        self.world = World()
        for text in objects:
            self.put(text, follow=False)
        made = {"outbound": {"": Bind("127.0.0.1", 15001)}, **settings}
        self.builder = Builder(BuilderSettings(**made))  # type: ignore[arg-type] # test sugar
        self.first = self.builder.update(self.world.views, MeshChange(everything=True), "1@0")

    def put(self, text: str, *, follow: bool = True) -> DesiredChange:
        (document,) = documents_of(text)
        return self._follow(document, follow=follow)

    def delete(self, key: str) -> DesiredChange:
        return self._follow(key, follow=True)

    def _follow(self, step: Mapping[str, object] | str, *, follow: bool) -> DesiredChange:
        change = self.world.change(step)
        if not follow:
            return DesiredChange("")
        return self.builder.update(self.world.views, change, "1@n")

    def ask(self, *authorities: str) -> DesiredChange:
        return self.builder.ask([f"outbound/{authority}" for authority in authorities])


def names(change: DesiredChange) -> dict[TypeUrl, list[str]]:
    return {kind: list(resources) for kind, resources in change.upserts.items()}


def domains(change: DesiredChange, name: str) -> list[str]:
    return list(pb.VirtualHost.FromString(change.upserts[VHDS][name].body).domains)


def test_an_empty_mesh_has_its_listener_and_its_catch_all() -> None:
    first = Host().first
    assert names(first) == {
        CDS: ["BlackHoleCluster", "PassthroughCluster"],
        LDS: ["outbound"],
        RDS: ["outbound"],
    }
    routes = pb.RouteConfiguration.FromString(first.upserts[RDS]["outbound"].body)
    assert [vh.name for vh in routes.virtual_hosts] == ["allow_any"]


def test_a_mesh_within_the_budget_is_loaded_whole() -> None:
    first = Host(service("a"), service("b")).first
    assert set(first.upserts[EDS]) == {cluster("a"), cluster("b")}
    assert set(first.upserts[VHDS]) == {
        f"outbound/{n}.default.svc.cluster.local:9080" for n in "ab"
    }
    assert "a:9080" in domains(first, "outbound/a.default.svc.cluster.local:9080")


def test_an_endpoint_change_is_told_as_endpoints_alone() -> None:
    host = Host(service("a"), rules("a", "a"))
    assert names(host.put(service("a", "10.0.0.1", "10.0.0.2"))) == {EDS: [cluster("a")]}


def test_a_rule_change_is_told_as_virtual_hosts_alone_and_leaves_the_listener() -> None:
    host = Host(service("a"), service("b"), rules("a", "a", "b"))
    change = host.put(rules("a", "b", "a"))
    assert set(change.upserts) == {VHDS}
    assert all(name.startswith("outbound/a.default") for name in change.upserts[VHDS])
    assert not change.removals


def test_a_change_elsewhere_tells_nothing_of_this_host() -> None:
    host = Host(service("a"), service("b"))
    change = host.put(service("c"))
    assert names(change) == {
        CDS: [cluster("c")],
        EDS: [cluster("c")],
        VHDS: ["outbound/c.default.svc.cluster.local:9080"],
    }


def test_the_same_object_again_tells_nothing() -> None:
    host = Host(service("a"), rules("a", "a"))
    assert not host.put(rules("a", "a"))
    assert not host.put(service("a"))


def test_the_label_is_told_even_when_nothing_else_is() -> None:
    host = Host(service("a"))
    change = host.builder.update(host.world.views, MeshChange(), "1@42")
    assert change.label == "1@42"
    assert not change


def test_a_subset_defined_later_gets_its_cluster() -> None:
    wanted = RULES.format(name="a", http="{route: [{destination: {host: a, subset: v1}}]}")
    host = Host(service("a"), wanted)
    assert cluster("a", "v1") not in host.first.upserts[CDS]
    change = host.put(SUBSETS.format(name="a", subsets="{name: v1, labels: {v: '1'}}"))
    assert names(change) == {CDS: [cluster("a", "v1")], EDS: [cluster("a", "v1")]}


def test_a_host_that_appears_later_gets_its_cluster() -> None:
    host = Host(service("a"), rules("a", "late"))
    change = host.put(service("late"))
    assert cluster("late") in change.upserts[CDS]


def test_what_nobody_names_any_more_is_removed() -> None:
    host = Host(service("a"), SUBSETS.format(name="a", subsets="{name: v1, labels: {v: '1'}}"),
                RULES.format(name="a", http="{route: [{destination: {host: a, subset: v1}}]}"))  # fmt: skip
    change = host.put(rules("a", "a"))
    assert change.removals[CDS] == change.removals[EDS] == frozenset({cluster("a", "v1")})


def test_a_service_that_goes_takes_its_virtual_host_along() -> None:
    host = Host(service("a"), service("b"))
    change = host.delete("ns/default/serviceentries/a")
    assert change.removals[VHDS] == frozenset({"outbound/a.default.svc.cluster.local:9080"})
    assert change.removals[CDS] == frozenset({cluster("a")})


def test_every_object_behind_a_virtual_host_is_its_source() -> None:
    host = Host(service("a"), rules("a", "a"))
    found = host.builder.resources[VHDS]["outbound/a.default.svc.cluster.local:9080"]
    assert {source.ref for source in found.sources} == {
        ObjectRef(Kind.SERVICE_ENTRY, "default", "a"),
        ObjectRef(Kind.VIRTUAL_SERVICE, "default", "a"),
    }


A_FIRST = (
    Destination(HostName("a.default.svc.cluster.local"), 9080),
    Place("10.0.0.1", 9080),
)


def test_what_is_imposed_travels_as_endpoints_alone_and_goes_again() -> None:
    host = Host(service("a", "10.0.0.1", "10.0.0.2"), service("b"))
    change = host.builder.impose({A_FIRST: Imposed.EJECTED})
    assert names(change) == {EDS: [cluster("a")]}
    made = pb.ClusterLoadAssignment.FromString(change.upserts[EDS][cluster("a")].body)
    states = [e.health_status for e in made.endpoints[0].lb_endpoints]
    assert states == [pb.HealthStatus.UNHEALTHY, pb.HealthStatus.HEALTHY]
    assert not host.builder.update(host.world.views, MeshChange(), "1@1")
    assert names(host.builder.impose({})) == {EDS: [cluster("a")]}


def test_what_is_imposed_before_the_first_update_comes_with_it() -> None:
    builder = Builder(BuilderSettings(outbound={"": Bind("127.0.0.1", 15001)}))
    assert not builder.impose({A_FIRST: Imposed.EJECTED})
    host = Host(service("a", "10.0.0.1", "10.0.0.2"))
    change = builder.update(host.world.views, MeshChange(everything=True), "1@1")
    made = pb.ClusterLoadAssignment.FromString(change.upserts[EDS][cluster("a")].body)
    assert made.endpoints[0].lb_endpoints[0].health_status == pb.HealthStatus.UNHEALTHY


def test_an_ejection_outlives_a_change_of_the_endpoints() -> None:
    host = Host(service("a", "10.0.0.1", "10.0.0.2"))
    host.builder.impose({A_FIRST: Imposed.EJECTED})
    change = host.put(service("a", "10.0.0.1", "10.0.0.2", "10.0.0.3"))
    made = pb.ClusterLoadAssignment.FromString(change.upserts[EDS][cluster("a")].body)
    assert made.endpoints[0].lb_endpoints[0].health_status == pb.HealthStatus.UNHEALTHY


def test_beyond_the_budget_nothing_is_loaded_until_asked_for() -> None:
    host = Host(service("a"), service("b"), budget_services=1)
    assert names(host.first) == {
        CDS: ["BlackHoleCluster", "PassthroughCluster"],
        LDS: ["outbound"],
        RDS: ["outbound"],
    }
    routes = pb.RouteConfiguration.FromString(host.first.upserts[RDS]["outbound"].body)
    assert not routes.virtual_hosts
    assert host.builder.on_demand == {""}


def test_an_asked_host_comes_with_all_that_its_routes_name() -> None:
    mirrored = RULES.format(
        name="a",
        http="{route: [{destination: {host: a}, weight: 1}, {destination: {host: b}, weight: 1}], "
        "mirrors: [{destination: {host: c}}]}",
    )
    host = Host(service("a"), service("b"), service("c"), service("d"), mirrored, budget_services=0)
    change = host.ask("a:9080")
    expected = [cluster(name) for name in "abc"]
    assert names(change) == {CDS: expected, EDS: expected, VHDS: ["outbound/a:9080"]}
    assert domains(change, "outbound/a:9080") == ["a:9080"]
    assert change.upserts[VHDS]["outbound/a:9080"].aliases == ("outbound/a:9080",)


def test_a_question_is_answered_every_time() -> None:
    host = Host(service("a"), budget_services=0)
    assert names(host.ask("a:9080"))[VHDS] == names(host.ask("a:9080"))[VHDS] == ["outbound/a:9080"]


def test_only_what_was_asked_for_follows_changes() -> None:
    host = Host(service("a"), service("b"), budget_services=0)
    host.ask("a:9080")
    assert not host.put(service("b", "10.0.0.7"))
    assert names(host.put(service("a", "10.0.0.7"))) == {EDS: [cluster("a")]}


def test_what_was_given_stays_given_when_its_service_goes() -> None:
    host = Host(service("a"), budget_services=0)
    host.ask("a:9080")
    change = host.delete("ns/default/serviceentries/a")
    assert VHDS not in change.removals
    (route, _) = pb.VirtualHost.FromString(change.upserts[VHDS]["outbound/a:9080"].body).routes
    assert route.route.cluster == "PassthroughCluster"


def test_an_unknown_host_is_served_when_the_mesh_comes_to_know_it() -> None:
    host = Host(budget_services=0)
    host.ask("a:9080", "10.9.0.1")
    assert host.builder.unknown_hosts == 2
    change = host.put(service("a"))
    assert names(change)[VHDS] == ["outbound/a:9080"]
    assert host.builder.unknown_hosts == 1


def test_an_unknown_address_is_served_when_a_service_takes_it() -> None:
    host = Host(budget_services=0)
    host.ask("10.9.0.1:9080")
    change = host.put(service("a").replace("resolution:", "addresses: [10.9.0.1]\n  resolution:"))
    assert names(change)[VHDS] == ["outbound/10.9.0.1:9080"]


def test_unknown_hosts_over_the_cap_get_404_and_are_counted() -> None:
    host = Host(service("a"), budget_services=0, unknown_hosts_max=2)
    change = host.ask("x1", "x2", "x3", "a:9080")
    bodies = {name: bool(resource.body) for name, resource in change.upserts[VHDS].items()}
    assert bodies == {
        "outbound/x1": True, "outbound/x2": True, "outbound/x3": False, "outbound/a:9080": True,
    }  # fmt: skip
    assert change.upserts[VHDS]["outbound/x3"].aliases == ("outbound/x3",)
    assert (host.builder.unknown_hosts, host.builder.refused_hosts) == (2, 1)
    assert "outbound/x3" not in host.builder.resources[VHDS]


def test_a_refused_host_is_served_when_the_mesh_comes_to_know_it() -> None:
    host = Host(budget_services=0, unknown_hosts_max=1)
    host.ask("x1", "x2.default.svc.cluster.local:9080")
    change = host.put(service("x2"))
    assert names(change)[VHDS] == ["outbound/x2.default.svc.cluster.local:9080"]


def test_a_question_for_another_route_configuration_gets_404() -> None:
    change = Host(service("a")).builder.ask(["elsewhere/a:9080"])
    assert change.upserts[VHDS]["elsewhere/a:9080"].body == b""


def test_questions_before_the_first_state_are_answered_with_it() -> None:
    builder = Builder(BuilderSettings({"": Bind("127.0.0.1", 15001)}, budget_services=0))
    assert not builder.ask(["outbound/a:9080"])
    world = World()
    (document,) = documents_of(service("a"))
    world.change(document)
    change = builder.update(world.views, MeshChange(everything=True), "1@1")
    assert names(change)[VHDS] == ["outbound/a:9080"]


def test_what_was_used_before_a_restart_is_there_at_once() -> None:
    before = Host(service("a"), service("b"), budget_services=0)
    before.ask("a:9080", "nobody")
    after = Builder(BuilderSettings({"": Bind("127.0.0.1", 15001)}, budget_services=0))
    after.preload(before.builder.given_names())
    after.update(before.world.views, MeshChange(everything=True), "1@0")
    assert after.resources == before.builder.resources


def test_a_mesh_that_outgrows_the_budget_keeps_what_it_gave_and_asks_for_the_rest() -> None:
    wild = RULES.format(name="w", http="{redirect: {uri: /}}").replace(
        "hosts: [w]", "hosts: ['*.example.com']"
    )
    host = Host(service("a"), wild, budget_services=1)
    listener = host.first.upserts[LDS]["outbound"]
    change = host.put(service("b"))
    assert host.builder.on_demand == {""}
    assert domains(change, "outbound/a.default.svc.cluster.local:9080") == [
        "a.default.svc.cluster.local:9080"
    ]
    assert change.removals == {VHDS: frozenset({"outbound/*.example.com:80"})}
    assert not pb.RouteConfiguration.FromString(change.upserts[RDS]["outbound"].body).virtual_hosts
    assert host.builder.resources[LDS]["outbound"] == listener
    assert cluster("a") in host.builder.resources[CDS]
    assert domains(host.ask("x.example.com"), "outbound/x.example.com") == ["x.example.com"]


def test_local_workloads_have_a_listener_and_a_cluster_each() -> None:
    ports = (
        InboundPort(InboundKey(9080), Bind("10.1.1.1", 15006), "127.0.0.1", 8080, Protocol.HTTP),
        InboundPort(InboundKey(5432), Bind("10.1.1.1", 15007), "127.0.0.1", 5432, Protocol.TCP),
    )
    first = Host(inbound=ports).first
    assert {"inbound|9080||", "inbound|5432||"} <= set(first.upserts[CDS])
    assert {"inbound_10.1.1.1_15006", "inbound_10.1.1.1_15007"} <= set(first.upserts[LDS])


def test_listeners_of_local_ports_follow_sidecars_and_rules() -> None:
    def connections(name: str) -> int:
        made = pb.Cluster.FromString(host.builder.resources[CDS][name].body)
        return int(made.circuit_breakers.thresholds[0].max_connections.value)

    def pool(connections: int) -> str:
        return f"connectionPool: {{tcp: {{maxConnections: {connections}}}}}"

    web = InboundPort(
        InboundKey(15006), Bind("10.1.1.1", 15006), "127.0.0.1", 80, number=9080, service="web"
    )
    host = Host(inbound=(web,))
    rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: web, namespace: default}}\n"
    host.put(rule.format() + f"spec: {{host: web, trafficPolicy: {{{pool(5)}}}}}")
    assert connections("inbound|15006||") == 5
    listener = "{{port: {{number: {}, protocol: HTTP, name: p}}, {}}}"
    sidecar = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: web, namespace: default}\nspec: "
    host.put(
        f"{sidecar}{{ingress: [{listener.format(9080, pool(6))}, {listener.format(7000, pool(7))}]}}"
    )
    assert (connections("inbound|15006||"), connections("inbound|7000||")) == (6, 7)
    assert "inbound_0.0.0.0_7000" in host.builder.resources[LDS]
    host.delete("ns/default/sidecars/web")
    assert connections("inbound|15006||") == 5
    assert "inbound|7000||" not in host.builder.resources[CDS]
    assert "inbound_0.0.0.0_7000" not in host.builder.resources[LDS]


def test_ports_of_local_workloads_can_be_others_later() -> None:
    def port(number: int) -> InboundPort:
        return InboundPort(InboundKey(number), Bind("10.1.1.1", number), "127.0.0.1", 80)

    host = Host(inbound=(port(15006),))
    change = host.builder.serve([port(15007)])
    assert {"inbound|15007||"} == set(change.upserts[CDS])
    assert change.removals == {
        CDS: frozenset({"inbound|15006||"}),
        LDS: frozenset({"inbound_10.1.1.1_15006"}),
    }


@pytest.mark.parametrize("name", ["", "batch"])
def test_names_bear_the_context_where_a_host_has_several(name: str) -> None:
    world = World()
    views = {name: View(world.mesh, Context(name, "default"))}
    builder = Builder(BuilderSettings({name: Bind("127.0.0.1", 15001)}))
    change = builder.update(views, MeshChange(everything=True), "1@0")
    expected = f"outbound.{name}" if name else "outbound"
    assert names(change)[LDS] == names(change)[RDS] == [expected]


def test_a_listener_tells_the_labels_that_its_context_has_now() -> None:
    world = World()
    builder = Builder(
        BuilderSettings(
            {"": Bind("127.0.0.1", 15001)},
            parties={"": Party.of("web-1", "default", {})},
            options=CompileOptions(own_telemetry=LocalTelemetry(collector="127.0.0.1:4317")),
        )
    )

    def listener(labels: Mapping[str, str]) -> bytes:
        views = {"": View(world.mesh, Context("", "default", labels))}
        builder.update(views, MeshChange(everything=True), "1@0")
        return builder.resources[LDS]["outbound"].body

    assert b"carts" not in listener({})
    assert b"carts" in listener({"app": "carts"})


def test_a_pure_gateway_has_no_outbound_listener() -> None:
    assert LDS not in Host(outbound={}).first.upserts


@pytest.mark.parametrize("authority", ["*", "*.default.svc.cluster.local:9080", "a.*", ""])
def test_a_made_up_wildcard_is_never_loaded(authority: str) -> None:
    host = Host(service("a"), budget_services=0)
    change = host.ask(authority)
    assert change.upserts[VHDS][f"outbound/{authority}"].body == b""
    assert host.builder.given_names() == ()


def test_a_name_that_no_host_can_have_is_never_looked_up() -> None:
    host = Host(service("a"), budget_services=0)
    endless = "a." * 30_000
    change = host.ask(endless, f"{'x' * 255}.default.svc.cluster.local:65535")
    assert change.upserts[VHDS][f"outbound/{endless}"].body == b""
    assert [len(name) for name in host.builder.given_names()] == [9 + 255 + 32]
    assert (host.builder.unknown_hosts, host.builder.refused_hosts) == (1, 1)


def test_names_that_only_a_wildcard_covers_count_towards_the_cap() -> None:
    wild = (
        service("w")
        .replace("w.default.svc.cluster.local", "'*.example.com'")
        .replace("STATIC", "NONE")
    )
    wild = wild.replace("endpoints: [{address: 10.0.0.1, labels: {v: '1'}}]", "")
    host = Host(wild, budget_services=0, unknown_hosts_max=1)
    change = host.ask("x.example.com:9080", "y.example.com:9080")
    bodies = [bool(change.upserts[VHDS][f"outbound/{n}.example.com:9080"].body) for n in "xy"]
    assert bodies == [True, False]
