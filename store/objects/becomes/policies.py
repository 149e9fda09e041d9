"""DestinationRule: what its policies become; connection pools are a Sidecar's as well."""

from __future__ import annotations

from collections.abc import Mapping

from store.objects.becomes.placing import placed

__all__ = ["DESTINATION_RULE", "POOL"]

_BREAKER = "`Thresholds.%s` in `Cluster.circuit_breakers`"
_COMMON = "`HttpProtocolOptions.%s`"
_KEEPALIVE = "`TcpKeepalive.%s` in `Cluster.upstream_connection_options`"
_DETECTION = "`OutlierDetection.%s`"
_HTTP2 = "`Http2ProtocolOptions.%s`"

POOL: Mapping[str, str] = {
    "tcp.maxConnections": _BREAKER % "max_connections",
    "tcp.connectTimeout": "`Cluster.connect_timeout`",
    "tcp.tcpKeepalive.probes": _KEEPALIVE % "keepalive_probes",
    "tcp.tcpKeepalive.time": _KEEPALIVE % "keepalive_time",
    "tcp.tcpKeepalive.interval": _KEEPALIVE % "keepalive_interval",
    "tcp.maxConnectionDuration": (
        "`HttpProtocolOptions.max_connection_duration`; bytes:"
        " `TcpProxy.max_downstream_connection_duration`"
    ),
    "tcp.idleTimeout": "`TcpProxy.idle_timeout`; HTTP without one of its own: as `http.idleTimeout`",
    "http.http1MaxPendingRequests": _BREAKER % "max_pending_requests",
    "http.http2MaxRequests": _BREAKER % "max_requests",
    "http.maxRequestsPerConnection": _COMMON % "max_requests_per_connection",
    "http.maxRetries": _BREAKER % "max_retries",
    "http.idleTimeout": _COMMON % "idle_timeout",
    "http.h2UpgradePolicy": (
        "`HttpProtocolOptions.explicit_http_config`: `ExplicitHttpConfig.http2_protocol_options`"
    ),
    "http.useClientProtocol": "`HttpProtocolOptions.use_downstream_protocol_config`",
    "http.maxConcurrentStreams": _HTTP2 % "max_concurrent_streams",
    "http.http2KeepAlive": _HTTP2 % "connection_keepalive",
    "http.http2KeepAlive.interval": "`KeepaliveSettings.interval`",
    "http.http2KeepAlive.timeout": "`KeepaliveSettings.timeout`",
}
"""By path below a `connectionPool`."""

