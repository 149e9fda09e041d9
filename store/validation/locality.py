"""The rules for localities: shares by locality, failover, zone-aware routing.

Source: istio/istio pkg/config/validation/agent/validation.go, ValidateLocalityLbSetting,
validateLocalities, ValidateZoneAwareLbSetting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from store.diagnostics import Path
from store.objects.load_balancer import (
    LocalityDistribute,
    LocalityFailover,
    LocalityLoadBalancerSetting,
    ZoneAwareLoadBalancerSetting,
)
from store.validation.findings import Findings
from store.validation.shared import quoted

__all__ = ["check_locality", "check_zone_aware"]

_TOPOLOGY_LABELS = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
)


def check_locality(
    setting: LocalityLoadBalancerSetting | None,
    at: Path,
    found: Findings,
    *,
    detects_outliers: bool,
) -> None:
    """Check a preference for localities; None passes."""
    if setting is None:
        return
    if setting.distribute and (setting.failover or setting.failover_priority):
        other = "failover" if setting.failover else "failoverPriority"
        message = f"distribute and {other} are both given"
        found.add("MESH0318", (*at, other), message, "keep one of them", at_key=True)
    if setting.failover and any(
        _label(entry) in _TOPOLOGY_LABELS for entry in setting.failover_priority
    ):
        message = "failover orders regions already, so failoverPriority must not name region, zone or subzone"
        found.add("MESH0318", (*at, "failoverPriority"), message, at_key=True)
    _check_distribute(setting.distribute, (*at, "distribute"), found)
    _check_failover(setting.failover, (*at, "failover"), found)
    if (setting.failover or setting.failover_priority) and not detects_outliers:
        _warn_without_detection(at, found)


def check_zone_aware(
    setting: ZoneAwareLoadBalancerSetting | None,
    at: Path,
    found: Findings,
    *,
    detects_outliers: bool,
) -> None:
    """Check settings of zone-aware routing; None passes."""
    if setting is None:
        return
    if any(_label(entry) in _TOPOLOGY_LABELS for entry in setting.failover_priority):
        message = "zone-aware routing knows regions, zones and subzones; failoverPriority must not name them"
        found.add("MESH0318", (*at, "failoverPriority"), message, at_key=True)
    _check_failover(setting.failover, (*at, "failover"), found)
    if (setting.failover or setting.failover_priority) and not detects_outliers:
        _warn_without_detection(at, found)


def _label(entry: str) -> str:
    return entry.partition("=")[0]


def _warn_without_detection(at: Path, found: Findings) -> None:
    message = "nothing fails over, since without outlierDetection no endpoint counts as sick"
    found.add("MESH0352", at, message, "add outlierDetection beside loadBalancer", at_key=True)


def _check_distribute(rows: Sequence[LocalityDistribute], at: Path, found: Findings) -> None:
    origins = [row.from_ or "" for row in rows]
    for index, origin in enumerate(origins):
        _check_pattern(origin, (*at, index, "from"), found)
        _check_overlap(origin, origins[:index], (*at, index, "from"), found)
    for index, row in enumerate(rows):
        here = (*at, index, "to")
        targets = list(row.to)
        for number, target in enumerate(targets):
            _check_pattern(target, (*here, target), found)
            _check_overlap(target, targets[:number], (*here, target), found)
            if not 1 <= row.to[target] <= 100:
                message = f"a share is from 1 to 100, found {row.to[target]}"
                found.add("MESH0351", (*here, target), message)
        total = sum(row.to.values())
        if total != 100:
            message = f"the shares add up to {total}, and must to 100"
            found.add("MESH0351", here, message, at_key=True)


def _check_pattern(locality: str, at: Path, found: Findings) -> None:
    segments = locality.split("/")
    if not locality:
        found.add(
            "MESH0351", at, "the locality is empty", "write region, region/zone/* or *", at_key=True
        )
    elif "*" in locality and (locality.count("*") > 1 or not locality.endswith("*")):
        found.add(
            "MESH0351", at, f'{quoted(locality)}: one "*" is allowed, at the end', at_key=True
        )
    elif any(not segment for segment in segments):
        found.add("MESH0351", at, f"{quoted(locality)} has an empty part", at_key=True)
    elif len(segments) > 3:
        message = f"{quoted(locality)} has more than region, zone and subzone"
        found.add("MESH0351", at, message, at_key=True)


def _check_overlap(locality: str, earlier: Iterable[str], at: Path, found: Findings) -> None:
    for other in earlier:
        if _within(locality, other) or _within(other, locality):
            message = f"{quoted(locality)} overlaps with {quoted(other)}"
            found.add("MESH0351", at, message, "make the localities distinct", at_key=True)
            return


def _within(locality: str, pattern: str) -> bool:
    """Whether `locality` is `pattern`, or lies in it (a region holds its zones)."""
    wide = pattern.removesuffix("*").rstrip("/")
    return not wide or locality == wide or locality.startswith(wide + "/")


def _check_failover(rows: Sequence[LocalityFailover], at: Path, found: Findings) -> None:
    for index, row in enumerate(rows):
        here = (*at, index)
        for field, region in (("from", row.from_), ("to", row.to)):
            if not region:
                found.add(
                    "MESH0351", (*here, field), f"failover needs a region in {field}", at_key=True
                )
            elif "/" in region or "*" in region:
                message = f'{quoted(region)}: failover names regions only, without "/" and "*"'
                found.add("MESH0351", (*here, field), message)
        if row.from_ and row.from_ == row.to:
            message = f"a region ({row.from_}) cannot fail over to itself"
            found.add("MESH0351", (*here, "to"), message)
