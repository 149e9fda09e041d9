"""Services, virtual services and gateways as one workload context sees them."""

from __future__ import annotations

import pytest

from sidecar.balancing.balancer import DestinationSight
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, HostName, Protocol
from sidecar.mesh.view import View
from sidecar.routing.sight import GatewaySight
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from tests.harness.catalogs import Document, Store
from tests.harness.objects import (
    destination_rule,
    gateway,
    mesh_config,
    registration,
    service_entry,
    sidecar,
    virtual_service,
    workload,
)

REVIEWS = HostName("reviews.default.svc.cluster.local")


def view_of(*documents: Document, namespace: str = "default", **context: object) -> View:
    store = Store(documents)
    mesh = Mesh.build(store.catalog, store.registrations)
    return View(mesh, Context("", namespace, **context))  # type: ignore[arg-type] # tests name fields


def names(view: View, host: str, gateway: str = "mesh") -> list[str]:
    found = view.virtual_services_for(HostName(host), gateway)
    return [f"{one.ref.namespace}/{one.ref.name}" for one in found]


class TestServices:
    def test_a_short_service_entry_host_is_completed_with_its_namespace(self) -> None:
        view = view_of(service_entry("a", ["reviews"], "prod"))
        assert [s.host for s in view.services()] == ["reviews.prod.svc.cluster.local"]

    def test_the_domain_of_the_mesh_completes_names(self) -> None:
        view = view_of(mesh_config(domain="mesh.test"), service_entry("a", ["reviews"]))
        assert view.service(HostName("reviews.default.svc.mesh.test")) is not None

    @pytest.mark.parametrize(
        "name",
        ["reviews", "REVIEWS", "reviews.default", "reviews.default.svc", REVIEWS, f"{REVIEWS}."],
    )
    def test_a_client_finds_a_service_by_each_alias(self, name: str) -> None:
        found = view_of(service_entry("a", ["reviews"])).service_for_authority(name)
        assert found is not None
        assert found.host == REVIEWS

    def test_the_bare_name_means_the_clients_own_namespace(self) -> None:
        view = view_of(service_entry("a", ["reviews"]), namespace="other")
        assert view.service_for_authority("reviews") is None
        assert view.service_for_authority("reviews.default") is not None

    def test_a_service_of_that_very_name_wins_over_an_alias(self) -> None:
        view = view_of(service_entry("a", ["reviews"]), service_entry("b", ["reviews.default"]))
        found = view.service_for_authority("reviews.default")
        assert found is not None
        assert found.host == "reviews.default"

    def test_the_most_specific_wildcard_service_takes_unknown_names(self) -> None:
        view = view_of(
            service_entry("a", ["*.com"], resolution="NONE"),
            service_entry("b", ["*.example.com"], resolution="NONE"),
        )
        for name, expected in [("x.example.com", "*.example.com"), ("example.com", "*.com")]:
            found = view.service_for_authority(name)
            assert found is not None
            assert found.host == expected
        assert view.service_for_authority("example.org") is None

    def test_a_virtual_address_means_its_service(self) -> None:
        view = view_of(
            service_entry("a", ["db.example.com"], addresses=["10.9.9.9", "10.8.0.0/16"])
        )
        found = view.service_for_authority("10.9.9.9")
        assert found is not None
        assert view.aliases(found) == ("db.example.com", "db.example.com.", "10.9.9.9")
        assert view.service_for_authority("10.8.0.1") is None

    def test_export_to_hides_a_service(self) -> None:
        documents = [
            service_entry("a", ["own.test"], "prod", exportTo=["."]),
            service_entry("b", ["friend.test"], "prod", exportTo=["test"]),
            service_entry("c", ["nobody.test"], "prod", exportTo=["~"]),
            service_entry("d", ["all.test"], "prod"),
        ]
        seen = {
            namespace: {s.host for s in view_of(*documents, namespace=namespace).services()}
            for namespace in ("prod", "test", "else")
        }
        assert seen == {
            "prod": {"own.test", "all.test"},
            "test": {"friend.test", "all.test"},
            "else": {"all.test"},
        }

    def test_the_meshs_default_export_holds_for_entries_and_registrations(self) -> None:
        documents = [
            mesh_config(defaultServiceExportTo=["."]),
            service_entry("a", ["ratings"]),
            registration("vm-1", workload("r", "reviews")),
        ]
        assert len(list(view_of(*documents).services())) == 2
        assert list(view_of(*documents, namespace="other").services()) == []

    def test_the_clients_own_namespace_wins_over_an_older_one(self) -> None:
        documents = [
            service_entry("a", ["api.test"], "old"),
            service_entry("b", ["api.test"], "own"),
        ]
        for namespace, expected in [("own", "own"), ("old", "old"), ("third", "old")]:
            found = view_of(*documents, namespace=namespace).service(HostName("api.test"))
            assert found is not None
            assert found.namespace == expected

    def test_the_namespace_that_a_host_names_wins_over_squatters(self) -> None:
        view = view_of(
            service_entry("a", [REVIEWS], "evil"),
            registration("vm-1", workload("r", "reviews")),
            namespace="third",
        )
        found = view.service(REVIEWS)
        assert found is not None
        assert found.namespace == "default"

    def test_services_come_in_order_of_creation(self) -> None:
        view = view_of(*(service_entry(name, [f"{name}.test"]) for name in "cab"))
        assert [s.host for s in view.services()] == ["c.test", "a.test", "b.test"]
        assert view.service_count() == 3

    def test_made_up_names_leave_nothing_behind(self) -> None:
        view = view_of(service_entry("a", ["reviews"]), sidecar("s", hosts=["./*"]))
        before = view.service_for_authority("reviews")
        sizes = {k: len(v) for k, v in vars(view).items() if isinstance(v, dict)}
        for number in range(100):
            name = f"made-up-{number}.test"
            assert view.service_for_authority(name) is None
            assert view.destination(HostName(name)) is None
            view.policy(HostName(name), 80, "")
        assert {k: len(v) for k, v in vars(view).items() if isinstance(v, dict)} == sizes
        assert view.service_for_authority("reviews") is before

    def test_authority_hosts_name_services_that_do_not_exist_yet(self) -> None:
        assert REVIEWS in view_of().authority_hosts("reviews")
        assert REVIEWS in view_of(namespace="x").authority_hosts("Reviews.default.")


