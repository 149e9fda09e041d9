"""Retry policies of routes, with Istio's defaults applied.

Follows pilot/pkg/networking/core/route/retry/retry.go: without `retries` two attempts on a fixed list of
conditions; with it, `attempts` of 0 or absent means none, and a given `retryOn` replaces the list.
"""

from __future__ import annotations

from sidecar.routing.table import RetryPolicy
from store.objects.virtual_service import HTTPRetry

__all__ = ["INBOUND_RETRY", "retry_policy"]

INBOUND_RETRY = RetryPolicy(attempts=2, retry_on=("reset-before-request",), previous_hosts=False)
"""What a sidecar repeats towards its own workload: only what never reached it (not for gRPC)."""

_BY_STATUS = "retriable-status-codes"


def retry_policy(
    asked: HTTPRetry | None, mesh_default: HTTPRetry | None, *, one_hashed_destination: bool
) -> RetryPolicy | None:
    """The retry policy of a route, None for no retries.

    Args:
        asked: The rule's `retries`.
        mesh_default: MeshConfig's default for HTTP; None for Istio's own.
        one_hashed_destination: Whether there is a single destination with consistent hashing. Its
            requests belong to one endpoint, so a retry may go to the same one again.
    """
    settings = asked if asked is not None else mesh_default
    if settings is None:
        return RetryPolicy(previous_hosts=not one_hashed_destination)
    attempts = settings.attempts or 0
    if attempts <= 0:
        return None
    conditions, codes = _conditions(settings.retry_on or "")
    return RetryPolicy(
        attempts=attempts,
        retry_on=conditions,
        status_codes=codes,
        per_try_timeout_s=settings.per_try_timeout,
        backoff_s=settings.backoff,
        previous_hosts=settings.retry_ignore_previous_hosts is not False
        and not one_hashed_destination,
        remote_localities=settings.retry_remote_localities is True,
    )


def _conditions(text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and status codes of a `retryOn` list; the default names when it is empty."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items:
        return RetryPolicy().retry_on, ()
    codes = tuple(int(item) for item in items if item.isascii() and item.isdigit())
    names = dict.fromkeys(item for item in items if not (item.isascii() and item.isdigit()))
    if codes:
        names[_BY_STATUS] = None
    return tuple(names), codes
