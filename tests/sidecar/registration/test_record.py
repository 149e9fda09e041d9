"""This host's own registration: the document and the steps of its life."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import pytest

from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, Health, HostName
from sidecar.mesh.view import View
from sidecar.registration.record import STEPS, OwnPort, OwnRecord, OwnWorkload, Stage
from store.objects.host import HostRegistration, WorkloadHealth, WorkloadState
from tests.harness.catalogs import Store

REVIEWS = OwnWorkload(
    name="reviews",
    namespace="default",
    service="reviews",
    labels={"version": "v1", "app": "reviews"},
    service_account="reviews",
    ports=(OwnPort(9080, "http", "HTTP", 15006),),
)
BATCH = OwnWorkload("batch", "jobs", "", {}, ())
RECORD = OwnRecord("vm-1", "10.0.0.1", (REVIEWS, BATCH), locality="eu/west")


@pytest.mark.parametrize(("now", "then"), list(product(Stage, Stage)))
def test_only_the_steps_of_the_table_are_taken(now: Stage, then: Stage) -> None:
    record = replace(RECORD, stage=now)
    if then in STEPS[now]:
        assert record.at(then) == replace(RECORD, stage=then)
    else:
        with pytest.raises(AssertionError, match=f"a {now} host cannot become {then}"):
            record.at(then)


def test_a_host_says_that_it_drains_and_withdraws_before_it_is_gone() -> None:
    def reached(allowed: set[Stage]) -> set[Stage]:
        found = {Stage.SERVING}
        for _ in Stage:
            found |= {then for now in found for then in STEPS[now] & allowed}
        return found

    assert set(STEPS) == set(Stage)
    assert reached(set(Stage)) == set(Stage)
    for skipped in (Stage.DRAINING, Stage.WITHDRAWN):
        assert Stage.DELETED not in reached(set(Stage) - {skipped})


def test_equal_records_are_equal_bytes_whatever_the_order_of_labels() -> None:
    other = replace(REVIEWS, labels={"app": "reviews", "version": "v1"})
    assert replace(RECORD, workloads=(other, BATCH)).encode() == RECORD.encode()


def test_everything_is_read_back_by_peers() -> None:
    full = replace(
        RECORD,
        workloads=(replace(REVIEWS, weight=3, carries_tls=True), BATCH),
        network="n1",
        stage=Stage.DRAINING,
        unhealthy=frozenset({"reviews"}),
        draining=frozenset({"batch"}),
        gossip_address="10.0.0.1:7946",
    )
    read = HostRegistration.model_validate(json.loads(full.encode()))
    assert (read.host, read.address, read.locality) == ("vm-1", "10.0.0.1", "eu/west")
    assert (read.network, read.gossip_address) == ("n1", "10.0.0.1:7946")
    assert read.state is WorkloadState.DRAINING
    reviews, batch = read.workloads
    assert (reviews.health, reviews.state) == (WorkloadHealth.UNHEALTHY, WorkloadState.SERVING)
    assert (batch.health, batch.state) == (WorkloadHealth.HEALTHY, WorkloadState.DRAINING)
    assert (reviews.service, reviews.service_account) == ("reviews", "reviews")
    assert (reviews.weight, reviews.tls_mode) == (3, "istio")
    assert (batch.namespace, batch.service, batch.ports) == ("jobs", "", ())
    port = reviews.ports[0]
    assert (port.number, port.name, port.protocol, port.target_port) == (
        9080,
        "http",
        "HTTP",
        15006,
    )


def test_what_a_host_writes_makes_a_service_for_its_peers_until_it_withdraws() -> None:
    store = Store([json.loads(RECORD.encode())])
    view = View(Mesh.build(store.catalog, store.registrations), Context("", "default"))
    service = view.service_for_authority("reviews")
    assert service is not None
    (endpoint,) = view.endpoints(service, 9080)
    assert (endpoint.address, endpoint.port, endpoint.health) == ("10.0.0.1", 15006, Health.HEALTHY)
    assert endpoint.labels == REVIEWS.labels
    withdrawn = RECORD.at(Stage.DRAINING).at(Stage.WITHDRAWN)
    store.put([json.loads(withdrawn.encode())])
    view = View(Mesh.build(store.catalog, store.registrations), Context("", "default"))
    assert view.service(HostName("reviews.default.svc.cluster.local")) is None


def test_a_deleted_host_has_no_record() -> None:
    with pytest.raises(AssertionError, match="vm-1 is deleted"):
        replace(RECORD, stage=Stage.DELETED).encode()
