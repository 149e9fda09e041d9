from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from store.objects.host import HostRegistration, WorkloadHealth, WorkloadState

BASE: dict[str, Any] = {"apiVersion": "meshd.io/v1", "kind": "HostRegistration", "host": "vm-7"}


def registration(*workloads: dict[str, Any], **fields: object) -> HostRegistration:
    return HostRegistration.model_validate({**BASE, "workloads": list(workloads), **fields})


def error_of(*workloads: dict[str, Any], **fields: object) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        registration(*workloads, **fields)
    (error,) = caught.value.errors()
    return ".".join(map(str, error["loc"])), error["type"]


def test_a_workload_serves_and_is_healthy_unless_it_says_otherwise() -> None:
    (workload,) = registration({"name": "a"}).workloads
    assert workload.state is WorkloadState.SERVING
    assert workload.health is WorkloadHealth.HEALTHY
    assert (workload.namespace, workload.weight, workload.service) == ("default", 1, "")


def test_all_fields_are_read() -> None:
    found = registration(
        {
            "name": "a",
            "namespace": "team",
            "labels": {"app": "a"},
            "service": "a.example",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 15080}],
            "address": "fd00::1",
            "locality": "r/z/s",
            "network": "n",
            "weight": 3,
            "serviceAccount": "sa",
            "tlsMode": "istio",
            "state": "draining",
            "health": "unhealthy",
        },
        gossipAddress="10.0.0.7:7946",
        state="withdrawn",
        address="10.0.0.7",
    )
    assert found.state is WorkloadState.WITHDRAWN
    assert found.workloads[0].ports[0].target_port == 15080
    assert found.workloads[0].state is WorkloadState.DRAINING


@pytest.mark.parametrize(
    ("workload", "path", "error"),
    [
        ({"name": "A"}, "workloads.0.name", "name"),
        ({"name": "a", "namespace": "a.b"}, "workloads.0.namespace", "name"),
        ({"name": "a", "service": "*.example"}, "workloads.0.service", "name"),
        ({"name": "a", "address": "host.example"}, "workloads.0.address", "address"),
        ({"name": "a", "tlsMode": "mutual"}, "workloads.0.tlsMode", "literal_error"),
        ({"name": "a", "state": "gone"}, "workloads.0.state", "enum"),
        ({"name": "a", "weight": 2**16}, "workloads.0.weight", "less_than_equal"),
        (
            {"name": "a", "ports": [{"number": 65536}]},
            "workloads.0.ports.0.number",
            "less_than_equal",
        ),
    ],
)
def test_what_would_break_envoy_or_a_key_is_refused(
    workload: dict[str, Any], path: str, error: str
) -> None:
    assert error_of(workload) == (path, error)


def test_a_workload_is_given_once() -> None:
    assert error_of({"name": "a"}, {"name": "a"}) == ("workloads", "duplicate")
    assert registration({"name": "a"}, {"name": "a", "namespace": "b"})


def test_the_host_is_a_key() -> None:
    assert error_of(host="a/b") == ("host", "name")
