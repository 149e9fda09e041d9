"""From a registration to workloads: what they take from their host, who is left out."""

from __future__ import annotations

import pytest

from sidecar.mesh.registrations import registered_workloads
from sidecar.mesh.services import RegisteredWorkload
from store.objects.host import HostRegistration
from tests.harness.catalogs import Document
from tests.harness.objects import registration, workload


def read(document: Document) -> list[RegisteredWorkload]:
    model = HostRegistration.model_validate(document)
    return list(registered_workloads(model, 7, "cluster.local").values())


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("reviews", "reviews.prod.svc.cluster.local"),
        ("api.example.com", "api.example.com"),
        ("", None),
    ],
)
def test_a_short_service_name_is_completed_with_the_workloads_namespace(
    service: str, expected: str | None
) -> None:
    (one,) = read(registration("vm-1", workload("w", service, namespace="prod")))
    assert one.service == expected
    assert (one.key.host, one.key.namespace, one.key.name) == ("vm-1", "prod", "w")
    assert one.create_revision == 7


def test_what_a_workload_does_not_say_is_its_hosts() -> None:
    bare, full = read(
        registration(
            "vm-1",
            workload("a"),
            workload("b", address="10.9.9.9", locality="us", network="n2"),
            locality="eu",
            network="n1",
        )
    )
    assert (bare.address, bare.locality, bare.network) == ("10.1.0.1", "eu", "n1")
    assert (full.address, full.locality, full.network) == ("10.9.9.9", "us", "n2")


@pytest.mark.parametrize(
    ("host", "own", "expected"),
    [
        ("serving", "serving", [False]),
        ("serving", "draining", [True]),
        ("draining", "serving", [True]),
        ("serving", "withdrawn", []),
        ("withdrawn", "serving", []),
    ],
)
def test_withdrawn_workloads_are_gone_and_draining_ones_are_marked(
    host: str, own: str, expected: list[bool]
) -> None:
    found = read(registration("vm-1", workload("w", state=own), state=host))
    assert [one.is_draining for one in found] == expected