_RANKS = "`LocalityLbEndpoints.priority`"
_LOCALITIES = {
    "distribute": "`LocalityLbEndpoints.load_balancing_weight`",
    "distribute[].from": "our table: for clients of this locality",
    "distribute[].to": "`LocalityLbEndpoints.load_balancing_weight`",
    "failover[].from": "our table: for clients of this region",
    "failover[].to": _RANKS,
    "failoverPriority": _RANKS,
    "enabled": f"{_RANKS}: without it all are 0",
}
_BALANCER = {
    "simple": "`Cluster.lb_policy`; PASSTHROUGH: the dynamic forward proxy",
    "consistentHash": "`Cluster.lb_policy` RING_HASH or MAGLEV, and `RouteAction.hash_policy`",
    "consistentHash.httpHeaderName": "`HashPolicy.header`",
    "consistentHash.httpCookie": "`HashPolicy.cookie`",
    "consistentHash.httpCookie.name": "`Cookie.name` in `HashPolicy.cookie`",
    "consistentHash.httpCookie.path": "`Cookie.path` in `HashPolicy.cookie`",
    "consistentHash.httpCookie.ttl": "`Cookie.ttl` in `HashPolicy.cookie`",
    "consistentHash.httpCookie.attributes[].name": "`CookieAttribute.name`",
    "consistentHash.httpCookie.attributes[].value": "`CookieAttribute.value`",
    "consistentHash.useSourceIp": "`HashPolicy.connection_properties`; bytes: `TcpProxy.hash_policy`",
    "consistentHash.httpQueryParameterName": "`HashPolicy.query_parameter`",
    "consistentHash.ringHash.minimumRingSize": "`RingHashLbConfig.minimum_ring_size`",
    "consistentHash.minimumRingSize": "`RingHashLbConfig.minimum_ring_size`",
    "consistentHash.maglev.tableSize": "`MaglevLbConfig.table_size`",
    **placed("localityLbSetting", _LOCALITIES),
    **placed(
        "zoneAwareLbSetting",
        {path: text for path, text in _LOCALITIES.items() if "distribute" not in path},
    ),
    "zoneAwareLbSetting.enabled": f"{_RANKS}: whether regions alone are ranked; `CommonLbConfig.zone_aware_lb_config`",
    "zoneAwareLbSetting.minClusterSize": "`ZoneAwareLbConfig.min_cluster_size`",
    "warmup.duration": "`SlowStartConfig.slow_start_window`",
    "warmup.minimumPercent": "`SlowStartConfig.min_weight_percent`",
    "warmup.aggression": "`SlowStartConfig.aggression`",
    "warmupDurationSecs": "`SlowStartConfig.slow_start_window`",
}
_OUTLIERS = {
    "": "`Cluster.outlier_detection`; and the destination takes part in shared ejection",
    "splitExternalLocalOriginErrors": _DETECTION % "split_external_local_origin_errors",
    "consecutiveLocalOriginFailures": _DETECTION % "consecutive_local_origin_failure",
    "consecutiveGatewayErrors": _DETECTION % "consecutive_gateway_failure",
    "consecutive5xxErrors": _DETECTION % "consecutive_5xx",
    "interval": _DETECTION % "interval",
    "baseEjectionTime": _DETECTION % "base_ejection_time",
    "maxEjectionPercent": _DETECTION % "max_ejection_percent",
    "minHealthPercent": "`CommonLbConfig.healthy_panic_threshold`",
    "outlierDetectionHttpErrorCodes": _COMMON % "outlier_detection",
}
_TLS = {
    "": "`Cluster.transport_socket`",
    "mode": "`UpstreamTlsContext` or none",
    "clientCertificate": "`TlsCertificate.certificate_chain`",
    "privateKey": "`TlsCertificate.private_key`",
    "caCertificates": "`CertificateValidationContext.trusted_ca`",
    "credentialName": "`TlsCertificate` and `CertificateValidationContext.trusted_ca`",
    "subjectAltNames": "`CertificateValidationContext.match_typed_subject_alt_names`",
    "sni": "`UpstreamTlsContext.sni`; without it `UpstreamHttpProtocolOptions.auto_sni`",
    "insecureSkipVerify": "no `CommonTlsContext.validation_context`",
    "caCrl": "`CertificateValidationContext.crl`",
}
_POLICY = {
    **placed("loadBalancer", _BALANCER),
    **placed("connectionPool", POOL),
    **placed("outlierDetection", _OUTLIERS),
    **placed("tls", _TLS),
}
_WHOLE = {
    "tunnel.protocol": "`TunnelingConfig.use_post`",
    "tunnel.targetHost": "`TunnelingConfig.hostname`",
    "tunnel.targetPort": "`TunnelingConfig.hostname`",
    "proxyProtocol.version": "`ProxyProtocolUpstreamTransport.config`",
    "retryBudget.percent": "`RetryBudget.budget_percent` in `Thresholds.retry_budget`",
    "retryBudget.minRetryConcurrency": "`RetryBudget.min_retry_concurrency`",
    "retryBudget.budgetInterval": "`Thresholds.retry_budget`: its `budget_interval`",
}
_PLACES = ("trafficPolicy", "subsets[].trafficPolicy")
_PORTS = tuple(f"{place}.portLevelSettings[]" for place in _PLACES)

DESTINATION_RULE: Mapping[str, str] = {
    "host": "the last part of the names of clusters",
    "subsets[].name": "the third part of the names of clusters",
    "subsets[].labels": "`ClusterLoadAssignment.endpoints`: those that bear the labels",
    "exportTo": "our table: which namespaces have the rule",
    "workloadSelector.matchLabels": "our table: which workloads have the rule",
    **placed(_PLACES, {**_POLICY, **_WHOLE}),
    **placed(_PORTS, {**_POLICY, "port.number": "the second part of the names of clusters"}),
}
"""By path below the spec."""
