from __future__ import annotations

from collections.abc import Mapping

import pytest

from sidecar.mesh.model import Protocol
from sidecar.xds import protos as pb
from sidecar.xds.compile.upstream_http import HEADERS_MAX, speaks_http2, upstream_http_options
from tests.harness.compiled import policy


def options(
    protocol: Protocol,
    http: Mapping[str, object] | None = None,
    outliers: Mapping[str, object] | None = None,
) -> pb.UpstreamHttpOptions | None:
    document: dict[str, object] = {}
    if http is not None:
        document["connectionPool"] = {"http": http}
    if outliers is not None:
        document["outlierDetection"] = outliers
    given = policy(document)
    made = upstream_http_options(protocol, given.connection_pool, given.outlier_detection)
    return None if made is None else pb.UpstreamHttpOptions.FromString(made.value)


def version(protocol: Protocol, http: Mapping[str, object] | None = None) -> str:
    made = options(protocol, http)
    if made is None:
        return "1"
    if made.HasField("use_downstream_protocol_config"):
        return "the client's"
    return "2" if made.explicit_http_config.HasField("http2_protocol_options") else "1"


UPGRADE = {"h2UpgradePolicy": "UPGRADE"}
CLIENT = {"useClientProtocol": True}


@pytest.mark.parametrize(
    ("protocol", "http", "expected"),
    [
        (Protocol.HTTP, None, "1"),
        (Protocol.TCP, None, "1"),
        (Protocol.HTTP2, None, "2"),
        (Protocol.GRPC, None, "2"),
        (Protocol.GRPC_WEB, None, "2"),
        (Protocol.AUTO, None, "the client's"),
        (Protocol.HTTP, UPGRADE, "2"),
        (Protocol.AUTO, UPGRADE, "2"),
        (Protocol.TCP, UPGRADE, "1"),
        (Protocol.HTTP, CLIENT, "the client's"),
        (Protocol.GRPC, CLIENT, "the client's"),
        (Protocol.HTTP, {**UPGRADE, **CLIENT}, "the client's"),
        (Protocol.HTTP, {"h2UpgradePolicy": "DO_NOT_UPGRADE"}, "1"),
    ],
)
def test_the_version_of_http_upstream(
    protocol: Protocol, http: Mapping[str, object] | None, expected: str
) -> None:
    assert version(protocol, http) == expected
    if expected == "2":
        assert speaks_http2(
            protocol, policy({"connectionPool": {"http": http or {}}}).connection_pool
        )


@pytest.mark.parametrize("http", [None, CLIENT])
def test_trailers_and_many_headers_of_answers_are_passed_on(
    http: Mapping[str, object] | None,
) -> None:
    made = options(Protocol.HTTP, http)
    assert made is not None
    assert made.common_http_protocol_options.max_headers_count.value == HEADERS_MAX
    chosen = made.use_downstream_protocol_config if http else made.explicit_http_config
    assert chosen.http_protocol_options.enable_trailers


def test_limits_of_connections_are_those_of_the_rule() -> None:
    made = options(Protocol.HTTP, {"idleTimeout": "5s", "maxRequestsPerConnection": 1})
    assert made is not None
    common = made.common_http_protocol_options
    assert common.idle_timeout.ToJsonString() == "5s"
    assert common.max_requests_per_connection.value == 1


def test_http2_streams_and_pings_are_those_of_the_rule() -> None:
    given = {"maxConcurrentStreams": 7, "http2KeepAlive": {"interval": "10s", "timeout": "1s"}}
    made = options(Protocol.GRPC, given)
    assert made is not None
    http2 = made.explicit_http_config.http2_protocol_options
    assert http2.max_concurrent_streams.value == 7
    assert http2.connection_keepalive.interval.ToJsonString() == "10s"


def test_one_error_code_stands_alone_and_several_are_alternatives() -> None:
    one = options(Protocol.HTTP, outliers={"outlierDetectionHttpErrorCodes": [503]})
    two = options(Protocol.HTTP, outliers={"outlierDetectionHttpErrorCodes": [503, 500]})
    assert one is not None
    assert two is not None
    (header,) = one.outlier_detection.error_matcher.http_response_headers_match.headers
    assert (header.name, header.string_match.exact) == (":status", "503")
    rules = two.outlier_detection.error_matcher.or_match.rules
    codes = [rule.http_response_headers_match.headers[0].string_match.exact for rule in rules]
    assert codes == ["500", "503"]


def test_http_may_idle_as_long_as_tcp_where_it_says_nothing_itself() -> None:
    for document, expected in (
        ({"tcp": {"idleTimeout": "7s"}}, "7s"),
        ({"tcp": {"idleTimeout": "7s"}, "http": {"idleTimeout": "3s"}}, "3s"),
    ):
        pool = policy({"connectionPool": document}).connection_pool
        made = upstream_http_options(Protocol.HTTP, pool, None)
        assert made is not None
        idle = pb.UpstreamHttpOptions.FromString(made.value).common_http_protocol_options
        assert idle.idle_timeout.ToJsonString() == expected
