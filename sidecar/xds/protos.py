"""Adapter: the Envoy messages that we speak, by one name each.

The generated modules come untyped from the `xds-protos` distribution; nothing else in the project imports them
(the delta session's shell apart, which encodes `service.discovery.v3`). Names are Envoy's; where two messages
share one, the rarer carries its filter's name.
"""

from __future__ import annotations

from envoy.config.accesslog.v3.accesslog_pb2 import (
    AccessLog,
    AccessLogFilter,
    ComparisonFilter,
    GrpcStatusFilter,
)
from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster, UpstreamConnectionOptions
from envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection
from envoy.config.core.v3.address_pb2 import Address, CidrRange, Pipe, SocketAddress
from envoy.config.core.v3.base_pb2 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    Locality,
    Metadata,
    RoutingPriority,
    RuntimeFractionalPercent,
    TrafficDirection,
    TransportSocket,
)
from envoy.config.core.v3.config_source_pb2 import (
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
)
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.core.v3.protocol_pb2 import (
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    KeepaliveSettings,
    TcpProtocolOptions,
    UpstreamHttpProtocolOptions,
)
from envoy.config.core.v3.proxy_protocol_pb2 import ProxyProtocolConfig
from envoy.config.endpoint.v3.endpoint_components_pb2 import (
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    ListenerFilter,
    ListenerFilterChainMatchPredicate,
)
from envoy.config.listener.v3.listener_pb2 import AdditionalAddress, Listener
from envoy.config.rbac.v3.rbac_pb2 import RBAC, Permission, Policy, Principal
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    FilterConfig,
    HeaderMatcher,
    QueryParameterMatcher,
    RedirectAction,
    RetryPolicy,
    Route,
    RouteAction,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
)
from envoy.config.route.v3.route_pb2 import RouteConfiguration, Vhds
from envoy.config.trace.v3.opentelemetry_pb2 import OpenTelemetryConfig
from envoy.data.accesslog.v3.accesslog_pb2 import AccessLogType
from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog
from envoy.extensions.access_loggers.stats.v3.stats_pb2 import Config as StatsAccessLog
from envoy.extensions.access_loggers.stream.v3.stream_pb2 import StdoutAccessLog
from envoy.extensions.clusters.common.dns.v3.dns_pb2 import DnsLookupFamily
from envoy.extensions.clusters.dns.v3.dns_cluster_pb2 import DnsCluster
from envoy.extensions.clusters.dynamic_forward_proxy.v3.cluster_pb2 import (
    ClusterConfig as ForwardProxyCluster,
)
from envoy.extensions.common.dynamic_forward_proxy.v3.dns_cache_pb2 import DnsCacheConfig
from envoy.extensions.filters.common.fault.v3.fault_pb2 import FaultDelay
from envoy.extensions.filters.http.cors.v3.cors_pb2 import Cors, CorsPolicy
from envoy.extensions.filters.http.dynamic_forward_proxy.v3.dynamic_forward_proxy_pb2 import (
    FilterConfig as ForwardProxyFilter,
)
from envoy.extensions.filters.http.fault.v3.fault_pb2 import FaultAbort, HTTPFault
from envoy.extensions.filters.http.grpc_web.v3.grpc_web_pb2 import GrpcWeb
from envoy.extensions.filters.http.on_demand.v3.on_demand_pb2 import OnDemand
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC as RbacFilter
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import HttpInspector
from envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.sni_dynamic_forward_proxy_pb2 import (
    FilterConfig as ServerNameForwardProxyFilter,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.rbac.matchers.upstream_ip_port.v3.upstream_ip_port_matcher_pb2 import (
    UpstreamIpPortMatcher,
)
from envoy.extensions.request_id.uuid.v3.uuid_pb2 import UuidRequestIdConfig
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import (
    PreviousHostsPredicate,
)
from envoy.extensions.retry.priority.previous_priorities.v3.previous_priorities_config_pb2 import (
    PreviousPrioritiesConfig,
)
from envoy.extensions.tracers.opentelemetry.samplers.v3.parent_based_sampler_pb2 import (
    ParentBasedSamplerConfig,
)
from envoy.extensions.tracers.opentelemetry.samplers.v3.trace_id_ratio_based_sampler_pb2 import (
    TraceIdRatioBasedSamplerConfig,
)
from envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2 import (
    ProxyProtocolUpstreamTransport,
)
from envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsCertificate,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig, Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import (
    HttpProtocolOptions as UpstreamHttpOptions,
)
from envoy.type.matcher.v3.metadata_pb2 import MetadataMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute, RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.tracing.v3.custom_tag_pb2 import CustomTag
from envoy.type.v3.percent_pb2 import FractionalPercent, Percent
from envoy.type.v3.range_pb2 import Int32Range, Int64Range
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import BoolValue, DoubleValue, UInt32Value, UInt64Value

__all__ = [
    "RBAC",
    "AccessLog",
    "AccessLogFilter",
    "AccessLogType",
    "AdditionalAddress",
    "Address",
    "AggregatedConfigSource",
    "Any",
    "ApiVersion",
    "BoolValue",
    "CertificateValidationContext",
    "CidrRange",
    "CircuitBreakers",
    "Cluster",
    "ClusterLoadAssignment",
    "CommonTlsContext",
    "ComparisonFilter",
    "ConfigSource",
    "Cors",
    "CorsPolicy",
    "CustomTag",
    "DataSource",
    "DirectResponseAction",
    "DnsCacheConfig",
    "DnsCluster",
    "DnsLookupFamily",
    "DoubleValue",
    "DownstreamTlsContext",
    "Duration",
    "Endpoint",
    "FaultAbort",
    "FaultDelay",
    "FileAccessLog",
    "Filter",
    "FilterChain",
    "FilterChainMatch",
    "FilterConfig",
    "ForwardProxyCluster",
    "ForwardProxyFilter",
    "FractionalPercent",
    "GrpcStatusFilter",
    "GrpcWeb",
    "HTTPFault",
    "HeaderMatcher",
    "HeaderValue",
    "HeaderValueOption",
    "HealthStatus",
    "Http1ProtocolOptions",
    "Http2ProtocolOptions",
    "HttpConnectionManager",
    "HttpFilter",
    "HttpInspector",
    "HttpProtocolOptions",
    "Int32Range",
    "Int64Range",
    "KeepaliveSettings",
    "LbEndpoint",
    "Listener",
    "ListenerFilter",
    "ListenerFilterChainMatchPredicate",
    "Locality",
    "LocalityLbEndpoints",
    "Message",
    "Metadata",
    "MetadataMatcher",
    "OnDemand",
    "OpenTelemetryConfig",
    "OriginalDst",
    "OutlierDetection",
    "ParentBasedSamplerConfig",
    "Percent",
    "Permission",
    "Pipe",
    "Policy",
    "PreviousHostsPredicate",
    "PreviousPrioritiesConfig",
    "Principal",
    "ProxyProtocolConfig",
    "ProxyProtocolUpstreamTransport",
    "QueryParameterMatcher",
    "RawBuffer",
    "RbacFilter",
    "Rds",
    "RedirectAction",
    "RegexMatchAndSubstitute",
    "RegexMatcher",
    "RetryPolicy",
    "Route",
    "RouteAction",
    "RouteConfiguration",
    "RouteMatch",
    "Router",
    "RoutingPriority",
    "RuntimeFractionalPercent",
    "SdsSecretConfig",
    "Secret",
    "ServerNameForwardProxyFilter",
    "SocketAddress",
    "StatsAccessLog",
    "StdoutAccessLog",
    "StringMatcher",
    "Struct",
    "SubjectAltNameMatcher",
    "TcpProtocolOptions",
    "TcpProxy",
    "TlsCertificate",
    "TlsInspector",
    "TlsParameters",
    "TraceIdRatioBasedSamplerConfig",
    "TrafficDirection",
    "TransportSocket",
    "TypedExtensionConfig",
    "UInt32Value",
    "UInt64Value",
    "UpstreamConnectionOptions",
    "UpstreamHttpOptions",
    "UpstreamHttpProtocolOptions",
    "UpstreamIpPortMatcher",
    "UpstreamTlsContext",
    "UuidRequestIdConfig",
    "Vhds",
    "VirtualHost",
    "WeightedCluster",
]
