from __future__ import annotations

from collections.abc import Mapping

import pytest

from sidecar.mesh.model import Resolution
from sidecar.xds import protos as pb
from sidecar.xds.compile import compile_cluster
from sidecar.xds.compile.cluster_policies import UNLIMITED
from store.objects.mesh_config import MeshConfigSpec
from tests.harness.compiled import endpoints, plan

CONFIG = MeshConfigSpec()


def cluster(
    document: Mapping[str, object], resolution: Resolution = Resolution.STATIC
) -> pb.Cluster:
    made = compile_cluster(
        plan(document=document, resolution=resolution), CONFIG, endpoints=endpoints()
    )
    return pb.Cluster.FromString(made.body)


@pytest.mark.parametrize(
    ("balancer", "expected"),
    [
        ({}, "LEAST_REQUEST"),
        ({"simple": "UNSPECIFIED"}, "LEAST_REQUEST"),
        ({"simple": "LEAST_CONN"}, "LEAST_REQUEST"),
        ({"simple": "LEAST_REQUEST"}, "LEAST_REQUEST"),
        ({"simple": "RANDOM"}, "RANDOM"),
        ({"simple": "ROUND_ROBIN"}, "ROUND_ROBIN"),
        ({"consistentHash": {"useSourceIp": True}}, "RING_HASH"),
        ({"consistentHash": {"useSourceIp": True, "maglev": {}}}, "MAGLEV"),
    ],
)
def test_the_algorithm_is_that_of_the_rule(balancer: Mapping[str, object], expected: str) -> None:
    assert pb.Cluster.LbPolicy.Name(cluster({"loadBalancer": balancer}).lb_policy) == expected


def test_without_a_rule_the_least_loaded_of_two_is_chosen() -> None:
    assert cluster({}).lb_policy == pb.Cluster.LEAST_REQUEST


@pytest.mark.parametrize(
    ("hashing", "size"),
    [
        ({}, 1024),
        ({"minimumRingSize": 10}, 10),
        ({"ringHash": {"minimumRingSize": 99}, "minimumRingSize": 10}, 99),
    ],
)
def test_a_ring_is_as_large_as_said(hashing: Mapping[str, object], size: int) -> None:
    made = cluster({"loadBalancer": {"consistentHash": {"useSourceIp": True, **hashing}}})
    assert made.ring_hash_lb_config.minimum_ring_size.value == size


def test_warm_up_beats_its_deprecated_form() -> None:
    both = {
        "simple": "ROUND_ROBIN",
        "warmupDurationSecs": "10s",
        "warmup": {"duration": "30s", "aggression": 2},
    }
    slow = cluster({"loadBalancer": both}).round_robin_lb_config.slow_start_config
    assert slow.slow_start_window.ToJsonString() == "30s"
    assert slow.aggression.default_value == 2
    assert slow.min_weight_percent.value == 10
    old = cluster({"loadBalancer": {"simple": "LEAST_REQUEST", "warmupDurationSecs": "10s"}})
    assert old.least_request_lb_config.slow_start_config.slow_start_window.ToJsonString() == "10s"


def test_without_limits_breakers_never_trip_and_say_what_is_left() -> None:
    (limits,) = cluster({}).circuit_breakers.thresholds
    assert {
        limits.max_connections.value,
        limits.max_pending_requests.value,
        limits.max_requests.value,
        limits.max_retries.value,
    } == {UNLIMITED}
    assert limits.track_remaining


def test_limits_are_those_of_the_rule() -> None:
    pool = {
        "tcp": {"maxConnections": 1},
        "http": {"http1MaxPendingRequests": 2, "http2MaxRequests": 3, "maxRetries": 0},
    }
    (limits,) = cluster({"connectionPool": pool}).circuit_breakers.thresholds
    assert (
        limits.max_connections.value,
        limits.max_pending_requests.value,
        limits.max_requests.value,
        limits.max_retries.value,
    ) == (1, 2, 3, 0)


def test_a_retry_budget_has_envoys_defaults() -> None:
    (limits,) = cluster({"retryBudget": {}}).circuit_breakers.thresholds
    assert limits.retry_budget.budget_percent.value == 20
    assert limits.retry_budget.min_retry_concurrency.value == 3


def test_the_interval_of_a_retry_budget_is_told() -> None:
    (limits,) = cluster({"retryBudget": {"budgetInterval": "2s"}}).circuit_breakers.thresholds
    assert limits.retry_budget.SerializeToString().endswith(b"\x1a\x02\x08\x02")