class TestRegisteredServices:
    def test_a_registered_workload_makes_a_service(self) -> None:
        view = view_of(registration("vm-1", workload("r", "reviews")))
        service = view.service_for_authority("reviews")
        assert service is not None
        assert service.host == REVIEWS
        assert not service.external
        port = service.port(9080)
        assert port is not None
        assert port.protocol is Protocol.HTTP
        (endpoint,) = view.endpoints(service, 9080)
        assert (endpoint.address, endpoint.port, endpoint.host) == ("10.1.0.1", 15080, "vm-1")

    def test_ports_of_several_hosts_are_united_and_the_oldest_wins(self) -> None:
        def port(number: int, name: str, protocol: str) -> dict[str, object]:
            return {"number": number, "name": name, "protocol": protocol}

        view = view_of(
            registration("vm-2", workload("r", "reviews", ports=[port(1, "web", "HTTP")])),
            registration(
                "vm-1",
                workload("r", "reviews", ports=[port(1, "raw", "TCP"), port(2, "rpc", "GRPC")]),
                address="10.1.0.2",
            ),
        )
        service = view.service(REVIEWS)
        assert service is not None
        assert [(p.number, p.protocol) for p in service.ports] == [
            (1, Protocol.HTTP),
            (2, Protocol.GRPC),
        ]
        assert service.notes == (
            "port 1 is HTTP (web) by hosts/vm-2 workload r; hosts/vm-1 workload r declares "
            "TCP (raw), which is not used",
        )
        # A workload is an endpoint of exactly the ports that it serves.
        assert [e.host for e in view.endpoints(service, 1)] == ["vm-2", "vm-1"]
        assert [e.host for e in view.endpoints(service, 2)] == ["vm-1"]

    def test_a_service_entry_says_the_ports_and_endpoints_are_united(self) -> None:
        view = view_of(
            registration("vm-1", workload("r", "reviews")),
            service_entry(
                "a",
                ["reviews"],
                ports=[{"number": 9080, "name": "grpc", "protocol": "GRPC"}],
                endpoints=[{"address": "10.2.0.1"}],
            ),
        )
        service = view.service(REVIEWS)
        assert service is not None
        assert [p.protocol for p in service.ports] == [Protocol.GRPC]
        assert {e.address for e in view.endpoints(service, 9080)} == {"10.1.0.1", "10.2.0.1"}

    def test_another_namespaces_service_entry_does_not_take_registered_endpoints(self) -> None:
        view = view_of(
            registration("vm-1", workload("r", "reviews")),
            service_entry("a", [REVIEWS], "evil", endpoints=[{"address": "6.6.6.6"}]),
            namespace="evil",
        )
        service = view.service(REVIEWS)
        assert service is not None
        assert service.namespace == "evil"
        assert [e.address for e in view.endpoints(service, 80)] == ["6.6.6.6"]

    def test_younger_entries_of_one_host_add_ports_and_endpoints(self) -> None:
        def on(port: int, address: str) -> dict[str, object]:
            return {
                "ports": [{"number": port, "name": f"http-{port}", "protocol": "HTTP"}],
                "endpoints": [{"address": address}],
                "subjectAltNames": [address],
            }

        view = view_of(
            service_entry(
                "a", ["api.test"], "default", location="MESH_INTERNAL", **on(80, "10.0.0.1")
            ),
            service_entry("b", ["api.test"], "default", **on(81, "10.0.0.2")),
        )
        service = view.service(HostName("api.test"))
        assert service is not None
        assert [port.number for port in service.ports] == [80, 81]
        assert not service.external
        assert service.subject_alt_names == ("10.0.0.1", "10.0.0.2")
        assert [e.address for e in view.endpoints(service, 81)] == ["10.0.0.2"]
        assert view.endpoints(service, 82) == ()


