"""What requests to a destination are hashed by, from its load-balancer policy.

Source: Istio pilot/pkg/networking/core/route/route.go consistentHashToHashPolicy.
"""

from __future__ import annotations

from sidecar.routing.table import HashPolicy
from store.objects.load_balancer import ConsistentHashLB, LoadBalancerSettings

__all__ = ["hash_inputs"]


def hash_inputs(settings: LoadBalancerSettings | None) -> tuple[HashPolicy, ...]:
    """The one input that `consistentHash` names; empty for other algorithms."""
    if settings is None or settings.consistent_hash is None:
        return ()
    found = _input(settings.consistent_hash)
    return () if found is None else (found,)


def _input(settings: ConsistentHashLB) -> HashPolicy | None:
    if settings.http_header_name:
        return HashPolicy("header", settings.http_header_name)
    cookie = settings.http_cookie
    if cookie is not None:
        attributes = tuple((one.name, one.value or "") for one in cookie.attributes)
        return HashPolicy("cookie", cookie.name, cookie.ttl, cookie.path or "", attributes)
    if settings.use_source_ip:
        return HashPolicy("source_ip")
    if settings.http_query_parameter_name:
        return HashPolicy("query", settings.http_query_parameter_name)
    return None
