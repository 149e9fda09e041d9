"""How HTTP is spoken to a destination: version, idle timeout, requests a connection, automatic SNI.

Follows Istio's cluster_traffic_policy.go and cluster_builder.go: HTTP/2 for ports that declare it or are upgraded to
it, the client's own version where nothing is declared or `useClientProtocol` says so, else HTTP/1.1.
"""

from __future__ import annotations

from functools import lru_cache

from sidecar.mesh.model import Protocol
from sidecar.xds import protos as pb
from sidecar.xds.compile.encoding import duration, packed
from store.objects.destination_rule import ConnectionPoolSettings, OutlierDetection

__all__ = [
    "HEADERS_MAX",
    "HTTP_OPTIONS",
    "client_decides",
    "speaks_http2",
    "upstream_http_options",
]

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
"""Key of these options in a cluster."""
HEADERS_MAX = 1_000
"""Headers that a request or an answer within the mesh may have; Envoy's own 100 is for strangers."""


def speaks_http2(protocol: Protocol, pool: ConnectionPoolSettings | None) -> bool:
    """Whether requests to the destination always travel as HTTP/2."""
    http = pool.http if pool is not None else None
    upgraded = http is not None and http.h2_upgrade_policy == "UPGRADE" and protocol.is_http
    return protocol.is_http2 or (upgraded and not client_decides(protocol, pool))


def upstream_http_options(
    protocol: Protocol,
    pool: ConnectionPoolSettings | None,
    outliers: OutlierDetection | None,
    *,
    auto_sni: bool = False,
    auto_san: bool = False,
) -> pb.Any | None:
    """The options, packed; None where there is nothing to say, for ports whose bytes are not read.

    Args:
        protocol: Protocol of the port.
        pool: Connection pool settings in force.
        outliers: Outlier detection in force, for its own list of error codes.
        auto_sni: Send each request's host as SNI.
        auto_san: Check the server's certificate against each request's host.
    """
    if pool is None and outliers is None:
        return _without_policy(protocol, auto_sni, auto_san)
    return _options(protocol, pool, outliers, auto_sni, auto_san)


@lru_cache(maxsize=64)
def _without_policy(protocol: Protocol, auto_sni: bool, auto_san: bool) -> pb.Any | None:
    return _options(protocol, None, None, auto_sni, auto_san)


def _options(
    protocol: Protocol,
    pool: ConnectionPoolSettings | None,
    outliers: OutlierDetection | None,
    auto_sni: bool,
    auto_san: bool,
) -> pb.Any | None:
    options = pb.UpstreamHttpOptions()
    if auto_sni or auto_san:
        options.upstream_http_protocol_options.auto_sni = auto_sni
        options.upstream_http_protocol_options.auto_san_validation = auto_san
    _add_limits(options, pool)
    _add_version(options, protocol, pool)
    if protocol.is_http:
        _take_all(options)
    if outliers is not None and outliers.outlier_detection_http_error_codes:
        _add_error_codes(options, tuple(outliers.outlier_detection_http_error_codes))
    if options == _PLAIN:
        return None
    return packed(options)


_PLAIN = pb.UpstreamHttpOptions()
_PLAIN.explicit_http_config.http_protocol_options.SetInParent()


def client_decides(protocol: Protocol, pool: ConnectionPoolSettings | None) -> bool:
    """Whether requests travel in the version of HTTP in which the client sent them."""
    http = pool.http if pool is not None else None
    if http is not None and http.use_client_protocol:
        return True
    upgraded = http is not None and http.h2_upgrade_policy == "UPGRADE"
    return protocol is Protocol.AUTO and not upgraded


def _take_all(options: pb.UpstreamHttpOptions) -> None:
    """Pass on what applications may say and Envoy drops or refuses unless told: trailers of HTTP/1.1, many headers."""
    options.common_http_protocol_options.max_headers_count.value = HEADERS_MAX
    if options.HasField("use_downstream_protocol_config"):
        options.use_downstream_protocol_config.http_protocol_options.enable_trailers = True
    elif options.explicit_http_config.HasField("http_protocol_options"):
        options.explicit_http_config.http_protocol_options.enable_trailers = True


def _add_limits(options: pb.UpstreamHttpOptions, pool: ConnectionPoolSettings | None) -> None:
    http = pool.http if pool is not None else None
    tcp = pool.tcp if pool is not None else None
    common = options.common_http_protocol_options
    idle_s = http.idle_timeout if http is not None else None
    if idle_s is None and tcp is not None:
        idle_s = (
            tcp.idle_timeout
        )  # as in Istio: what TCP may idle holds for HTTP that says nothing of its own
    if idle_s is not None:
        common.idle_timeout.CopyFrom(duration(idle_s))
    if http is not None and http.max_requests_per_connection:
        common.max_requests_per_connection.value = http.max_requests_per_connection
    if tcp is not None and tcp.max_connection_duration:
        common.max_connection_duration.CopyFrom(duration(tcp.max_connection_duration))


def _add_version(
    options: pb.UpstreamHttpOptions, protocol: Protocol, pool: ConnectionPoolSettings | None
) -> None:
    if client_decides(protocol, pool):
        chosen = options.use_downstream_protocol_config
        chosen.http_protocol_options.SetInParent()
        _add_http2(chosen.http2_protocol_options, pool)
    elif speaks_http2(protocol, pool):
        _add_http2(options.explicit_http_config.http2_protocol_options, pool)
    else:
        options.explicit_http_config.http_protocol_options.SetInParent()


def _add_http2(http2: pb.Http2ProtocolOptions, pool: ConnectionPoolSettings | None) -> None:
    http2.SetInParent()
    http = pool.http if pool is not None else None
    if http is None:
        return
    if http.max_concurrent_streams:
        http2.max_concurrent_streams.value = http.max_concurrent_streams
    ping = http.http2_keep_alive
    if ping is not None and ping.interval and ping.timeout:
        http2.connection_keepalive.interval.CopyFrom(duration(ping.interval))
        http2.connection_keepalive.timeout.CopyFrom(duration(ping.timeout))


def _add_error_codes(options: pb.UpstreamHttpOptions, codes: tuple[int, ...]) -> None:
    matcher = options.outlier_detection.error_matcher
    # Envoy refuses an `or` of one.
    rules = [matcher] if len(codes) == 1 else [matcher.or_match.rules.add() for _ in codes]
    for rule, code in zip(rules, sorted(codes), strict=True):
        rule.http_response_headers_match.headers.add(
            name=":status", string_match=pb.StringMatcher(exact=str(code))
        )