class TestVirtualServices:
    def test_order_is_private_then_exported_then_public_each_oldest_first(self) -> None:
        hosts = ["reviews.default.svc.cluster.local"]
        documents = [
            virtual_service("p2", hosts, "else"),
            virtual_service("p1", hosts, "default"),
            virtual_service("e1", hosts, "else", exportTo=["default"]),
            virtual_service("o2", hosts, "default", exportTo=["."]),
            virtual_service("o1", hosts, "default", exportTo=["."]),
            virtual_service("hidden", hosts, "else", exportTo=["."]),
        ]
        view = view_of(*documents)
        assert names(view, REVIEWS) == [
            "default/o2",
            "default/o1",
            "else/e1",
            "else/p2",
            "default/p1",
        ]

    def test_only_the_most_specific_host_counts(self) -> None:
        documents = [
            virtual_service("wide", ["*"]),
            virtual_service("narrow", ["*.cluster.local"]),
            virtual_service("exact", ["reviews"]),
        ]
        view = view_of(*documents)
        assert names(view, REVIEWS) == ["default/exact"]
        assert names(view, "ratings.default.svc.cluster.local") == ["default/narrow"]
        assert names(view, "example.com") == ["default/wide"]

    def test_an_invisible_exact_host_leaves_the_name_to_a_visible_wildcard(self) -> None:
        view = view_of(
            virtual_service("wide", ["*.test"]),
            virtual_service("exact", ["a.test"], "else", exportTo=["."]),
        )
        assert names(view, "a.test") == ["default/wide"]

    def test_equal_age_is_broken_by_name_then_namespace(self) -> None:
        store = Store()
        store.put(
            [virtual_service(n, ["a.test"], s) for n, s in [("b", "m"), ("a", "n"), ("a", "m")]]
        )
        view = View(Mesh.build(store.catalog, store.registrations), Context("", "default"))
        assert names(view, "a.test") == ["m/a", "n/a", "m/b"]

    def test_gateways_are_told_apart_from_the_mesh(self) -> None:
        view = view_of(
            virtual_service("m", ["a.test"]),
            virtual_service("g", ["a.test"], gateways=["front", "other/back"]),
            virtual_service("both", ["a.test"], gateways=["mesh", "./front"]),
        )
        assert names(view, "a.test") == ["default/m", "default/both"]
        assert names(view, "a.test", "default/front") == ["default/g", "default/both"]
        assert names(view, "a.test", "other/back") == ["default/g"]
        bound = [one.ref.name for one in view.virtual_services_of("default/front")]
        assert bound == ["g", "both"]
        assert list(view.virtual_service_hosts("other/back")) == ["a.test"]

    def test_a_gateway_sees_only_what_is_exported_to_its_own_namespace(self) -> None:
        documents = [
            virtual_service("a", ["a.test"], gateways=["edge/front"], exportTo=["."]),
            virtual_service("b", ["b.test"], gateways=["edge/front"], exportTo=["edge"]),
        ]
        view = view_of(*documents, namespace="edge", is_gateway=True)
        assert [one.ref.name for one in view.virtual_services_of("edge/front")] == ["b"]

    def test_a_delegate_is_found_only_where_it_is_exported_to_its_root(self) -> None:
        documents = [
            virtual_service("d", [], "team", exportTo=["root"]),
            virtual_service("h", ["a.test"], "team"),
        ]
        view = view_of(*documents)
        ref = ObjectRef(Kind.VIRTUAL_SERVICE, "team", "d")
        found = view.delegate(ref, "root")
        assert found is not None
        assert found.model.spec.hosts == ()
        assert view.delegate(ref, "else") is None
        assert view.delegate(ref._replace(name="h"), "root") is None
        assert view.delegate(ref._replace(name="none"), "root") is None
        assert "d" not in [n.partition("/")[2] for n in names(view, "a.test")]


