from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.telemetry.model import Telemetry, Tracing
from sidecar.telemetry.party import Party
from sidecar.xds import protos as pb
from sidecar.xds.compile import CompileOptions
from sidecar.xds.compile.tracing import COLLECTOR, add_tracing, compile_collector

PARTY = Party.of("web-1", "shop", {"app": "web", "version": "v7"})
OPTIONS = replace(
    CompileOptions(), telemetry=Telemetry(tracing=Tracing("otel", 4317, 5.0)), party=PARTY
)


def test_there_are_no_spans_unless_told() -> None:
    manager = pb.HttpConnectionManager()
    add_tracing(manager, CompileOptions(party=PARTY))
    assert manager == pb.HttpConnectionManager()


def test_a_listener_makes_spans_for_its_workload() -> None:
    manager = pb.HttpConnectionManager()
    add_tracing(manager, OPTIONS)
    made = manager.tracing
    config = pb.OpenTelemetryConfig.FromString(made.provider.typed_config.value)
    sampler = pb.ParentBasedSamplerConfig.FromString(config.sampler.typed_config.value)
    ratio = pb.TraceIdRatioBasedSamplerConfig.FromString(sampler.wrapped_sampler.typed_config.value)
    assert ratio.sampling_percentage.numerator == 50_000
    assert ratio.sampling_percentage.denominator == pb.FractionalPercent.MILLION
    assert config.service_name == "web.shop"
    assert config.grpc_service.envoy_grpc.cluster_name == COLLECTOR
    assert {tag.tag: tag.literal.value for tag in made.custom_tags} == {
        "istio.canonical_revision": "v7",
        "istio.canonical_service": "web",
        "istio.namespace": "shop",
    }


def test_the_clients_request_id_is_left_as_it_is() -> None:
    manager = pb.HttpConnectionManager()
    add_tracing(manager, OPTIONS)
    told = pb.UuidRequestIdConfig.FromString(manager.request_id_extension.typed_config.value)
    assert told.HasField("pack_trace_reason")
    assert not told.pack_trace_reason.value


@pytest.mark.parametrize(("host", "by_name"), [("10.0.0.1", False), ("::1", False), ("otel", True)])
def test_a_collector_is_an_address_or_a_name_to_resolve(host: str, by_name: bool) -> None:
    cluster = pb.Cluster.FromString(compile_collector(Tracing(host, 4317), 1.0).body)
    assert cluster.HasField("cluster_type") is by_name
    (group,) = cluster.load_assignment.endpoints
    assert group.lb_endpoints[0].endpoint.address.socket_address.address == host