def test_keep_alive_is_in_whole_seconds_of_at_least_one() -> None:
    keepalive = {"probes": 3, "time": "90s", "interval": "200ms"}
    options = cluster(
        {"connectionPool": {"tcp": {"tcpKeepalive": keepalive}}}
    ).upstream_connection_options
    made = options.tcp_keepalive
    assert (
        made.keepalive_probes.value,
        made.keepalive_time.value,
        made.keepalive_interval.value,
    ) == (3, 90, 1)


def test_without_outlier_detection_nothing_is_ejected_and_unhealthy_endpoints_are_never_called() -> (
    None
):
    made = cluster({})
    assert not made.HasField("outlier_detection")
    assert made.common_lb_config.HasField("healthy_panic_threshold")
    assert made.common_lb_config.healthy_panic_threshold.value == 0


def test_names_that_envoy_resolves_keep_its_panic_threshold() -> None:
    assert not cluster({}, Resolution.DNS).common_lb_config.HasField("healthy_panic_threshold")


def test_outlier_detection_follows_istio() -> None:
    made = cluster({"outlierDetection": {"interval": "1s"}})
    detection = made.outlier_detection
    assert detection.interval.ToJsonString() == "1s"
    assert detection.HasField("enforcing_success_rate")
    assert detection.enforcing_success_rate.value == 0
    assert not detection.HasField("consecutive_5xx")
    assert not detection.HasField("consecutive_gateway_failure")
    assert not detection.HasField("max_ejection_percent")
    assert made.common_lb_config.healthy_panic_threshold.value == 0


@pytest.mark.parametrize(("errors", "enforced"), [(3, 100), (0, 0)])
def test_zero_errors_switch_a_detector_off(errors: int, enforced: int) -> None:
    given = {
        "consecutive5xxErrors": errors,
        "consecutiveGatewayErrors": errors,
        "minHealthPercent": 40,
    }
    made = cluster({"outlierDetection": given})
    detection = made.outlier_detection
    assert detection.consecutive_5xx.value == errors
    assert detection.enforcing_consecutive_5xx.value == enforced
    assert detection.enforcing_consecutive_gateway_failure.value == enforced
    assert made.common_lb_config.healthy_panic_threshold.value == 40


def test_local_failures_count_apart_only_when_split() -> None:
    unsplit = cluster({"outlierDetection": {"consecutiveLocalOriginFailures": 2}}).outlier_detection
    assert not unsplit.HasField("consecutive_local_origin_failure")
    given = {"splitExternalLocalOriginErrors": True, "consecutiveLocalOriginFailures": 2}
    split = cluster({"outlierDetection": given}).outlier_detection
    assert split.split_external_local_origin_errors
    assert split.enforcing_consecutive_local_origin_failure.value == 100


DISTRIBUTE = {"distribute": [{"from": "a/*", "to": {"a/b": 100}}]}
FAILOVER = {"failover": [{"from": "a", "to": "b"}]}


@pytest.mark.parametrize(
    ("setting", "outliers", "weighted"),
    [
        (DISTRIBUTE, False, True),
        (FAILOVER, False, False),
        (FAILOVER, True, True),
        ({"failoverPriority": ["x"]}, True, True),
        ({}, True, False),
        ({**DISTRIBUTE, "enabled": False}, True, False),
    ],
)
def test_localities_are_weighed_where_the_rule_asks_for_it(
    setting: Mapping[str, object], outliers: bool, weighted: bool
) -> None:
    document: dict[str, object] = {"loadBalancer": {"localityLbSetting": setting}}
    if outliers:
        document["outlierDetection"] = {}
    assert cluster(document).common_lb_config.HasField("locality_weighted_lb_config") is weighted


def test_localities_are_weighed_where_the_mesh_asks_for_it_and_the_rule_does_not_say_otherwise() -> (
    None
):
    config = MeshConfigSpec.model_validate({"localityLbSetting": DISTRIBUTE})

    def is_weighted(document: Mapping[str, object]) -> bool:
        made = pb.Cluster.FromString(compile_cluster(plan(document=document), config).body)
        return bool(made.common_lb_config.HasField("locality_weighted_lb_config"))

    assert is_weighted({})
    assert not is_weighted({"loadBalancer": {"localityLbSetting": {"enabled": False}}})
