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
from sidecar.xds.compile.encoding import duration, packed, resource, socket_address
from sidecar.xds.compile.options import CompileOptions
from sidecar.xds.compile.upstream_http import HTTP_OPTIONS
from sidecar.xds.resource import Resource, TypeUrl

__all__ = ["COLLECTOR", "compile_collector", "tracing"]

COLLECTOR = "meshd_tracing"
"""Cluster of the collector; no mesh object can have this name (it has no `|`)."""
COLLECTOR_TIMEOUT_S = 0.25
"""How long one report of spans may take; Envoy's own default, said here."""
_PERCENT = 100.0


def tracing(options: CompileOptions) -> pb.HttpConnectionManager.Tracing | None:
    """What a listener says of spans; None while there are none."""
    told, party = options.telemetry.tracing, options.party
    if told is None:
        return None
    config = pb.OpenTelemetryConfig(
        service_name=f"{party.service or UNKNOWN}.{party.namespace or UNKNOWN}"
    )
    config.grpc_service.envoy_grpc.cluster_name = COLLECTOR
    config.grpc_service.timeout.CopyFrom(duration(COLLECTOR_TIMEOUT_S))
    made = pb.HttpConnectionManager.Tracing(
        client_sampling=pb.Percent(value=_PERCENT),
        random_sampling=pb.Percent(value=told.sampling_percent),
        overall_sampling=pb.Percent(value=_PERCENT),
        provider=pb.Tracing.Http(name="envoy.tracers.opentelemetry", typed_config=packed(config)),
    )
    for tag, value in (
        ("istio.canonical_revision", party.revision),
        ("istio.canonical_service", party.service),
        ("istio.namespace", party.namespace),
    ):
        made.custom_tags.add(tag=tag).literal.value = value or UNKNOWN
    return made


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
