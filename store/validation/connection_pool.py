"""The rules for connection pools and outlier detection.

Source: istio/istio pkg/config/validation/validation.go, validateConnectionPool, validateOutlierDetection.
"""

from __future__ import annotations

from store.diagnostics import Path
from store.objects.connection_pool import (
    ConnectionPoolSettings,
    H2UpgradePolicy,
    HTTPSettings,
    OutlierDetection,
    TCPSettings,
)
from store.validation.findings import Findings
from store.validation.shared import check_duration

__all__ = ["check_connection_pool", "check_outlier_detection"]


def check_connection_pool(pool: ConnectionPoolSettings | None, at: Path, found: Findings) -> None:
    """Check the limits of a pool; None passes."""
    if pool is None:
        return
    if pool.tcp is None and pool.http is None:
        found.add("MESH0322", at, "limits nothing: tcp or http is needed", at_key=True)
    if pool.tcp is not None:
        _check_tcp(pool.tcp, (*at, "tcp"), found)
    if pool.http is not None:
        _check_http(pool.http, (*at, "http"), found)


def _check_natural(number: int | None, at: Path, found: Findings) -> None:
    if number is not None and number < 0:
        found.add("MESH0320", at, f"must be 0 or more, found {number}")


def _check_tcp(tcp: TCPSettings, at: Path, found: Findings) -> None:
    _check_natural(tcp.max_connections, (*at, "maxConnections"), found)
    check_duration(tcp.connect_timeout, (*at, "connectTimeout"), found)
    check_duration(tcp.max_connection_duration, (*at, "maxConnectionDuration"), found)
    check_duration(tcp.idle_timeout, (*at, "idleTimeout"), found, zero=True)
    if tcp.tcp_keepalive is not None:
        here = (*at, "tcpKeepalive")
        check_duration(tcp.tcp_keepalive.time, (*here, "time"), found)
        check_duration(tcp.tcp_keepalive.interval, (*here, "interval"), found)


def _check_http(http: HTTPSettings, at: Path, found: Findings) -> None:
    for field, number in (
        ("http1MaxPendingRequests", http.http1_max_pending_requests),
        ("http2MaxRequests", http.http2_max_requests),
        ("maxRequestsPerConnection", http.max_requests_per_connection),
        ("maxRetries", http.max_retries),
        ("maxConcurrentStreams", http.max_concurrent_streams),
    ):
        _check_natural(number, (*at, field), found)
    check_duration(http.idle_timeout, (*at, "idleTimeout"), found)
    if http.h2_upgrade_policy is H2UpgradePolicy.UPGRADE and http.use_client_protocol:
        message = "useClientProtocol keeps the client's protocol, so that nothing is upgraded"
        hint = "remove useClientProtocol or h2UpgradePolicy"
        found.add("MESH0318", (*at, "useClientProtocol"), message, hint, at_key=True)
    ping = http.http2_keep_alive
    if ping is not None:
        here = (*at, "http2KeepAlive")
        for field, value in (("interval", ping.interval), ("timeout", ping.timeout)):
            if value is None:
                found.add("MESH0319", (*here, field), f"http2KeepAlive needs {field}", at_key=True)
            check_duration(value, (*here, field), found)


def check_outlier_detection(detection: OutlierDetection | None, at: Path, found: Findings) -> None:
    """Check the settings of outlier detection; None passes."""
    if detection is None:
        return
    check_duration(detection.interval, (*at, "interval"), found)
    check_duration(detection.base_ejection_time, (*at, "baseEjectionTime"), found)
    counted = detection.consecutive_local_origin_failures
    if counted and not detection.split_external_local_origin_errors:
        message = (
            "failures to connect are only counted apart with splitExternalLocalOriginErrors: true"
        )
        hint = "add splitExternalLocalOriginErrors: true"
        found.add("MESH0319", (*at, "consecutiveLocalOriginFailures"), message, hint, at_key=True)
    if detection.consecutive_errors is not None:
        hint = "use consecutive5xxErrors or consecutiveGatewayErrors"
        message = "consecutiveErrors is deprecated and has no effect"
        found.add("MESH0323", (*at, "consecutiveErrors"), message, hint, at_key=True)
    for field, share in (
        ("maxEjectionPercent", detection.max_ejection_percent),
        ("minHealthPercent", detection.min_health_percent),
    ):
        if share is not None and not 0 <= share <= 100:
            found.add(
                "MESH0308", (*at, field), f"must be a percentage from 0 to 100, found {share}"
            )
