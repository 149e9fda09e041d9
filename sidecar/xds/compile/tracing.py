"""Spans: how Envoy's HTTP listeners make them, and the cluster of the collector that takes them.

Tags are Istio's (istio/istio pilot/pkg/networking/core/tracing.go). The context travels as W3C `traceparent` and
`tracestate`; whatever else clients send, `b3` for instance, is passed on untouched, with tracing and without.
Source: Envoy, OpenTelemetry tracer.
"""

from __future__ import annotations

import ipaddress

from sidecar.telemetry.model import Tracing
from sidecar.telemetry.party import UNKNOWN
from sidecar.xds import protos as pb
from sidecar.xds.compile.encoding import (
    duration,
    extension,
    packed,
    parts_per_million,
    resource,
    socket_address,
)
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.compile.upstream_http import HTTP_OPTIONS
from sidecar.xds.resource import Resource, TypeUrl

__all__ = ["COLLECTOR", "add_tracing", "compile_collector"]

COLLECTOR = "meshd_tracing"
"""Cluster of the collector; no mesh object can have this name (it has no `|`)."""
COLLECTOR_TIMEOUT_S = 0.25
"""How long one report of spans may take; Envoy's own default, said here."""
_PERCENT = 100.0


def add_tracing(manager: pb.HttpConnectionManager, options: CompileOptions) -> None:
    """Have a listener make spans, where telemetry says so."""
    told, party = options.telemetry.tracing, options.party
    if told is None:
        return
    # Envoy would write its decision into the client's own x-request-id, and sample by it, whatever an application that
    # began a trace decided. The decision travels in `traceparent`, and is the tracer's sampler's alone.
    plain = pb.UuidRequestIdConfig()
    plain.pack_trace_reason.value = False
    plain.use_request_id_for_trace_sampling.value = False
    manager.request_id_extension.typed_config.CopyFrom(packed(plain))
    config = pb.OpenTelemetryConfig(
        service_name=f"{party.service or UNKNOWN}.{party.namespace or UNKNOWN}"
    )
    config.sampler.CopyFrom(_sampler(told.sampling_percent))
    config.grpc_service.envoy_grpc.cluster_name = COLLECTOR
    config.grpc_service.timeout.CopyFrom(duration(COLLECTOR_TIMEOUT_S))
    made = manager.tracing
    made.random_sampling.value = made.client_sampling.value = made.overall_sampling.value = _PERCENT
    made.provider.name = "envoy.tracers.opentelemetry"
    made.provider.typed_config.CopyFrom(packed(config))
    for tag, value in (
        ("istio.canonical_revision", party.revision),
        ("istio.canonical_service", party.service),
        ("istio.namespace", party.namespace),
    ):
        made.custom_tags.add(tag=tag).literal.value = value or UNKNOWN


def _sampler(percent: float) -> pb.TypedExtensionConfig:
    """A trace that somebody began goes on as it was decided there; of the others so many percent, by trace id."""
    ratio = pb.TraceIdRatioBasedSamplerConfig(
        sampling_percentage=parts_per_million(round(percent * 10_000))
    )
    by_id = extension("envoy.tracers.opentelemetry.samplers.trace_id_ratio_based", ratio)
    return extension(
        "envoy.tracers.opentelemetry.samplers.parent_based",
        pb.ParentBasedSamplerConfig(wrapped_sampler=by_id),
    )


def compile_collector(told: Tracing, connect_timeout_s: float) -> Resource:
    """The cluster of the collector: one address, or a name that Envoy resolves."""
    cluster = pb.Cluster(name=COLLECTOR, connect_timeout=duration(connect_timeout_s))
    if _is_address(told.host):
        cluster.type = pb.Cluster.STATIC
    else:
        cluster.cluster_type.name = "envoy.cluster.dns"
        cluster.cluster_type.typed_config.CopyFrom(
            packed(pb.DnsCluster(dns_lookup_family=pb.DnsLookupFamily.V4_PREFERRED))
        )
    cluster.load_assignment.cluster_name = COLLECTOR
    endpoint = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint
    endpoint.address.CopyFrom(socket_address(told.host, told.port))
    http = pb.UpstreamHttpOptions()
    http.explicit_http_config.http2_protocol_options.SetInParent()
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(packed(http))
    return resource(TypeUrl.CLUSTER, COLLECTOR, cluster)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
