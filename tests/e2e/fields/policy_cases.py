"""Proofs of a DestinationRule's policies: balancing, pools, outliers, in each place where they may stand."""

from __future__ import annotations

from tests.harness.field_cases import Case, holds, policy_cases

__all__ = ["CASES"]

_LB = "loadBalancer"
_TCP, _HTTP = "connectionPool.tcp", "connectionPool.http"


def _limits(**fields: object) -> dict[str, object]:
    return {"circuit_breakers": {"thresholds": [fields]}}


CASES: tuple[Case, ...] = (
    *policy_cases(
        "an algorithm is Envoy's",
        f"{_LB}.simple",
        "loadBalancer: {simple: ROUND_ROBIN}",
        accepted=[holds("cluster", "$cluster", {"lb_policy": None})],
    ),
    *policy_cases(
        "limits of a pool are circuit breakers",
        f"{_TCP}.maxConnections {_HTTP}.{{http1MaxPendingRequests,http2MaxRequests,maxRetries}}",
        """
        connectionPool:
          tcp: {maxConnections: 11}
          http: {http1MaxPendingRequests: 12, http2MaxRequests: 13, maxRetries: 14}
        """,
        accepted=[
            holds(
                "cluster",
                "$cluster",
                _limits(
                    max_connections=11, max_pending_requests=12, max_requests=13, max_retries=14
                ),
            )
        ],
    ),
)
