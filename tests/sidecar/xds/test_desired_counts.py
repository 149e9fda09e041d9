"""What a change makes the builder compile: counted, since work without a result shows nowhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.xds import destinations, outbound, route_tables
from tests.sidecar.xds.test_desired import EDS, SUBSETS, Host, cluster, rules, service

COMPILERS = (
    (destinations, "compile_cluster"),
    (destinations, "compile_endpoints"),
    (route_tables, "compile_virtual_host"),
    (route_tables, "compile_route_configuration"),
    (outbound, "compile_outbound_listener"),
)
NAMES = tuple(f"s{number}" for number in range(30))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each compiler was called; they do their work all the same."""
    counts: Counter[str] = Counter()

    def counting(name: str, compiler: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **named: Any) -> Any:
            counts[name.removeprefix("compile_")] += 1
            return compiler(*arguments, **named)

        return count

    for module, name in COMPILERS:
        monkeypatch.setattr(module, name, counting(name, getattr(module, name)))
    return counts


def mesh(compiled: Counter[str], **settings: object) -> Host:
    host = Host(*map(service, NAMES), *(rules(name, name) for name in NAMES), **settings)
    if not settings:
        assert compiled["cluster"] == compiled["endpoints"] == len(NAMES)
        # The service on its port, and what its rules answer on port 80, which it does not have.
        assert compiled["virtual_host"] == 2 * len(NAMES)
    compiled.clear()
    return host


def test_a_changed_route_compiles_its_virtual_hosts_alone(compiled: Counter[str]) -> None:
    mesh(compiled).put(rules("s3", "s4"))
    # s4 is named by two now: it has its cluster already.
    assert compiled == {"virtual_host": 2}


def test_changed_endpoints_compile_what_is_of_their_service_and_are_told_alone(
    compiled: Counter[str],
) -> None:
    change = mesh(compiled).put(service("s3", "10.0.0.1", "10.0.0.2"))
    assert compiled == {"cluster": 1, "endpoints": 1, "virtual_host": 1}
    # The others come out as they were: they know of the object's new generation, and say the same.
    assert {kind: list(told) for kind, told in change.upserts.items()} == {EDS: [cluster("s3")]}


def test_a_changed_rule_compiles_the_clusters_of_its_host_alone(compiled: Counter[str]) -> None:
    mesh(compiled).put(SUBSETS.format(name="s3", subsets="{name: v1, labels: {v: '1'}}"))
    assert compiled["cluster"] == compiled["endpoints"] == 1
    assert set(compiled) <= {"cluster", "endpoints", "virtual_host"}
    assert compiled["virtual_host"] <= 2


def test_the_same_again_compiles_nothing_that_routes_say(compiled: Counter[str]) -> None:
    assert not mesh(compiled).put(rules("s3", "s3"))
    assert compiled["cluster"] == compiled["endpoints"] == 0


def test_beyond_the_budget_nothing_is_compiled_that_nobody_asked_for(
    compiled: Counter[str],
) -> None:
    host = mesh(compiled, budget_services=0)
    assert host.first.upserts
    for name in ("s5", "s6"):
        assert not host.put(rules(name, name, "s7"))
        assert not host.put(service(name, "10.0.0.9"))
    assert not compiled
    host.ask("s5.default.svc.cluster.local:9080")
    # s5 and s7, which its route names.
    assert compiled == {"virtual_host": 1, "cluster": 2, "endpoints": 2}
    compiled.clear()
    assert not host.put(rules("s6", "s6"))
    assert not compiled


def test_no_change_of_the_mesh_compiles_the_listener_again(compiled: Counter[str]) -> None:
    host = mesh(compiled)
    host.put(rules("s1", "s2"))
    host.put(service("new"))
    host.delete("ns/default/serviceentries/s9")
    assert not {"outbound_listener", "route_configuration"} & set(compiled)
