"""Listeners for captured connections come, change and go with services; whatever the way there, the same are there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from sidecar.mesh.model import Context, HostName, MeshChange
from sidecar.mesh.view import View
from sidecar.mesh.virtual_addresses import VirtualAddresses
from sidecar.routing.table import InboundKey
from sidecar.xds import protos as pb
from sidecar.xds.compile import Bind, InboundPort
from sidecar.xds.compile.capture import CaptureBind
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.resource import Resource, TypeUrl
from tests.harness.routing import object_of, service_of
from tests.harness.worlds import CHANGES, World

LDS, RDS, VHDS, CDS = TypeUrl.LISTENER, TypeUrl.ROUTES, TypeUrl.VIRTUAL_HOST, TypeUrl.CLUSTER
WEB = Context("", "default", {"app": "web"}, is_captured=True)
SHOP, BLOG = (
    replace(WEB, name="shop", namespace="shop"),
    replace(WEB, name="blog", namespace="blog"),
)
ALONE = BuilderSettings(
    {"": Bind("127.0.0.1", 15001)}, captured={"": CaptureBind(15101, ipv6=True)}
)
BOTH = BuilderSettings(
    {"shop": Bind("127.0.0.1", 15001), "blog": Bind("127.0.0.1", 15002)},
    captured={"shop": CaptureBind(15101), "blog": CaptureBind(15102)},
)


class Host:
    def __init__(self, *contexts: Context, settings: BuilderSettings = ALONE) -> None:
        self.world = World(*(contexts or (WEB,)))
        self.builder = Builder(settings)
        self.builder.update(self.world.views, MeshChange(everything=True), "0")

    def put(self, *documents: dict[str, object]) -> set[str]:
        """Names of listeners that were sent or taken back."""
        touched: set[str] = set()
        for document in documents:
            change = self.world.change(document)
            told = self.builder.update(self.world.views, change, "n")
            touched |= set(told.upserts.get(LDS, {})) | set(told.removals.get(LDS, ()))
        return touched

    def names(self, kind: TypeUrl) -> set[str]:
        return set(self.builder.resources[kind])

    def listener(self, name: str) -> pb.Listener:
        return pb.Listener.FromString(self.builder.resources[LDS][name].body)


def tcp(name: str, *addresses: str, number: int = 5432) -> dict[str, object]:
    return service_of(name, f"tcp:{number}", addresses=list(addresses))


def test_a_host_with_one_context_has_a_listener_for_each_place_and_an_entry() -> None:
    host = Host()
    assert host.names(LDS) == {"outbound", "captured"}
    assert host.put(tcp("db.example", "10.88.0.1", "fd00::1")) == {
        "captured_10.88.0.1_5432",
        "captured_fd00::1_5432",
    }
    assert host.put(service_of("web.example", "http:80")) == {"captured_0.0.0.0_80"}
    assert host.put(service_of("other.example", "http:80")) == set(), "the port is there already"
    entry, place = host.listener("captured"), host.listener("captured_0.0.0.0_80")
    assert entry.use_original_dst.value
    assert not place.bind_to_port.value
    assert place.additional_addresses[0].address.socket_address.address == "::"
    assert {one.name.rpartition(".")[2] for one in place.listener_filters} == {
        "tls_inspector",
        "http_inspector",
    }
    assert not host.listener("captured_10.88.0.1_5432").listener_filters, (
        "its server may speak first"
    )


def test_a_service_that_goes_takes_its_place_and_cluster_along() -> None:
    host = Host()
    host.put(tcp("db.example", "10.88.0.1"))
    assert "outbound|5432||db.example" in host.names(CDS)
    change = host.world.change("ns/default/serviceentries/db.example")
    host.builder.update(host.world.views, change, "n")
    assert host.names(LDS) == {"outbound", "captured"}
    assert "outbound|5432||db.example" not in host.names(CDS)


def test_contexts_of_one_host_have_one_listener_each_with_all_their_places() -> None:
    host = Host(SHOP, BLOG, settings=BOTH)
    assert host.put(tcp("db.example", "10.88.0.1"), service_of("web.example", "http:80")) == {
        "captured.shop",
        "captured.blog",
    }
    shop = host.listener("captured.shop")
    found = {
        (chain.name, chain.filter_chain_match.destination_port.value)
        for chain in shop.filter_chains
    }
    assert found == {
        ("not-redirected", 15101),
        ("10.88.0.1_5432_route-0", 5432),
        ("any_80_http-0", 80),
        ("routes", 0),
    }
    limited = [one for one in shop.listener_filters if one.HasField("filter_disabled")]
    assert len(limited) == 2, "first bytes are looked at on the port of HTTP alone"
    assert (
        host.put(
            object_of(
                "VirtualService",
                "x",
                {"hosts": ["web.example"], "http": [{"redirect": {"uri": "/"}}]},
            )
        )
        == set()
    )


def test_captured_requests_have_routes_of_their_own_to_the_address_that_the_client_named() -> None:
    host = Host()
    host.put(service_of("far.example", "http:80", resolution="NONE"))
    hosts = host.builder.resources[VHDS]
    explicit, captured = hosts["outbound/far.example:80"], hosts["captured/far.example:80"]
    assert _targets(explicit) == {"outbound|80||far.example"}
    assert _targets(captured) == {"original|80||far.example"}
    base = pb.RouteConfiguration.FromString(
        host.builder.resources[RDS]["captured"].body
    ).virtual_hosts[0]
    named = {route.route.cluster for route in base.routes if route.HasField("route")}
    assert named == {"OriginalDestinationCluster"}
    cluster = pb.Cluster.FromString(host.builder.resources[CDS]["original|80||far.example"].body)
    assert (cluster.type, cluster.lb_policy) == (
        pb.Cluster.ORIGINAL_DST,
        pb.Cluster.CLUSTER_PROVIDED,
    )


def _targets(found: Resource) -> set[str]:
    routes = pb.VirtualHost.FromString(found.body).routes
    return {route.route.cluster for route in routes if route.HasField("route")}


def test_hosts_loaded_on_demand_are_given_to_both_kinds_of_requests() -> None:
    host = Host(settings=replace(ALONE, budget_services=0))
    host.put(service_of("web.example", "http:80"))
    told = host.builder.ask(["captured/web.example"])
    assert {"captured/web.example", "outbound/web.example"} <= set(told.upserts[VHDS])
    assert host.builder.given_names() == ("outbound/web.example",)


def test_registry_only_renews_what_nothing_claims() -> None:
    host = Host()
    host.put(service_of("web.example", "http:80"))
    closed = object_of(
        "Sidecar",
        "closed",
        {"egress": [{"hosts": ["*/*"]}], "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}},
    )
    assert host.put(closed) == {"captured", "captured_0.0.0.0_80"}


def test_captured_connections_to_local_workloads_meet_what_their_own_listener_has() -> None:
    port = InboundPort(InboundKey(15006), Bind("10.0.0.1", 15006), "127.0.0.1", 8080)
    host = Host(settings=replace(ALONE, inbound=(port,), captured_inbound=CaptureBind(15190)))
    inbound = host.listener("captured-inbound")
    chains = {chain.name: chain for chain in inbound.filter_chains}
    own = host.listener("inbound_10.0.0.1_15006").filter_chains[0]
    assert chains["8080_plain"].filter_chain_match.destination_port.value == 8080
    assert chains["8080_plain"].filters == own.filters
    assert chains["not-redirected"].filter_chain_match.destination_port.value == 15190
    assert inbound.address.socket_address.address == "0.0.0.0"


@pytest.mark.slow
@pytest.mark.parametrize("settings", [ALONE, BOTH], ids=["alone", "contexts"])
@given(steps=CHANGES)
@hypothesis_settings(max_examples=60)
def test_whatever_the_way_the_same_listeners_are_there(
    settings: BuilderSettings, steps: list[object]
) -> None:
    contexts = (WEB,) if settings is ALONE else (SHOP, BLOG)
    host = Host(*contexts, settings=settings)
    for step in steps:
        change = host.world.change(step)  # type: ignore[arg-type] # documents and keys, as the strategy says
        host.builder.update(host.world.views, change, "n")
    fresh = Builder(settings)
    fresh.update(host.world.views, MeshChange(everything=True), "n")
    for kind in (LDS, CDS, RDS):
        kept, made = host.builder.resources[kind], fresh.resources[kind]
        assert {name: one.version for name, one in kept.items()} == {
            name: one.version for name, one in made.items()
        }


def test_the_same_document_twice_changes_nothing() -> None:
    host = Host()
    document = tcp("a.example", "10.0.0.9", number=9)
    assert host.put(dict(document)) == {"captured_10.0.0.9_9"}
    assert host.put(dict(document)) == set()


def test_the_virtual_addresses_of_a_service_share_a_listener() -> None:
    host = Host()
    addresses = VirtualAddresses(ipv6=True)
    document = service_of("db.example", "tcp:5432")
    host.world.change(document)
    views = {"": View(host.world.mesh, WEB, addresses=addresses)}
    host.builder.update(views, MeshChange(everything=True), "n")
    four, six = addresses.of(HostName("db.example"))
    found = host.listener(f"captured_{four}_5432")
    assert [one.address.socket_address.address for one in found.additional_addresses] == [six]
    assert f"captured_{six}_5432" not in host.names(LDS)


def test_a_place_that_goes_while_everything_is_renewed_is_gone() -> None:
    host = Host()
    host.put(tcp("db.example", "10.88.0.1"), service_of("web.example", "http:80"))
    host.world.change("ns/default/serviceentries/db.example")
    spec = {"egress": [{"hosts": ["*/*"]}], "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
    host.world.change(object_of("Sidecar", "closed", spec))
    host.builder.update(host.world.views, MeshChange(everything=True), "n")
    assert host.names(LDS) == {"outbound", "captured", "captured_0.0.0.0_80"}


def test_of_thousands_that_speak_http_on_a_port_a_change_costs_nothing() -> None:
    host = Host()
    host.put(*(service_of(f"h{number}.example", "http:80") for number in range(20)))
    assert (
        host.put(service_of("h3.example", "http:80", endpoints=[{"address": "10.0.0.1"}])) == set()
    )
    for number in range(19):
        change = host.world.change(f"ns/default/serviceentries/h{number}.example")
        host.builder.update(host.world.views, change, "n")
        assert "captured_0.0.0.0_80" in host.names(LDS)
    change = host.world.change("ns/default/serviceentries/h19.example")
    host.builder.update(host.world.views, change, "n")
    assert "captured_0.0.0.0_80" not in host.names(LDS)


def test_endpoints_of_one_context_s_places_do_not_touch_its_listener() -> None:
    host = Host(SHOP, BLOG, settings=BOTH)
    host.put(tcp("db.example", "10.88.0.1"))
    changed = tcp("db.example", "10.88.0.1")
    changed["spec"] = {**changed["spec"], "endpoints": [{"address": "10.0.0.1"}]}  # type: ignore[dict-item] # a mapping
    assert host.put(changed) == set()
