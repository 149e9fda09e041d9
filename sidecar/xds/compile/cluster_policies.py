"""A destination's traffic policy as fields of an Envoy cluster: balancing, breakers, outliers, connections.

Follows Istio's cluster_traffic_policy.go; field by field in docs/fields.md.
"""

from __future__ import annotations

from sidecar.balancing.locality import LocalitySetting, locality_setting
from sidecar.balancing.model import Policy
from sidecar.xds import protos as pb
from sidecar.xds.compile.encoding import duration, raw_field
from store.objects.destination_rule import (
    ConnectionPoolSettings,
    LoadBalancerSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    RetryBudget,
)

__all__ = [
    "UNLIMITED",
    "add_balancing",
    "add_breakers",
    "add_connection",
    "add_outlier_detection",
    "forwards_to_requested",
]

UNLIMITED = 2**32 - 1
"""Envoy's largest threshold: a circuit breaker that never trips (Istio's default)."""

RING_SIZE_MIN = 1024
"""Istio's smallest hash ring where the rule gives none."""

DEFAULT_RETRY_BUDGET_PERCENT = 20.0
DEFAULT_RETRY_CONCURRENCY = 3
_BUDGET_INTERVAL = 3
"""Number of `budget_interval` in Envoy's RetryBudget: Envoy 1.40 knows it, the messages of xds-protos do not yet."""


def forwards_to_requested(balancer: LoadBalancerSettings | None) -> bool:
    """Whether the rule asks for PASSTHROUGH: the address that the client itself named."""
    return balancer is not None and balancer.simple == "PASSTHROUGH"


def add_balancing(
    cluster: pb.Cluster,
    policy: Policy,
    mesh_wide: LocalityLoadBalancerSetting | None = None,
    *,
    default_panic: bool,
) -> None:
    """Choose the algorithm, warm-up, locality weights and the panic threshold.

    Args:
        cluster: The cluster being built.
        policy: The policy in force.
        mesh_wide: MeshConfig's locality setting, for rules that have none of their own.
        default_panic: Leave Envoy's panic threshold (50 %) where no outlier detection is set. False for
            clusters whose endpoints carry health of their own: unhealthy ones are then never called.
    """
    common = cluster.common_lb_config
    # The default of a second would hold back every later change of health and weight.
    common.update_merge_window.CopyFrom(duration(0))
    outliers = policy.outlier_detection
    if outliers is not None:
        common.healthy_panic_threshold.value = float(outliers.min_health_percent or 0)
    elif not default_panic:
        common.healthy_panic_threshold.value = 0.0
    _add_algorithm(cluster, policy.load_balancer)
    _add_localities(common, policy, locality_setting(policy.load_balancer, mesh_wide))


def _add_algorithm(cluster: pb.Cluster, balancer: LoadBalancerSettings | None) -> None:
    if balancer is None:
        cluster.lb_policy = pb.Cluster.LEAST_REQUEST
        return
    if balancer.consistent_hash is not None:
        _add_hashing(cluster, balancer)
    elif balancer.simple == "RANDOM":
        cluster.lb_policy = pb.Cluster.RANDOM
    elif balancer.simple == "ROUND_ROBIN":
        cluster.lb_policy = pb.Cluster.ROUND_ROBIN
        _add_warmup(cluster.round_robin_lb_config, balancer)
    else:
        cluster.lb_policy = pb.Cluster.LEAST_REQUEST
        _add_warmup(cluster.least_request_lb_config, balancer)


def _add_hashing(cluster: pb.Cluster, balancer: LoadBalancerSettings) -> None:
    settings = balancer.consistent_hash
    assert settings is not None
    if settings.maglev is not None:
        cluster.lb_policy = pb.Cluster.MAGLEV
        if settings.maglev.table_size:
            cluster.maglev_lb_config.table_size.value = settings.maglev.table_size
        return
    ring = settings.ring_hash
    smallest = (ring.minimum_ring_size if ring is not None else None) or settings.minimum_ring_size
    cluster.lb_policy = pb.Cluster.RING_HASH
    cluster.ring_hash_lb_config.minimum_ring_size.value = smallest or RING_SIZE_MIN


def _add_warmup(
    config: pb.Cluster.RoundRobinLbConfig | pb.Cluster.LeastRequestLbConfig,
    balancer: LoadBalancerSettings,
) -> None:
    warmup = balancer.warmup
    window_s = warmup.duration if warmup is not None else balancer.warmup_duration_secs
    if not window_s:
        return
    slow = config.slow_start_config
    slow.slow_start_window.CopyFrom(duration(window_s))
    aggression = warmup.aggression if warmup is not None else None
    smallest = warmup.minimum_percent if warmup is not None else None
    slow.aggression.default_value = 1.0 if aggression is None else aggression
    slow.aggression.runtime_key = "meshd.slow_start.aggression"
    slow.min_weight_percent.value = 10.0 if smallest is None else smallest


