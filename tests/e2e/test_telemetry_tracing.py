"""Trace context passes through two sidecars, and with a collector both make spans of every sampled request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.collector import SPANS_S, Collector
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
CONTEXT = {
    "traceparent": TRACEPARENT,
    "tracestate": "vendor=1",
    "baggage": "user=1",
    "b3": "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1",
    "x-b3-traceid": "80f198ee56343ba864fe8b2a57d3eff7",
    "x-b3-sampled": "1",
    "x-request-id": "3f1a1b1c-0c0d-4e0e-8f0f-000102030405",
}

Meshed = tuple[MeshFixture, SidecarProcess, Collector]


def mesh_config(**spec: object) -> str:
    return f"apiVersion: meshd.io/v1\nkind: MeshConfig\nmetadata: {{name: mesh}}\nspec: {spec}\n"


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with Collector() as collector, reviews_mesh() as (mesh, client):
        mesh.put(reviews_to("v1"))
        yield mesh, client, collector


def test_without_a_collector_what_clients_send_is_passed_on(meshed: Meshed) -> None:
    _, client, collector = meshed
    seen = client.ask(REVIEWS, headers=CONTEXT).seen["headers"]
    assert {name: seen.get(name) for name in CONTEXT} == CONTEXT
    assert not collector.spans


def test_a_request_without_id_gets_one_that_both_sidecars_keep(meshed: Meshed) -> None:
    _, client, _ = meshed
    assert len(client.ask(REVIEWS).seen["headers"]["x-request-id"]) == 36


@pytest.fixture(scope="module")
def traced(meshed: Meshed) -> Meshed:
    """The same mesh, and all of its requests are traced: connections that were open before have ended."""
    mesh, client, collector = meshed
    place = f"127.0.0.1:{collector.port}"
    mesh.put(mesh_config(tracing={"collector": place, "sampling": 100.0}))

    def by_both() -> bool:
        client.ask(REVIEWS)
        return {span.service for span in collector.spans} == {
            "client.default",
            "reviews-h1.default",
        }

    wait_until(by_both, SPANS_S, "spans of both sidecars")
    return meshed


class TestWithCollector:
    def test_both_sidecars_make_spans_of_one_trace(self, traced: Meshed) -> None:
        _, client, collector = traced
        seen = client.ask(REVIEWS, "/both?of=them", headers={"user-agent": "probe"}).seen["headers"]
        asked = collector.wait_for(2, user_agent="probe")
        by_service = {span.service: span for span in asked}
        assert set(by_service) == {"client.default", "reviews-h1.default"}
        source, destination = by_service["client.default"], by_service["reviews-h1.default"]
        assert source.trace_id == destination.trace_id
        assert destination.parent_id == source.span_id
        # The application goes on from the span of its own sidecar.
        assert seen["traceparent"].split("-")[1:3] == [destination.trace_id, destination.span_id]
        assert destination.attributes["istio.canonical_service"] == "reviews-h1"
        assert destination.attributes["istio.canonical_revision"] == "v1"
        assert destination.attributes["istio.namespace"] == "default"
        cluster = source.attributes["upstream_cluster.name"]
        assert cluster == "outbound|9080|v1|reviews.default.svc.cluster.local"
        assert source.attributes["http.status_code"] == "200"
        assert source.attributes["response_flags"] == "-"

    def test_a_trace_of_the_client_is_carried_on(self, traced: Meshed) -> None:
        _, client, collector = traced
        headers = {**CONTEXT, "user-agent": "carried"}
        seen = client.ask(REVIEWS, headers=headers).seen["headers"]
        spans = collector.wait_for(2, user_agent="carried")
        assert {span.trace_id for span in spans} == {TRACE}
        assert "00f067aa0ba902b7" in {span.parent_id for span in spans}
        assert seen["traceparent"].startswith(f"00-{TRACE}-")
        for name in ("tracestate", "baggage", "b3", "x-b3-traceid", "x-request-id"):
            assert seen[name] == CONTEXT[name], name

    def test_a_failed_request_has_its_flag(self, traced: Meshed) -> None:
        mesh, client, collector = traced
        mesh.put(reviews_to("v3"))
        assert client.ask(REVIEWS, headers={"user-agent": "failed"}).status == 503
        (span,) = collector.wait_for(1, user_agent="failed")
        assert span.attributes["response_flags"] in ("UH", "NC")
        assert span.attributes["error"] == "true"
        mesh.put(reviews_to("v1"))

    def test_a_host_may_sample_none_and_still_carry_on(self, traced: Meshed) -> None:
        mesh, _, collector = traced
        own = mesh.sidecar("quiet", telemetry={"tracing_sampling": 0})
        for number in range(20):
            assert own.ask(REVIEWS, headers={"user-agent": f"quiet-{number}"}).status == 200
        headers = {"user-agent": "asked", "traceparent": TRACEPARENT}
        assert own.ask(REVIEWS, headers=headers).status == 200
        spans = collector.wait_for(2, user_agent="asked")
        assert {span.service for span in spans} == {"quiet.default", "reviews-h1.default"}
        assert not [
            s for s in collector.spans if s.attributes.get("user_agent", "").startswith("quiet-")
        ]

    def test_a_collector_that_is_away_costs_no_request(self, traced: Meshed) -> None:
        mesh, client, _ = traced
        mesh.put(mesh_config(tracing={"collector": "127.0.0.1:1", "sampling": 100.0}))
        assert [client.ask(REVIEWS).status for _ in range(20)] == [200] * 20