class TestSidecarScope:
    def test_imports_limit_what_is_addressed_but_not_what_routes_name(self) -> None:
        view = view_of(
            sidecar("s", hosts=["./*"]),
            service_entry("a", ["near"]),
            service_entry("b", ["far"], "other"),
        )
        far = HostName("far.other.svc.cluster.local")
        assert [s.host for s in view.services()] == ["near.default.svc.cluster.local"]
        assert view.service(far) is None
        assert view.service_for_authority("far.other") is None
        found = view.destination(far)
        assert found is not None
        assert found.namespace == "other"

    def test_virtual_services_are_imported_by_their_own_host(self) -> None:
        documents = [
            sidecar("s", hosts=["./*", "other/a.test"]),
            virtual_service("a", ["a.test"], "other"),
            virtual_service("b", ["b.test"], "other"),
            virtual_service("w", ["*.test"], "other"),
            virtual_service("c", ["c.test"]),
        ]
        view = view_of(*documents)
        assert names(view, "a.test") == ["other/a"]
        assert names(view, "c.test") == ["default/c"]
        # The wildcard overlaps the imported a.test, so it is imported and takes b.test.
        assert names(view, "b.test") == ["other/w"]
        assert list(view.virtual_service_hosts()) == ["*.test", "a.test", "c.test"]

    def test_gateways_have_no_sidecar(self) -> None:
        documents = [sidecar("s", hosts=["~/*"]), service_entry("a", ["near"])]
        assert list(view_of(*documents).services()) == []
        assert len(list(view_of(*documents, is_gateway=True).services())) == 1

    @pytest.mark.parametrize(
        ("documents", "expected"),
        [
            ([], "ALLOW_ANY"),
            ([mesh_config(outboundTrafficPolicy={"mode": "REGISTRY_ONLY"})], "REGISTRY_ONLY"),
            ([sidecar("s")], "ALLOW_ANY"),
            ([sidecar("s", outboundTrafficPolicy={})], "REGISTRY_ONLY"),
            (
                [
                    mesh_config(outboundTrafficPolicy={"mode": "REGISTRY_ONLY"}),
                    sidecar("s", outboundTrafficPolicy={"mode": "ALLOW_ANY"}),
                ],
                "ALLOW_ANY",
            ),
        ],
    )
    def test_outbound_policy_of_the_sidecar_replaces_the_meshs(
        self, documents: list[Document], expected: str
    ) -> None:
        assert view_of(*documents).outbound_policy == expected

    def test_each_egress_listener_imports_for_itself(self) -> None:
        egress = [
            {"port": {"number": 9000, "protocol": "TCP", "name": "x"}, "hosts": ["*/a.test"]},
            {"hosts": ["*/b.test"]},
        ]
        view = view_of(
            sidecar("s", egress=egress),
            service_entry("a", ["a.test"]),
            service_entry("b", ["b.test"]),
            service_entry("c", ["c.test"]),
        )
        imported = [
            [service.host for service in view.listener_services(listener)]
            for listener in view.sidecar_scope.listeners
        ]
        assert imported == [["a.test"], ["b.test"]]
        assert [s.host for s in view.services()] == ["a.test", "b.test"]
        assert view.service_count() == 2