def _add_localities(
    common: pb.Cluster.CommonLbConfig, policy: Policy, setting: LocalitySetting | None
) -> None:
    """Say whether zones are looked at: by the weights of localities, by Envoy's zone-aware routing, or not at all.

    Weights count with `distribute`, and with explicit failover once outliers make it active. Envoy routes by zone
    wherever it knows its siblings, unless told not to.
    """
    if setting is not None and setting.by_region:
        balancer = policy.load_balancer
        zones = balancer.zone_aware_lb_setting if balancer is not None else None
        common.zone_aware_lb_config.SetInParent()
        if zones is not None and zones.min_cluster_size is not None:
            common.zone_aware_lb_config.min_cluster_size.value = zones.min_cluster_size
    elif setting is not None and _are_weighed(setting, policy):
        common.locality_weighted_lb_config.SetInParent()
    else:
        common.zone_aware_lb_config.routing_enabled.value = 0.0


def _are_weighed(setting: LocalitySetting, policy: Policy) -> bool:
    fails_over = bool(setting.failover or setting.failover_priority)
    return bool(setting.distribute) or (fails_over and policy.outlier_detection is not None)


def add_breakers(
    cluster: pb.Cluster, pool: ConnectionPoolSettings | None, budget: RetryBudget | None
) -> None:
    """Limits of connections, pending and active requests and retries; none where the rule is silent."""
    tcp = pool.tcp if pool is not None else None
    http = pool.http if pool is not None else None
    limits = cluster.circuit_breakers.thresholds.add(track_remaining=True)
    limits.max_connections.value = (tcp.max_connections if tcp else None) or UNLIMITED
    limits.max_pending_requests.value = (
        http.http1_max_pending_requests if http else None
    ) or UNLIMITED
    limits.max_requests.value = (http.http2_max_requests if http else None) or UNLIMITED
    retries = http.max_retries if http else None
    limits.max_retries.value = UNLIMITED if retries is None else retries
    if budget is not None:
        percent = budget.percent
        share = limits.retry_budget
        share.budget_percent.value = DEFAULT_RETRY_BUDGET_PERCENT if percent is None else percent
        share.min_retry_concurrency.value = (
            budget.min_retry_concurrency or DEFAULT_RETRY_CONCURRENCY
        )
        if budget.budget_interval:
            share.MergeFromString(raw_field(_BUDGET_INTERVAL, duration(budget.budget_interval)))


def add_connection(
    cluster: pb.Cluster, pool: ConnectionPoolSettings | None, default_timeout_s: float
) -> None:
    """Connect timeout and TCP keep-alive."""
    tcp = pool.tcp if pool is not None else None
    timeout_s = tcp.connect_timeout if tcp is not None else None
    cluster.connect_timeout.CopyFrom(duration(timeout_s or default_timeout_s))
    keepalive = tcp.tcp_keepalive if tcp is not None else None
    if keepalive is None:
        return
    options = cluster.upstream_connection_options.tcp_keepalive
    options.SetInParent()
    if keepalive.probes:
        options.keepalive_probes.value = keepalive.probes
    if keepalive.time:
        options.keepalive_time.value = max(1, round(keepalive.time))
    if keepalive.interval:
        options.keepalive_interval.value = max(1, round(keepalive.interval))


def add_outlier_detection(cluster: pb.Cluster, settings: OutlierDetection | None) -> None:
    """Local ejection of failing endpoints, as the rule sets it; success-rate detection stays off."""
    if settings is None:
        return
    detection = cluster.outlier_detection
    detection.enforcing_success_rate.value = 0
    if settings.interval:
        detection.interval.CopyFrom(duration(settings.interval))
    if settings.base_ejection_time:
        detection.base_ejection_time.CopyFrom(duration(settings.base_ejection_time))
    if settings.max_ejection_percent:
        detection.max_ejection_percent.value = settings.max_ejection_percent
    if (errors := settings.consecutive_5xx_errors) is not None:
        detection.consecutive_5xx.value = errors
        detection.enforcing_consecutive_5xx.value = 100 if errors > 0 else 0
    if (errors := settings.consecutive_gateway_errors) is not None:
        detection.consecutive_gateway_failure.value = errors
        detection.enforcing_consecutive_gateway_failure.value = 100 if errors > 0 else 0
    if settings.split_external_local_origin_errors:
        detection.split_external_local_origin_errors = True
        if (errors := settings.consecutive_local_origin_failures) is not None and errors > 0:
            detection.consecutive_local_origin_failure.value = errors
            detection.enforcing_consecutive_local_origin_failure.value = 100
