"""Connection pools and outlier detection of a DestinationRule (pools also of a Sidecar).

Source: istio/api networking/v1alpha3/destination_rule.proto, messages ConnectionPoolSettings, OutlierDetection.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from store.objects.base import Model
from store.objects.durations import Duration, PositiveDuration
from store.objects.scalars import Int32, Items, Maybe, Nullable, UInt32, Word

__all__ = [
    "ConnectionKeepalive",
    "ConnectionPoolSettings",
    "H2UpgradePolicy",
    "HTTPSettings",
    "OutlierDetection",
    "TCPSettings",
    "TcpKeepalive",
]


class TcpKeepalive(Model):
    """Probes of idle TCP connections (SO_KEEPALIVE)."""

    probes: Maybe[UInt32] = None
    """Unanswered probes after which a connection is dead; default: the system's (9)."""
    time: Maybe[PositiveDuration] = None
    """Idle time before the first probe; default: the system's (2 hours)."""
    interval: Maybe[PositiveDuration] = None
    """Time between probes; default: the system's (75 s)."""


class TCPSettings(Model):
    """Limits for TCP and for HTTP below it."""

    max_connections: Maybe[Int32] = None
    """Connections at most from one Envoy to the destination; default: no limit."""
    connect_timeout: Maybe[PositiveDuration] = None
    """Time to connect; default: MeshConfig's `connectTimeout` (10 s)."""
    tcp_keepalive: Maybe[TcpKeepalive] = None
    """Probes of idle connections; default: none."""
    max_connection_duration: Maybe[PositiveDuration] = None
    """Life of a connection at most; default: no limit."""
    idle_timeout: Maybe[Duration] = None
    """Idle time after which a TCP connection is closed; default 1 hour, `0s` never."""


class H2UpgradePolicy(Word):
    """Whether HTTP/1.1 requests are sent on as HTTP/2."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class ConnectionKeepalive(Model):
    """HTTP/2 pings."""

    interval: Maybe[PositiveDuration] = None
    """Time between pings."""
    timeout: Maybe[PositiveDuration] = None
    """Time for the answer; then the connection is closed."""


class HTTPSettings(Model):
    """Limits for HTTP."""

    http1_max_pending_requests: Maybe[Int32] = None
    """Requests at most that wait for a connection, of HTTP/1.1 and HTTP/2; default: no limit."""
    http2_max_requests: Maybe[Int32] = None
    """Requests at most under way, of HTTP/1.1 and HTTP/2; default: no limit."""
    max_requests_per_connection: Maybe[Int32] = None
    """Requests at most over one connection; 1 turns keep-alive off; default 0, no limit."""
    max_retries: Maybe[Int32] = None
    """Retries at most under way; default: no limit."""
    idle_timeout: Maybe[PositiveDuration] = None
    """Idle time after which a connection is closed; default 1 hour."""
    h2_upgrade_policy: Maybe[H2UpgradePolicy] = None
    """UPGRADE sends HTTP/1.1 requests on as HTTP/2; DEFAULT and DO_NOT_UPGRADE do not."""
    use_client_protocol: bool = False
    """Whether requests are sent on in the protocol in which they came; wins over h2UpgradePolicy."""
    max_concurrent_streams: Maybe[Int32] = None
    """Streams at most of one HTTP/2 connection; default 2147483647."""
    http2_keep_alive: Maybe[ConnectionKeepalive] = None
    """Pings of HTTP/2 connections; default: none."""


class ConnectionPoolSettings(Model):
    """Limits of connections and requests to a destination (circuit breaking)."""

    tcp: Maybe[TCPSettings] = None
    """Limits for TCP and for HTTP below it."""
    http: Maybe[HTTPSettings] = None
    """Limits for HTTP."""


class OutlierDetection(Model):
    """Passive health checks: an endpoint that fails is ejected for a time.

    With it, the destination also takes part in the mesh's shared ejection.
    """

    consecutive_errors: Maybe[Int32] = None
    """Deprecated; has no effect."""
    split_external_local_origin_errors: bool = False
    """Whether failures to connect are counted apart from errors that the endpoint returned."""
    consecutive_local_origin_failures: Nullable[UInt32] = None
    """Failures to connect in a row until ejection; default 5; only where they are counted apart."""
    consecutive_gateway_errors: Nullable[UInt32] = None
    """Answers 502, 503, 504 in a row until ejection; default 0, off."""
    consecutive_5xx_errors: Nullable[UInt32] = Field(default=None, alias="consecutive5xxErrors")
    """Answers 5xx in a row until ejection; default 5; 0 is off."""
    interval: Maybe[PositiveDuration] = None
    """Time between sweeps, which end ejections; default 10 s."""
    base_ejection_time: Maybe[PositiveDuration] = None
    """Ejections last this long, times how often the endpoint was ejected; default 30 s."""
    max_ejection_percent: Maybe[Int32] = None
    """Share of the endpoints that may be ejected at once, in percent; default 10."""
    min_health_percent: Maybe[Int32] = None
    """Below this share of healthy endpoints, in percent, all are used; default 0, never."""
    outlier_detection_http_error_codes: Items[Annotated[int, Field(ge=100, le=599)]] = ()
    """Status codes that count as errors; default: 5xx."""
