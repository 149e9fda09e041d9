"""The mesh is the same however it came about, and says exactly enough of what changed.

Random objects are put, changed and deleted in random order. After each step the derived mesh must answer every question
as one built from scratch does, and every host whose answers differ from before must be named by the change.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map

from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, HostName, MeshChange
from sidecar.mesh.view import View
from store.catalog import CatalogChange
from store.objects.base import ObjectRef
from store.objects.host import HostRegistration
from store.objects.kinds import Kind
from tests.harness.catalogs import Document, Store, key_of
from tests.harness.objects import (
    destination_rule,
    gateway,
    mesh_config,
    registration,
    service_entry,
    sidecar,
    virtual_service,
    workload,
    workload_entry,
)

NAMESPACES = ["m", "n", "meshd-system"]
HOSTS = ["a", "b", "a.m.svc.cluster.local", "x.test", "y.test", "*.test", "*"]
CONTEXTS = [
    Context("", "m"),
    Context("", "n", {"app": "web"}),
    Context("", "n", {"app": "edge"}, is_gateway=True),
]
GATEWAY = "m/g"

QUESTIONS = [
    HostName(host)
    for host in (
        "a.m.svc.cluster.local",
        "a.n.svc.cluster.local",
        "b.m.svc.cluster.local",
        "x.test",
        "y.test",
        "z.test",
        "*.test",
        "elsewhere.org",
    )
]

namespaces = st.sampled_from(NAMESPACES)
names = st.sampled_from(["p", "q"])
some_hosts = st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2, unique=True)
label_sets = st.sampled_from([{"app": "web"}, {"app": "web", "v": "1"}, {"app": "edge"}])
exports = st.sampled_from([{}, {"exportTo": ["."]}, {"exportTo": ["n"]}, {"exportTo": ["*"]}])
delegations = st.sampled_from([{}, {"http": [{"delegate": {"name": "p", "namespace": "m"}}]}])
gateways = st.sampled_from([{}, {"gateways": [GATEWAY]}, {"gateways": ["mesh", GATEWAY]}])


def merged(*parts: dict[str, object]) -> dict[str, object]:
    return {key: value for part in parts for key, value in part.items()}


documents: st.SearchStrategy[Document] = st.one_of(
    st.builds(
        lambda n, h, s, e, d, g: virtual_service(n, h, s, **merged(e, d, g)),
        names,
        st.one_of(some_hosts, st.just([])),
        namespaces,
        exports,
        delegations,
        gateways,
    ),
    st.builds(
        lambda n, h, s, e, v: destination_rule(
            n, h, s, **merged(e, {"subsets": [{"name": v, "labels": {"v": "1"}}]})
        ),
        names,
        st.sampled_from(HOSTS),
        namespaces,
        exports,
        st.sampled_from(["v1", "v2"]),
    ),
    st.builds(
        lambda n, h, s, e, r: service_entry(n, h, s, **merged(e, r)),
        names,
        some_hosts,
        namespaces,
        exports,
        st.sampled_from(
            [
                {"endpoints": [{"address": "10.0.0.1"}]},
                {"workloadSelector": {"labels": {"app": "web"}}},
                {"resolution": "DNS"},
            ]
        ),
    ),
    st.builds(
        workload_entry,
        names,
        st.sampled_from(["10.2.0.1", "10.2.0.2"]),
        label_sets,
        namespaces,
    ),
    st.builds(
        sidecar,
        names,
        namespaces,
        st.sampled_from([["*/*"], ["./*"], ["m/x.test", "*/*.local"]]),
    ),
    st.builds(lambda v: gateway("g", {"app": "edge", **v}, "m"), st.sampled_from([{}, {"v": "1"}])),
    st.builds(
        lambda h, s, service, labels, state: registration(
            h, workload("w", service, namespace=s, labels=labels, state=state)
        ),
        st.sampled_from(["vm-1", "vm-2"]),
        namespaces,
        st.sampled_from(["a", "x.test", ""]),
        label_sets,
        st.sampled_from(["serving", "draining", "withdrawn"]),
    ),
    st.builds(lambda d: mesh_config(domain=d), st.sampled_from(["cluster.local", "m.test"])),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete"]), st.lists(documents, min_size=1, max_size=3)
    ),
    max_size=8,
)


SELECT_WEB = {"workloadSelector": {"labels": {"app": "web"}}}
DELEGATE_TO_P = [{"delegate": {"name": "p", "namespace": "m"}}]

# Changes begin with a mesh whose objects depend on one another.
BEGINNING: list[Document] = [
    service_entry("p", ["a"], "m", **SELECT_WEB),
    service_entry("q", ["x.test"], "n", **SELECT_WEB),
    workload_entry("p", "10.2.0.1", {"app": "web"}, "m"),
    workload_entry("q", "10.2.0.2", {"app": "edge"}, "n"),
    registration("vm-1", workload("w", "a", namespace="m", labels={"app": "web"})),
    virtual_service("q", ["x.test", "*.test"], "m", gateways=["mesh", GATEWAY], http=DELEGATE_TO_P),
    virtual_service("p", [], "m"),
    destination_rule("p", "*.test", "n", subsets=[{"name": "v2"}]),
    gateway("g", {"app": "edge"}, "m"),
]


def answers(mesh: Mesh, host: HostName) -> list[object]:
    """Everything that any context is told about a host."""
    found: list[object] = []
    for context in CONTEXTS:
        view = View(mesh, context)
        service = view.destination(host)
        found += [view.service(host), service, view.service_for_authority(host)]
        found += [view.endpoints(service, 80), view.endpoints(service, 9080)] if service else []
        found += [view.policy(host, 80, "v1"), view.subset_labels(host, "v2")]
        for one in view.virtual_services_for(host):
            delegates = [view.delegate(d, one.ref.namespace) for d in one.facts.delegates]
            found += [one.facts, one.model.spec, [d and d.model.spec for d in delegates]]
    return found


def gateway_answers(mesh: Mesh) -> list[object]:
    """Everything that a gateway is told."""
    view = View(mesh, CONTEXTS[2])
    found: list[object] = [view.gateways(), sorted(view.virtual_service_hosts(GATEWAY))]
    for one in view.virtual_services_of(GATEWAY):
        delegates = [view.delegate(d, one.ref.namespace) for d in one.facts.delegates]
        found += [one.facts, one.model.spec, [d and d.model.spec for d in delegates]]
    return found


def everything(mesh: Mesh) -> list[object]:
    found: list[object] = [answers(mesh, host) for host in QUESTIONS]
    for context in CONTEXTS:
        view = View(mesh, context)
        found += [list(view.services()), list(view.virtual_service_hosts()), view.outbound_policy]
    return [*found, gateway_answers(mesh)]


def taken(store: Store, action: str, objects: Iterable[Document]) -> None:
    if action == "put":
        latest = {key_of(document): document for document in objects}
        store.put(latest.values())
    else:
        store.delete(*{key_of(document) for document in objects})


@given(steps)
@settings(max_examples=60)
def test_a_derived_mesh_is_the_one_built_from_scratch(
    changes: list[tuple[str, list[Document]]],
) -> None:
    store = Store(BEGINNING)
    mesh = Mesh.build(store.catalog, store.registrations)
    for action, objects in changes:
        before = {host: answers(mesh, host) for host in QUESTIONS}
        at_gateways = gateway_answers(mesh)
        taken(store, action, objects)
        mesh, change = mesh.apply(store.catalog, store.change, store.registrations)
        assert everything(mesh) == everything(Mesh.build(store.catalog, store.registrations))
        for host in QUESTIONS:
            if answers(mesh, host) != before[host]:
                assert change.touches(host), (host, change)
        if gateway_answers(mesh) != at_gateways:
            assert change.gateways or change.everything, change


@given(st.lists(documents, max_size=8))
@settings(max_examples=25)
def test_deleting_everything_leaves_no_trace(objects: list[Document]) -> None:
    store = Store()
    mesh = Mesh.build(store.catalog, store.registrations)
    for action in ("put", "delete"):
        taken(store, action, objects)
        mesh, _ = mesh.apply(store.catalog, store.change, store.registrations)
    empty = Mesh.build(Store().catalog, Map())
    for name in ("facts", "workloads", "services", "virtual_services", "destination_rules"):
        assert getattr(mesh, name) == getattr(empty, name), name
    assert len(mesh.sidecars) == len(mesh.gateways) == 0


def change_of(before: Iterable[Document], *after: Document) -> MeshChange:
    """What changes when `after` is put over `before`."""
    store = Store(before)
    mesh = Mesh.build(store.catalog, store.registrations)
    store.put(after)
    return mesh.apply(store.catalog, store.change, store.registrations)[1]


class TestChange:
    def test_old_and_new_hosts_of_a_virtual_service_are_named(self) -> None:
        change = change_of(
            [virtual_service("v", ["a.x", "b.x"])], virtual_service("v", ["b.x", "*.y"])
        )
        assert change == MeshChange(
            hosts=frozenset({HostName("a.x"), HostName("b.x")}),
            patterns=frozenset({HostName("*.y")}),
            routed=frozenset({HostName("a.x"), HostName("b.x"), HostName("*.y")}),
        )

    def test_what_both_routes_and_services_say_is_no_matter_of_routes_alone(self) -> None:
        change = change_of([], virtual_service("v", ["a.x", "b.x"]), service_entry("s", ["a.x"]))
        assert change.hosts == {"a.x", "b.x"}
        assert change.routed == {"b.x"}
        assert change.of_destinations() == MeshChange(hosts=frozenset({HostName("a.x")}))

    def test_a_virtual_service_of_a_gateway_names_the_gateway(self) -> None:
        change = change_of([], virtual_service("v", ["a.x"], "m", gateways=["edge/g"]))
        assert change.gateways == {ObjectRef(Kind.GATEWAY, "edge", "g")}
        assert not change.everything

    def test_a_delegate_names_what_its_roots_serve(self) -> None:
        rules = [{"delegate": {"name": "d"}}]
        root = virtual_service("root", ["a.x"], http=rules, gateways=["mesh", "g"])
        change = change_of([root], virtual_service("d", []))
        assert change.hosts == {"a.x"}
        assert change.gateways == {ObjectRef(Kind.GATEWAY, "default", "g")}

    def test_a_destination_rule_names_its_host(self) -> None:
        change = change_of([destination_rule("d", "a.x")], destination_rule("d", "*.x"))
        assert change == MeshChange(
            hosts=frozenset({HostName("a.x")}), patterns=frozenset({HostName("*.x")})
        )

    def test_a_workload_entry_names_the_hosts_that_select_it_before_and_after(self) -> None:
        def entry(name: str, app: str) -> Document:
            return service_entry(name, [f"{name}.x"], workloadSelector={"labels": {"app": app}})

        before = [entry("s", "web"), entry("t", "batch"), entry("u", "none")]
        before.append(workload_entry("w", "10.0.0.1", {"app": "web"}))
        change = change_of(before, workload_entry("w", "10.0.0.1", {"app": "batch"}))
        assert change == MeshChange(hosts=frozenset({HostName("s.x"), HostName("t.x")}))

    def test_a_registration_names_its_services_and_the_hosts_that_select_it(self) -> None:
        selecting = service_entry("s", ["s.x"], workloadSelector={"labels": {"app": "web"}})
        change = change_of(
            [selecting, registration("vm-1", workload("w", "old"), workload("same", "same"))],
            registration(
                "vm-1", workload("w", "new", labels={"app": "web"}), workload("same", "same")
            ),
        )
        assert change.hosts == {
            "s.x",
            "old.default.svc.cluster.local",
            "new.default.svc.cluster.local",
        }

    @pytest.mark.parametrize("document", [sidecar("s"), mesh_config(connectTimeout="3s")])
    def test_sidecars_and_mesh_settings_may_change_everything(self, document: Document) -> None:
        assert change_of([], document).everything

    def test_a_mesh_config_that_says_what_holds_already_changes_nothing(self) -> None:
        assert not change_of([], mesh_config(domain="cluster.local"))

    def test_a_gateway_names_itself(self) -> None:
        change = change_of([], gateway("g", {"app": "edge"}))
        assert change == MeshChange(gateways=frozenset({ObjectRef(Kind.GATEWAY, "default", "g")}))

    def test_a_registration_let_go_without_a_change_of_the_store_is_found(self) -> None:
        store = Store([registration("vm-1", workload("w", "a"))])
        mesh = Mesh.build(store.catalog, store.registrations)
        gone: Map[str, HostRegistration] = Map()
        mesh, change = mesh.apply(store.catalog, CatalogChange(), gone)
        assert change.hosts == {"a.default.svc.cluster.local"}
        assert View(mesh, CONTEXTS[0]).service(HostName("a.default.svc.cluster.local")) is None

    def test_a_host_that_is_kept_stays_as_old_as_it_was(self) -> None:
        store = Store(
            [registration("vm-2", workload("w", "a")), registration("vm-1", workload("w", "a"))]
        )
        mesh = Mesh.build(store.catalog, store.registrations)
        kept = store.registrations
        store.delete("hosts/vm-2")
        mesh, change = mesh.apply(store.catalog, store.change, kept)
        assert not change
        service = View(mesh, Context("", "default")).service(
            HostName("a.default.svc.cluster.local")
        )
        assert service is not None
        assert service.source.path == "hosts/vm-2"
        assert service.create_revision == 1
