from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.telemetry.model import AccessLogging, Telemetry
from sidecar.telemetry.packing import Observer, Reporter
from sidecar.xds import protos as pb
from sidecar.xds.compile import CompileOptions
from sidecar.xds.compile.access_logs import SERIES_MAX, http_access_logs, tcp_access_logs
from store.objects.telemetry import AccessLogEncoding

OPTIONS = CompileOptions(observer=Observer(Reporter.SOURCE, "web"))
METRICS = replace(OPTIONS, telemetry=Telemetry(metrics=True))


def logging(path: str, encoding: str = "TEXT", *, errors_only: bool = False) -> CompileOptions:
    access_log = AccessLogging(path, AccessLogEncoding(encoding), errors_only)
    return replace(OPTIONS, telemetry=Telemetry(access_log=access_log))


def stats(log: pb.AccessLog) -> pb.StatsAccessLog:
    return pb.StatsAccessLog.FromString(log.typed_config.value)


def test_nothing_is_logged_unless_told() -> None:
    assert http_access_logs(OPTIONS) == tcp_access_logs(OPTIONS) == []


def test_requests_are_counted_by_one_tag() -> None:
    (log,) = http_access_logs(METRICS)
    config = stats(log)
    assert [counter.stat.name for counter in config.counters] == ["requests_total"]
    assert [histogram.stat.name for histogram in config.histograms] == [
        "request_duration_milliseconds",
        "request_bytes",
        "response_bytes",
    ]
    tags = {
        tag.value_format for one in (*config.counters, *config.histograms) for tag in one.stat.tags
    }
    assert len(tags) == 1
    assert tags.pop().startswith("source;web;%UPSTREAM_CLUSTER_RAW%;")


def test_sizes_may_be_left_out() -> None:
    (log,) = http_access_logs(replace(OPTIONS, telemetry=Telemetry(metrics=True, sizes=False)))
    assert [one.stat.name for one in stats(log).histograms] == ["request_duration_milliseconds"]


def test_what_a_listener_may_count_is_bounded() -> None:
    """Field 6 (stats_scope) is newer than our messages: 1 max_counters, 3 max_histograms, 5 prefix."""
    (log,) = http_access_logs(METRICS)
    limit = pb.UInt32Value(value=SERIES_MAX).SerializeToString()
    size = bytes((len(limit),))
    scope = b"\x0a" + size + limit + b"\x1a" + size + limit + b"\x2a\x05istio"
    assert log.typed_config.value.endswith(b"\x32" + bytes((len(scope),)) + scope)


def test_connections_are_counted_when_they_stand_and_when_they_end() -> None:
    opened, ended = tcp_access_logs(METRICS)
    types = [tuple(log.filter.log_type_filter.types) for log in (opened, ended)]
    assert types == [
        (pb.AccessLogType.TcpUpstreamConnected,),
        (pb.AccessLogType.TcpConnectionEnd,),
    ]
    assert [c.stat.name for c in stats(opened).counters] == ["tcp_connections_opened_total"]
    assert [c.stat.name for c in stats(ended).counters] == [
        "tcp_connections_closed_total",
        "tcp_received_bytes_total",
        "tcp_sent_bytes_total",
    ]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/var/log/a", "envoy.access_loggers.file"),
        ("/dev/stdout", "envoy.access_loggers.stdout"),
    ],
)
def test_standard_output_is_written_to_without_opening_it(path: str, name: str) -> None:
    (log,) = http_access_logs(logging(path))
    assert log.name == name


def test_json_has_istios_fields_and_text_is_envoys_own() -> None:
    (text,) = http_access_logs(logging("/a"))
    (json,) = http_access_logs(logging("/a", "JSON"))
    assert not pb.FileAccessLog.FromString(text.typed_config.value).HasField("log_format")
    fields = pb.FileAccessLog.FromString(json.typed_config.value).log_format.json_format.fields
    assert fields["response_flags"].string_value == "%RESPONSE_FLAGS%"
    assert {"upstream_cluster", "route_name", "request_id", "duration"} <= fields.keys()


def test_errors_only_takes_codes_flags_and_grpc_statuses() -> None:
    (log,) = http_access_logs(logging("/a", errors_only=True))
    status, flags, grpc = log.filter.or_filter.filters
    assert status.status_code_filter.comparison.value.default_value == 400
    assert flags.HasField("response_flag_filter")
    is_grpc, not_ok = grpc.and_filter.filters
    assert is_grpc.header_filter.header.name == "content-type"
    assert not_ok.grpc_status_filter.exclude
    (tcp,) = tcp_access_logs(logging("/a", errors_only=True))
    assert len(tcp.filter.and_filter.filters) == 2


def test_connections_have_one_line_at_their_end() -> None:
    (log,) = tcp_access_logs(logging("/a"))
    assert tuple(log.filter.log_type_filter.types) == (pb.AccessLogType.TcpConnectionEnd,)
