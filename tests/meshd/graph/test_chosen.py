from __future__ import annotations

import pytest

from meshd.graph.chosen import choice_of
from sidecar.mesh.view import View
from sidecar.routing.build import outbound_virtual_hosts
from tests.harness.routing import object_of
from tests.meshd.graph.meshes import WEB, mesh_of, route_to, rule, service

A = "a.default.svc.cluster.local"
B = "b.default.svc.cluster.local"


def chosen(host: str) -> list[str]:
    view = View(
        mesh_of(
            service(A, "http:80,grpc:9090", "10.0.0.1", addresses=["240.0.0.1"]),
            service(B, "http:80,mysql:3306", "10.0.0.2"),
            rule("b", [route_to(("a", 1))], "b"),
            rule("wild", [route_to(("b", 1))], "*.my-co.org"),
            object_of("MeshConfig", "mesh", {}),
        ),
        WEB,
    )
    choice = choice_of(view, host)
    return [one.name for one in outbound_virtual_hosts(view) if choice.has_host(one)]


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("a", [f"{A}:80", f"{A}:9090", f"{B}:80"]),
        ("A.default", [f"{A}:80", f"{A}:9090", f"{B}:80"]),
        ("240.0.0.1", [f"{A}:80", f"{A}:9090", f"{B}:80"]),
        ("a:9090", [f"{A}:9090"]),
        ("b:3306", [f"{B}:3306"]),
        ("www.my-co.org", ["*.my-co.org:80"]),
        ("*.my-co.org", ["*.my-co.org:80"]),
        ("b", [f"{B}:80", f"{B}:3306", "*.my-co.org:80"]),
        ("nobody", []),
        ("", []),
        ("[", []),
        ("::::", []),
    ],
)
def test_a_host_is_chosen_by_any_of_its_names_with_all_that_leads_to_it(
    host: str, found: list[str]
) -> None:
    assert sorted(chosen(host)) == sorted(found)
