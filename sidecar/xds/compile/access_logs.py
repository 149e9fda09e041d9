"""What Envoy writes down when a request or connection ends: numbers for metrics, and lines of an access log.

Every listener takes its loggers from here. They are part of the listener: another setting drains its connections
(docs/xds.md, M11). Numbers are kept by Envoy's stats access logger, which needs no process beside it; its text
and ours are joined by `sidecar.telemetry.packing`. Sources: Envoy, access logging and "Stats logger";
istio/istio pilot/pkg/model/telemetry_logging.go (names of the JSON fields).
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.telemetry.model import AccessLogging
from sidecar.telemetry.packing import http_format, tcp_format
from sidecar.telemetry.standard import METRICS, SCOPE, TCP_METRICS, Metric
from sidecar.xds import protos as pb
from sidecar.xds.compile.encoding import canonical, packed
from sidecar.xds.compile.options import CompileOptions
from store.objects.telemetry import AccessLogEncoding

__all__ = ["SERIES_MAX", "http_access_logs", "tcp_access_logs"]

SERIES_MAX = 2_000
"""Series of each kind of metric that one listener may have: codes, flags and peers come from outside, and must not grow
anything without end. What is beyond is not counted; Envoy counts that it was not."""
TAG = "p"
"""Name of the one tag."""

_LOG_FIELDS = {
    "authority": "%REQ(:AUTHORITY)%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "duration": "%DURATION%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "response_code": "%RESPONSE_CODE%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "response_flags": "%RESPONSE_FLAGS%",
    "route_name": "%ROUTE_NAME%",
    "start_time": "%START_TIME%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "user_agent": "%REQ(USER-AGENT)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
}
"""Istio's fields; numbers come as JSON numbers, what is not known as null."""
_CONNECTED = pb.AccessLogType.TcpUpstreamConnected
_ENDED = pb.AccessLogType.TcpConnectionEnd
_ERROR_STATUS = 400


def http_access_logs(options: CompileOptions) -> list[pb.AccessLog]:
    """Loggers of a listener that reads requests."""
    telemetry = options.telemetry
    logs = []
    if telemetry.metrics:
        counted = (one for one in METRICS if telemetry.sizes or not one.is_size)
        logs.append(_stats(counted, http_format(options.observer)))
    if telemetry.access_log is not None:
        logs.append(_lines(telemetry.access_log, http=True))
    return logs


def tcp_access_logs(options: CompileOptions) -> list[pb.AccessLog]:
    """Loggers of a listener that passes bytes on; the TCP proxy must also log when it is connected."""
    telemetry = options.telemetry
    logs = []
    if telemetry.metrics:
        tag = tcp_format(options.observer)
        opened = _stats((one for one in TCP_METRICS if one.at_start), tag)
        opened.filter.log_type_filter.types.append(_CONNECTED)
        ended = _stats((one for one in TCP_METRICS if not one.at_start), tag)
        ended.filter.log_type_filter.types.append(_ENDED)
        logs += [opened, ended]
    if telemetry.access_log is not None:
        logs.append(_lines(telemetry.access_log, http=False))
    return logs


def _stats(metrics: Iterable[Metric], tag: str) -> pb.AccessLog:
    config = pb.StatsAccessLog()
    for metric in metrics:
        if metric.measure is None:
            counter = config.counters.add()
            if metric.value:
                counter.value_format = metric.value
            else:
                counter.value_fixed.value = 1
            stat = counter.stat
        else:
            histogram = config.histograms.add(
                unit=pb.StatsAccessLog.Histogram.Unit.Value(metric.measure.unit),
                value_format=metric.measure.operator,
            )
            stat = histogram.stat
        stat.name = metric.name
        stat.tags.add(name=TAG, value_format=tag)
    typed = packed(config)
    # Our copy of Envoy's messages is older than its bounds on a scope, field 6: envoy.type.v3.Scope.
    typed.value += _field(6, _SCOPE)
    return pb.AccessLog(name="envoy.access_loggers.stats", typed_config=typed)


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field of protobuf, of fewer than 128 bytes."""
    return bytes((number << 3 | 2, len(value))) + value


_LIMIT = canonical(pb.UInt32Value(value=SERIES_MAX))
_SCOPE = _field(1, _LIMIT) + _field(3, _LIMIT) + _field(5, SCOPE.encode())
"""Most counters, most histograms, prefix. Not its `sharing_name`: Envoy 1.40 then crashes as it ends (measured)."""


def _lines(access_log: AccessLogging, *, http: bool) -> pb.AccessLog:
    is_stdout = access_log.file == "/dev/stdout"
    # A service's standard output may be a socket, which cannot be opened as a file.
    target = pb.StdoutAccessLog() if is_stdout else pb.FileAccessLog(path=access_log.file)
    if access_log.encoding is AccessLogEncoding.JSON:
        target.log_format.json_format.update(_LOG_FIELDS)
    kind = "stdout" if is_stdout else "file"
    log = pb.AccessLog(name=f"envoy.access_loggers.{kind}", typed_config=packed(target))
    conditions = [_errors(http)] if access_log.errors_only else []
    if not http:
        ended = pb.AccessLogFilter()
        ended.log_type_filter.types.append(_ENDED)
        conditions.append(ended)
    if len(conditions) == 1:
        log.filter.CopyFrom(conditions[0])
    elif conditions:
        log.filter.and_filter.filters.extend(conditions)
    return log


def _errors(http: bool) -> pb.AccessLogFilter:
    flagged = pb.AccessLogFilter()
    flagged.response_flag_filter.SetInParent()
    if not http:
        return flagged
    status = pb.AccessLogFilter()
    status.status_code_filter.comparison.op = pb.ComparisonFilter.GE
    status.status_code_filter.comparison.value.default_value = _ERROR_STATUS
    status.status_code_filter.comparison.value.runtime_key = "meshd.access_log.errors_from"
    # What is not gRPC has a status as well, in Envoy's eyes: 200 is UNKNOWN.
    is_grpc, not_ok = pb.AccessLogFilter(), pb.AccessLogFilter()
    header = is_grpc.header_filter.header
    header.name, header.string_match.prefix = "content-type", "application/grpc"
    not_ok.grpc_status_filter.exclude = True
    not_ok.grpc_status_filter.statuses.append(pb.GrpcStatusFilter.OK)
    grpc = pb.AccessLogFilter()
    grpc.and_filter.filters.extend((is_grpc, not_ok))
    any_of = pb.AccessLogFilter()
    any_of.or_filter.filters.extend((status, flagged, grpc))
    return any_of
