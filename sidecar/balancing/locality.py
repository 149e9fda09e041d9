"""Which endpoints are near: priorities for failover, shares for distribution.

Istio's rules (pilot/pkg/networking/core/loadbalancer/loadbalancer.go): `distribute` fixes the share of each
locality and excludes failover; otherwise, and only with outlier detection (without it Envoy would never
leave the first priority), endpoints are ranked by `failoverPriority` labels, by region/zone/sub-zone, or by both.
Priorities are compacted, so that they count 0, 1, 2 without gaps, as Envoy demands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sidecar.mesh.model import Context, Endpoint, Locality
from store.objects.load_balancer import (
    LoadBalancerSettings,
    LocalityDistribute,
    LocalityFailover,
    LocalityLoadBalancerSetting,
)

__all__ = ["LocalitySetting", "distribution", "locality_setting", "priorities"]

_LEVELS = 5
"""Ranks that a locality can have: same sub-zone, same zone, same region, failover region, elsewhere."""


@dataclass(frozen=True, slots=True)
class LocalitySetting:
    """The setting in force for one destination; its absence means that locality does not count."""

    distribute: tuple[LocalityDistribute, ...] = ()
    """Fixed shares."""
    failover: tuple[LocalityFailover, ...] = ()
    """Regions that take over from others."""
    failover_priority: tuple[str, ...] = ()
    """Labels that rank endpoints."""
    by_region: bool = False
    """Whether only regions are told apart, because Envoy looks after zones itself (zone-aware routing)."""


def locality_setting(
    balancer: LoadBalancerSettings | None, mesh_wide: LocalityLoadBalancerSetting | None
) -> LocalitySetting | None:
    """The setting in force: the destination's own in place of the mesh's as a whole; None when turned off."""
    if balancer is not None and balancer.zone_aware_lb_setting is not None:
        zones = balancer.zone_aware_lb_setting
        if zones.enabled is not False:
            return LocalitySetting((), zones.failover, zones.failover_priority, by_region=True)
    own = balancer.locality_lb_setting if balancer is not None else None
    chosen = own if own is not None else mesh_wide
    if chosen is None:
        return LocalitySetting()
    if chosen.enabled is False:
        return None
    return LocalitySetting(chosen.distribute, chosen.failover, chosen.failover_priority)


def priorities(
    endpoints: Sequence[Endpoint], context: Context, setting: LocalitySetting
) -> tuple[int, ...]:
    """Priority of each endpoint for failover, compacted; empty when all are 0.

    Args:
        endpoints: The endpoints.
        context: The workload that sends: its locality and labels are compared with.
        setting: What is in force; its `distribute` is not looked at.
    """
    ranks = [0] * len(endpoints)
    if setting.failover_priority:
        ranks = _ranks_by_label(endpoints, context, setting.failover_priority)
    if setting.failover or not setting.failover_priority:
        targets = {row.to for row in setting.failover if row.from_ == context.locality.region}
        for position, endpoint in enumerate(endpoints):
            level = _level(context.locality, endpoint.locality, targets, setting.by_region)
            ranks[position] = ranks[position] * _LEVELS + level
    order = {rank: priority for priority, rank in enumerate(sorted(set(ranks)))}
    return tuple(order[rank] for rank in ranks) if len(order) > 1 else ()


def distribution(
    endpoints: Iterable[Endpoint], context: Context, setting: LocalitySetting
) -> dict[Locality, int] | None:
    """Weight of each locality; None when no `distribute` entry is for this workload.

    The first entry whose `from` matches decides. A share that several localities match is split by the weights of
    their endpoints, rounded up; a locality that matches no share is not in the answer: it gets nothing.
    """
    entry = next(
        (row for row in setting.distribute if _is_at(context.locality, row.from_ or "")), None
    )
    if entry is None:
        return None
    weights: dict[Locality, int] = {}
    for endpoint in endpoints:
        weights[endpoint.locality] = weights.get(endpoint.locality, 0) + endpoint.weight
    shares: dict[Locality, int] = {}
    for target in sorted(entry.to, key=_most_specific_first):
        members = [at for at in weights if at not in shares and _is_at(at, target)]
        total = sum(weights[at] for at in members)
        for at in members:
            shares[at] = -(-weights[at] * entry.to[target] // total)
    return {at: share for at, share in shares.items() if share}


def _ranks_by_label(
    endpoints: Sequence[Endpoint], context: Context, labels: Sequence[str]
) -> list[int]:
    """How many of `labels`, from the first that differs on, an endpoint fails to share with the client."""
    client = _with_topology(context.labels, context.locality, context.network)
    wanted = []
    for label in labels:
        key, has_value, value = label.partition("=")
        wanted.append((key, value if has_value else client.get(key, "")))
    ranks = []
    for endpoint in endpoints:
        own = _with_topology(endpoint.labels, endpoint.locality, endpoint.network)
        shared = 0
        for key, value in wanted:
            if own.get(key, "") != value:
                break
            shared += 1
        ranks.append(len(wanted) - shared)
    return ranks


def _with_topology(labels: Mapping[str, str], at: Locality, network: str) -> dict[str, str]:
    """Labels with the well-known ones that locality and network stand for (labels of its own win)."""
    known = {
        "topology.kubernetes.io/region": at.region,
        "topology.kubernetes.io/zone": at.zone,
        "topology.istio.io/subzone": at.subzone,
        "topology.istio.io/network": network,
    }
    return {**{key: value for key, value in known.items() if value}, **labels}


def _level(client: Locality, at: Locality, targets: set[str | None], by_region: bool) -> int:
    """0 same sub-zone, 1 same zone, 2 same region, 3 elsewhere, 4 elsewhere where failover names another region."""
    if client.region != at.region:
        return 4 if targets and at.region not in targets else 3
    if by_region:
        return 0
    if client.zone != at.zone:
        return 2
    return 0 if client.subzone == at.subzone else 1


def _is_at(locality: Locality, pattern: str) -> bool:
    """Whether `locality` is under `region/zone/subzone`, where `*` and missing ends stand for any."""
    region, zone, subzone = Locality.parse(pattern)
    return (
        region in ("*", locality.region)
        and zone in ("*", "", locality.zone)
        and subzone in ("*", "", locality.subzone)
    )


def _most_specific_first(pattern: str) -> tuple[int, str]:
    named = sum(1 for part in Locality.parse(pattern) if part not in ("", "*"))
    return (-named, pattern)
