"""The file of those that send as this host does: which service it is, and that it follows the mesh."""

from __future__ import annotations

import json

from sidecar.mesh.model import MeshChange
from sidecar.registration.record import OwnPort, OwnWorkload
from sidecar.xds.siblings import NO_SIBLINGS, Siblings
from tests.harness.objects import registration, service_entry, workload
from tests.harness.worlds import World

PORTS = (OwnPort(9080, "http", "HTTP", 15006),)
NAMED = OwnWorkload("front-1", "default", "front", {}, PORTS)
SELECTED = OwnWorkload("carts-1", "default", "", {"app": "carts"}, PORTS)


def addresses(siblings: Siblings) -> list[tuple[str, str]]:
    """(zone, address) of each."""
    (body,) = json.loads(siblings.text)["resources"]
    return [
        (group["locality"]["zone"], one["endpoint"]["address"]["socket_address"]["address"])
        for group in body.get("endpoints", ())
        for one in group["lb_endpoints"]
    ]


def follow(siblings: Siblings, world: World, *steps: object) -> None:
    for step in steps:
        change = world.change(step)  # type: ignore[arg-type] # documents and keys
        siblings.update(next(iter(world.views.values())), change)


def front(host: str, zone: str, address: str) -> object:
    return registration(host, workload(f"front-{host}", "front"), locality=zone, address=address)


def test_a_host_without_workloads_has_none() -> None:
    siblings, world = Siblings(), World()
    siblings.update(next(iter(world.views.values())), MeshChange(everything=True))
    assert siblings.text == NO_SIBLINGS
    assert json.loads(NO_SIBLINGS)["resources"][0]["cluster_name"] == "meshd_siblings"


def test_they_are_the_endpoints_of_the_services_that_it_belongs_to() -> None:
    siblings, world = Siblings([NAMED]), World()
    follow(siblings, world, front("h1", "eu/a", "10.0.0.1"), front("h2", "eu/b", "10.0.0.2"))
    assert addresses(siblings) == [("a", "10.0.0.1"), ("b", "10.0.0.2")]
    follow(siblings, world, "hosts/h2")
    assert addresses(siblings) == [("a", "10.0.0.1")]


def test_a_workload_without_a_service_has_those_of_the_service_that_selects_it() -> None:
    siblings, world = Siblings([SELECTED]), World()
    host = registration(
        "h1", workload("carts-1", labels={"app": "carts"}), locality="eu/a", address="10.0.0.1"
    )
    follow(siblings, world, host)
    assert addresses(siblings) == []
    entry = service_entry(
        "carts", ["carts.example.com"], workloadSelector={"labels": {"app": "carts"}}
    )
    follow(siblings, world, entry)
    assert addresses(siblings) == [("a", "10.0.0.1")]


def test_another_membership_counts_from_the_next_update_on() -> None:
    siblings, world = Siblings(), World()
    follow(siblings, world, front("h1", "eu/a", "10.0.0.1"))
    siblings.join([NAMED])
    siblings.update(next(iter(world.views.values())), MeshChange(everything=True))
    assert addresses(siblings) == [("a", "10.0.0.1")]
