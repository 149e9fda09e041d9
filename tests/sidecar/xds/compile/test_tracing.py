from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.telemetry.model import Telemetry, Tracing
from sidecar.telemetry.party import Party
from sidecar.xds import protos as pb
from sidecar.xds.compile import CompileOptions
from sidecar.xds.compile.tracing import COLLECTOR, compile_collector, tracing

PARTY = Party.of("web-1", "shop", {"app": "web", "version": "v7"})
OPTIONS = replace(
    CompileOptions(), telemetry=Telemetry(tracing=Tracing("otel", 4317, 5.0)), party=PARTY
)


def test_there_are_no_spans_unless_told() -> None:
    assert tracing(CompileOptions(party=PARTY)) is None


def test_a_listener_makes_spans_for_its_workload() -> None:
    made = tracing(OPTIONS)
    assert made is not None
    assert (made.random_sampling.value, made.client_sampling.value) == (5.0, 100.0)
    config = pb.OpenTelemetryConfig.FromString(made.provider.typed_config.value)
    assert config.service_name == "web.shop"
    assert config.grpc_service.envoy_grpc.cluster_name == COLLECTOR
    assert {tag.tag: tag.literal.value for tag in made.custom_tags} == {
        "istio.canonical_revision": "v7",
        "istio.canonical_service": "web",
        "istio.namespace": "shop",
    }


@pytest.mark.parametrize(("host", "by_name"), [("10.0.0.1", False), ("::1", False), ("otel", True)])
def test_a_collector_is_an_address_or_a_name_to_resolve(host: str, by_name: bool) -> None:
    cluster = pb.Cluster.FromString(compile_collector(Tracing(host, 4317), 1.0).body)
    assert cluster.HasField("cluster_type") is by_name
    (group,) = cluster.load_assignment.endpoints
    assert group.lb_endpoints[0].endpoint.address.socket_address.address == host
