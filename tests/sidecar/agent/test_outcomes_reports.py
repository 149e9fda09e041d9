from __future__ import annotations

from envoy.service.load_stats.v3 import lrs_pb2

from sidecar.agent.outcomes_reports import (
    IDLE_INTERVAL_S,
    EndpointLoad,
    Reporting,
    decode_report,
    encode_reporting,
)
from sidecar.outlier.model import Place


def test_without_clusters_envoy_is_asked_for_almost_nothing() -> None:
    wish = encode_reporting(Reporting())
    assert not wish.clusters
    assert not wish.send_all_clusters
    assert wish.load_reporting_interval.seconds == IDLE_INTERVAL_S


def test_an_interval_below_a_second_is_kept() -> None:
    assert encode_reporting(Reporting(("a",), 0.25)).load_reporting_interval.nanos == 250_000_000


def test_every_endpoint_with_an_address_is_told_and_others_are_passed_over() -> None:
    request = lrs_pb2.LoadStatsRequest()
    locality = request.cluster_stats.add(cluster_name="a").upstream_locality_stats.add()
    add = locality.upstream_endpoint_stats.add
    row = add(
        total_successful_requests=1,
        total_error_requests=2,
        total_issued_requests=4,
        total_requests_in_progress=1,
    )
    row.address.socket_address.address = "10.0.0.1"
    row.address.socket_address.port_value = 80
    add(total_successful_requests=5).address.pipe.path = "/run/app.sock"
    add(total_successful_requests=7)
    add(total_successful_requests=8).address.envoy_internal_address.server_listener_name = "x"
    told = decode_report(3, request)
    assert told.stream == 3
    assert told.loads == (
        EndpointLoad("a", Place("10.0.0.1", 80), ok=1, errors=2, begun=4, active=1),
        EndpointLoad("a", Place("/run/app.sock", 0), ok=5),
    )