class TestGateways:
    def test_gateways_are_chosen_by_labels_across_namespaces_oldest_first(self) -> None:
        documents = [
            gateway("b", {"app": "edge"}, "other"),
            gateway("a", {"app": "edge"}),
            gateway("c", {"app": "else"}),
            gateway("d", {}),
        ]
        view = view_of(*documents, labels={"app": "edge", "v": "1"}, is_gateway=True)
        assert [one.ref.name for one in view.gateways()] == ["b", "a", "d"]
        assert view.gateways()[0].model.spec.servers[0].port.number == 80
        assert view_of(*documents, labels={"app": "edge"}).gateways() == ()


def test_a_view_is_what_its_consumers_declare() -> None:
    view = view_of()
    for_routing: GatewaySight = view
    for_balancing: DestinationSight = view
    assert for_routing.context is for_balancing.context


class TestContexts:
    def test_a_single_context_is_never_named_in_clusters(self) -> None:
        view = view_of(service_entry("a", ["reviews"]), destination_rule("d", "reviews"))
        assert view.context_tag(REVIEWS) == ""

    def test_of_several_contexts_one_is_named_only_where_policy_may_differ(self) -> None:
        store = Store(
            [
                service_entry("a", ["reviews"]),
                service_entry("b", ["ratings"]),
                destination_rule("d", "reviews"),
            ]
        )
        mesh = Mesh.build(store.catalog, store.registrations)
        view = View(mesh, Context("app", "default"), contexts=2)
        assert view.context_tag(REVIEWS) == "app"
        assert view.context_tag(HostName("ratings.default.svc.cluster.local")) == ""

    def test_what_a_context_may_not_address_is_never_another_contexts_cluster(self) -> None:
        """Found by requests: a route of one context reached a service that only the other one may see."""
        entry = service_entry("hidden", ["hidden.example.com"], namespace="prod", exportTo=["."])
        store = Store([entry])
        mesh = Mesh.build(store.catalog, store.registrations)
        hidden = HostName("hidden.example.com")
        assert View(mesh, Context("app", "default"), contexts=2).context_tag(hidden) == "app"
        assert View(mesh, Context("edge", "prod"), contexts=2).context_tag(hidden) == ""

    def test_provenance_names_the_generation_in_force(self) -> None:
        store = Store([virtual_service("a", ["a.test"])])
        store.put([virtual_service("a", ["b.test"])])
        view = View(Mesh.build(store.catalog, store.registrations), Context("", "default"))
        ref = ObjectRef(Kind.VIRTUAL_SERVICE, "default", "a")
        place = view.provenance(ref, "spec.http[0]")
        assert str(place) == "VirtualService/default/a@2 spec.http[0]"
        assert view.virtual_services_for(HostName("b.test"))[0].generation == 2
