"""The rules for load balancing: affinity, warm-up, localities.

Source: istio/istio pkg/config/validation/validation.go (validateLoadBalancer) and agent/validation.go
(ValidateLocalityLbSetting, ValidateZoneAwareLbSetting).
"""

from __future__ import annotations

from store.diagnostics import Path
from store.objects.load_balancer import (
    ConsistentHashLB,
    HTTPCookie,
    LoadBalancerSettings,
    WarmupConfiguration,
)
from store.validation.findings import Findings
from store.validation.locality import check_locality, check_zone_aware
from store.validation.shared import check_duration, quoted

__all__ = ["check_load_balancer"]

MAGLEV_TABLE_MAX = 5_000_011
"""Envoy's largest Maglev table; sizes are primes below or equal to it."""


def check_load_balancer(
    balancer: LoadBalancerSettings | None, at: Path, found: Findings, *, detects_outliers: bool
) -> None:
    """Check load-balancer settings; None passes.

    Args:
        balancer: The settings.
        at: Where they stand.
        found: Where problems go.
        detects_outliers: Whether outlierDetection is set beside them, without which nothing fails over.
    """
    if balancer is None:
        return
    if balancer.consistent_hash is not None:
        _check_hash(balancer.consistent_hash, (*at, "consistentHash"), found)
    if balancer.locality_lb_setting is not None and balancer.zone_aware_lb_setting is not None:
        message = "localityLbSetting and zoneAwareLbSetting are both given"
        found.add("MESH0318", (*at, "zoneAwareLbSetting"), message, "keep one of them", at_key=True)
    if balancer.warmup is not None:
        _check_warmup(balancer.warmup, (*at, "warmup"), found)
        if balancer.warmup_duration_secs is not None:
            message = "warmup and warmupDurationSecs are both given"
            hint = "keep warmup"
            found.add("MESH0318", (*at, "warmupDurationSecs"), message, hint, at_key=True)
    elif balancer.warmup_duration_secs is not None:
        message = "warmupDurationSecs is deprecated"
        found.add(
            "MESH0323", (*at, "warmupDurationSecs"), message, "use warmup.duration", at_key=True
        )
    check_duration(balancer.warmup_duration_secs, (*at, "warmupDurationSecs"), found)
    here = (*at, "localityLbSetting")
    check_locality(balancer.locality_lb_setting, here, found, detects_outliers=detects_outliers)
    here = (*at, "zoneAwareLbSetting")
    check_zone_aware(balancer.zone_aware_lb_setting, here, found, detects_outliers=detects_outliers)


def _check_warmup(warmup: WarmupConfiguration, at: Path, found: Findings) -> None:
    check_duration(warmup.duration, (*at, "duration"), found)
    if warmup.aggression == 0:
        found.add(
            "MESH0320", (*at, "aggression"), "must be more than 0, found 0", "1 is a straight line"
        )


def _check_hash(hashing: ConsistentHashLB, at: Path, found: Findings) -> None:
    if hashing.http_cookie is not None:
        _check_cookie(hashing.http_cookie, (*at, "httpCookie"), found)
    if hashing.minimum_ring_size is not None:
        here = (*at, "minimumRingSize")
        message = "minimumRingSize is deprecated"
        found.add("MESH0323", here, message, "use ringHash.minimumRingSize", at_key=True)
        if hashing.ring_hash is not None or hashing.maglev is not None:
            other = "ringHash" if hashing.ring_hash is not None else "maglev"
            message = f"minimumRingSize and {other} are both given"
            found.add("MESH0318", here, message, f"keep {other}", at_key=True)
    if hashing.maglev is not None:
        size = hashing.maglev.table_size
        here = (*at, "maglev", "tableSize")
        if size is None or size == 0:
            found.add(
                "MESH0319", here, "maglev needs tableSize", "add tableSize: 65537", at_key=True
            )
        elif size >= MAGLEV_TABLE_MAX or not _is_prime(size):
            message = f"must be a prime below {MAGLEV_TABLE_MAX}, found {size}"
            found.add("MESH0353", here, message, "for instance 65537")


def _check_cookie(cookie: HTTPCookie, at: Path, found: Findings) -> None:
    if not cookie.name:
        found.add("MESH0319", (*at, "name"), "the name of the cookie is empty", at_key=True)
    seen: set[str] = set()
    for index, attribute in enumerate(cookie.attributes):
        here = (*at, "attributes", index, "name")
        if not attribute.name:
            found.add("MESH0319", here, "the name of the attribute is empty", at_key=True)
        elif attribute.name in seen:
            found.add("MESH0314", here, f"the attribute {quoted(attribute.name)} is given twice")
        seen.add(attribute.name)


def _is_prime(number: int) -> bool:
    if number < 4:
        return number > 1
    if number % 2 == 0 or number % 3 == 0:
        return False
    return all(number % d and number % (d + 2) for d in range(5, int(number**0.5) + 1, 6))
