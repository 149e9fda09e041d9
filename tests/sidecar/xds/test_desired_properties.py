"""Whatever happened before, the desired state is that of the mesh as it is: order and history leave no trace."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, MeshChange
from sidecar.routing.build import outbound_virtual_hosts
from sidecar.xds import protos as pb
from sidecar.xds.compile import Bind
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.eager import EagerHosts
from sidecar.xds.resource import DesiredChange, Resource, TypeUrl
from tests.harness.worlds import CHANGES, GATEWAY, OBJECTS, WEB, World

AUTHORITIES = (
    "a", "a:9080", "a:80", "a.other", "a.default:9080", "b:9080", "c:9080", "c", "10.9.0.1:9080",
    "api.example.com", "x.example.com", "www.example.com:80", "lone.test", "nobody", "a:3306", "10.9.0.2",
)  # fmt: skip

BATCH = Context("batch", "other", {"app": "batch"})

Held = dict[TypeUrl, dict[str, str]]


def builder(budget: int = 1000) -> Builder:
    outbound = {"": Bind("127.0.0.1", 15001), "batch": Bind("127.0.0.1", 15002)}
    return Builder(BuilderSettings(outbound, budget_services=budget))


def apply(held: Held, change: DesiredChange) -> None:
    """Do as Envoy would: take what is sent, forget what is removed; nothing sent may be what is held already."""
    for kind, names in change.removals.items():
        for name in names:
            del held[kind][name]
    for kind, resources in change.upserts.items():
        for name, resource in resources.items():
            assert held.setdefault(kind, {}).get(name) != resource.version, f"{name} sent twice"
            held[kind][name] = resource.version


def versions(resources: Mapping[TypeUrl, Mapping[str, Resource]]) -> Held:
    return {
        kind: {name: resource.version for name, resource in of_kind.items()}
        for kind, of_kind in resources.items()
        if of_kind
    }


def fresh(world: World, budget: int, given: Sequence[str] = ()) -> Builder:
    """A builder that knows nothing of the past, but for what Envoy asked for."""
    mesh = Mesh.build(world.store.catalog, world.store.registrations)
    made = builder(budget)
    made.preload(given)
    made.update(world.views_of(mesh), MeshChange(everything=True), "fresh")
    return made


@pytest.mark.parametrize(
    "contexts", [(WEB,), (GATEWAY,), (WEB, BATCH)], ids=["workload", "gateway", "two workloads"]
)
@given(changes=CHANGES)
@settings(max_examples=60)
def test_after_any_changes_a_mesh_loaded_whole_is_as_built_anew(
    contexts: tuple[Context, ...], changes: list[Mapping[str, object] | str]
) -> None:
    world = World(*contexts)
    made = builder()
    held: Held = {}
    apply(held, made.update(world.views, MeshChange(everything=True), "0"))
    for step in changes:
        change = world.change(step)
        apply(held, made.update(world.views, change, "n"))
        assert {k: v for k, v in held.items() if v} == versions(made.resources)
    assert versions(made.resources) == versions(fresh(world, 1000).resources)


@given(changes=CHANGES, asked=st.lists(st.sampled_from(AUTHORITIES), max_size=20))
@settings(max_examples=80)
def test_after_any_changes_and_questions_a_mesh_on_demand_is_as_built_anew(
    changes: list[Mapping[str, object] | str], asked: list[str]
) -> None:
    world = World()
    made = builder(budget=0)
    made.update(world.views, MeshChange(everything=True), "0")
    questions = iter(asked)
    for step in changes:
        change = world.change(step)
        made.update(world.views, change, "n")
        authority = next(questions, None)
        if authority is not None:
            name = f"outbound/{authority}"
            answer = made.ask([name]).upserts[TypeUrl.VIRTUAL_HOST][name]
            assert pb.VirtualHost.FromString(answer.body).domains == [authority]
    again = fresh(world, 0, made.given_names())
    assert versions(made.resources) == versions(again.resources)


@given(changes=CHANGES)
@settings(max_examples=60)
def test_domains_given_out_host_by_host_are_those_settled_at_once(
    changes: list[Mapping[str, object] | str],
) -> None:
    world = World()
    hosts = EagerHosts()
    held = hosts.update(world.views[""], MeshChange(everything=True))
    for step in changes:
        change = world.change(step)
        for name, found in hosts.update(world.views[""], change).items():
            held[name] = found
    *expected, _ = outbound_virtual_hosts(world.views[""])
    now = {name: vh for name, vh in held.items() if vh is not None}
    assert {n: (vh.domains, vh.routes) for n, vh in now.items()} == {
        vh.name: (vh.domains, vh.routes) for vh in expected
    }


@given(changes=CHANGES)
@settings(max_examples=50)
def test_no_domain_is_given_twice_and_no_destination_lacks_what_the_balancer_has(
    changes: list[Mapping[str, object] | str],
) -> None:
    world = World()
    for step in changes:
        world.change(step)
    resources = fresh(world, 1000).resources
    domains = [
        domain
        for resource in resources[TypeUrl.VIRTUAL_HOST].values()
        if resource.name.startswith("outbound/")
        for domain in pb.VirtualHost.FromString(resource.body).domains
    ]
    assert len(domains) == len(set(domains))
    eds = {
        name
        for name, resource in resources[TypeUrl.CLUSTER].items()
        if pb.Cluster.FromString(resource.body).type == pb.Cluster.EDS
    }
    assert eds == set(resources[TypeUrl.ENDPOINTS])


UNRELATED = [OBJECTS[i] for i in (1, 3, 4, 5, 7, 8, 15, 18, 20)]


@given(st.permutations(UNRELATED))
@settings(max_examples=100)
def test_bytes_do_not_depend_on_the_order_of_creation_of_unrelated_objects(
    order: list[Mapping[str, object]],
) -> None:
    """envoy#8564: rules that moved by themselves drained listeners without end."""
    worlds = World(), World()
    for world, documents in zip(worlds, (UNRELATED, order), strict=True):
        for document in documents:
            world.change(document)
    one, other = (versions(fresh(world, 1000).resources) for world in worlds)
    assert one == other


PROGRAM = """
from tests.sidecar.xds.test_desired_properties import digest
print(digest())
"""


def digest() -> str:
    """Hash of every byte of a builder over all objects."""
    world = World()
    for document in OBJECTS:
        world.change(document)
    hashed = hashlib.sha256()
    for budget in (1000, 0):
        names = [f"outbound/{authority}" for authority in AUTHORITIES]
        for of_kind in fresh(world, budget, names).resources.values():
            for resource in of_kind.values():
                hashed.update(resource.name.encode() + resource.body)
    return hashed.hexdigest()


@pytest.mark.slow
def test_bytes_are_the_same_in_every_process() -> None:
    def run(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    seeds = [*range(1, 100), 4242] if os.environ.get("MESHD_TEST_DEEP") else [1, 77, 4242]
    assert {run(str(seed)) for seed in seeds} == {digest()}
